"""How many solved tracers a surrogate needs: those it proposes, or random ones.

    python benchmarks/propose.py --data data/grav_full.h5 --scratch proposing

The pool is the training split of a solved file: to solve a tracer is to look it up, so
that no solver is needed and both ways to choose pay the same for it. From the first of
`--sizes`, drawn at random, training sets grow from round to round: by the tracers that
`astrokeras data propose` chooses by the surrogate of the round before, or random ones.
At each size both train the same configuration with the same number of epochs, as many
more as there are fewer tracers. The error is that of rollouts of the validation
simulations, dex; half of these calibrate the surrogate, which is all that is known of
them, and the test split is not read.

For each size of the random sets: how many proposed tracers reach the same error, by
interpolation on the logarithm of their number. Every `--every`-th state of the file
is kept, which divides the time that a training takes.

Each finished training is written into `--scratch`; the same command goes on from there.
"""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import measure

ARMS = ("propose", "random")
TARGET = 0.7
SIZES = (24, 36, 54, 80, 120, 180)
BATCH = 64  # tracers rolled out at once
SETTINGS = ("emulator.stride=1", "emulator.window=[10,30,74]", "board.every=0")

Curve = list[tuple[int, float]]
"""(tracers, dex) in ascending order of tracers."""


@dataclass
class Experiment:
    """What all trainings share.

    Attributes:
        folder: Where everything is written.
        epochs: Of autoencoder and emulator, for as many tracers as `reference`.
        reference: See `epochs`.
        overrides: Of the configuration.
        threads: Of a training.
    """

    folder: Path
    epochs: tuple[int, int]
    reference: int
    overrides: list[str]
    threads: int

    @property
    def data(self) -> Path:
        """Training and validation tracers, solved."""
        return self.folder / "data.h5"

    @property
    def pool(self) -> Path:
        """The training tracers, unsolved."""
        return self.folder / "pool.h5"

    def solved(self, name: str) -> Path:
        """Return the tracer file of a training."""
        return self.folder / f"{name}.h5"

    def run(self, name: str) -> Path:
        """Return the run of a training."""
        return self.folder / "runs" / name


def prepare(source: Path, experiment: Experiment, every: int) -> None:
    """Write the pool, and what it is looked up in, with every k-th state."""
    from astrokeras import TracerStore
    from astrokeras.data.subset import write_rows

    with TracerStore(source) as store:
        if (store.length < store.states).any():
            raise SystemExit(f"{source}: its tracers differ in length")
        training, validation = store.rows("train"), store.rows("validation")
        both = [*training, *validation]
        write_rows(store, both, experiment.data, {}, every)
        write_rows(store, training, experiment.pool, {}, every, starts=True)


def train(experiment: Experiment, name: str, rows: Any, seed: int) -> float:
    """Train on some tracers of the pool; return the error on validation, dex."""
    import numpy as np

    from astrokeras import TracerStore
    from astrokeras.data.subset import write_rows

    with TracerStore(experiment.data) as store:
        kept = np.sort(np.concatenate([rows, store.rows("validation")]))
        write_rows(store, kept, experiment.solved(name), {})
    share = experiment.reference / len(rows)
    fits = [
        f"{stage}.fit.{key}={max(1, round(epochs * share))}"
        for stage, epochs in zip(
            ("autoencoder", "emulator"), experiment.epochs, strict=True
        )
        for key in ("epochs", "patience")
    ]
    words = [*SETTINGS, *fits, *experiment.overrides]
    words += [f"name={name}", f"seed={seed}", f"runs_dir={experiment.folder / 'runs'}"]
    words += [f"dataset.path={experiment.solved(name)}"]
    command = [*measure.COMMAND, "--threads", str(experiment.threads), "train"]
    subprocess.run(
        [*command, "--overwrite", *words],
        env=measure.environment(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    for cache in (experiment.folder / "runs" / ".cache").glob(f"{name}-*"):
        cache.unlink()
    return judge(experiment.data, experiment.run(name))


def judge(data: Path, run: Path) -> float:
    """Return the error of a surrogate's rollouts of the validation tracers, dex."""
    import numpy as np

    import astrokeras
    from astrokeras.workflows.rollout import log10, roll_out

    surrogate = astrokeras.load(run)
    total, count = 0.0, 0
    with astrokeras.TracerStore(data) as store:
        columns = np.arange(len(store.parameters))
        for block in store.blocks(store.rows("validation"), BATCH):
            predicted = roll_out(surrogate, block, columns, BATCH)[:, 1:]
            off = np.abs(log10(predicted) - log10(block.abundances[:, 1:]))
            total, count = total + float(off.sum()), count + off.size
    return total / count


def choose(
    experiment: Experiment, arm: str, name: str, rows: Any, step: int, seed: int
) -> Any:
    """Return the tracers of the pool that are solved next, (step,)."""
    import numpy as np

    from astrokeras import TracerStore
    from astrokeras.workflows.propose import propose

    with TracerStore(experiment.data) as store:
        free = np.setdiff1d(store.rows("train"), rows)
        if arm == "random":
            return np.random.default_rng((seed, len(rows))).permutation(free)[:step]
        out = experiment.folder / f"{name}-proposed.h5"
        propose(
            experiment.run(name),
            experiment.pool,
            out,
            step,
            solved=[experiment.solved(name)],
            batch_size=BATCH,
            overwrite=True,
            warn=lambda line: None,
        )
        with TracerStore(out, need_abundances=False) as proposed:
            pairs = zip(proposed.simulation, proposed.tracer, strict=True)
            place = zip(store.simulation, store.tracer, strict=True)
            number = {pair: row for row, pair in enumerate(place)}
            return np.array([number[pair] for pair in pairs])


def grow(
    experiment: Experiment, arm: str, seed: int, sizes: list[int], done: dict[str, Any]
) -> None:
    """Train at every size, one after the other, and record each in `done`."""
    import numpy as np

    from astrokeras import TracerStore

    with TracerStore(experiment.data) as store:
        pool = store.rows("train")
    rows = np.random.default_rng(seed).permutation(pool)[: sizes[0]]
    name = f"seed{seed}-{sizes[0]}"  # the same for both arms
    for size in sizes:
        if size > sizes[0]:
            before, name = name, f"seed{seed}-{size}-{arm}"
            if name not in done:
                step = size - len(rows)
                more = choose(experiment, arm, before, rows, step, seed)
                rows = np.concatenate([rows, more])
        if name not in done:
            began = time.perf_counter()
            dex = train(experiment, name, rows, seed)
            done[name] = {"dex": dex, "rows": rows.tolist()}
            done[name]["seconds"] = round(time.perf_counter() - began)
            (experiment.folder / "done.json").write_text(json.dumps(done))
            print(f"{name}: {dex:.4f} dex", flush=True)
        rows = np.array(done[name]["rows"])


def needed(curve: Curve, dex: float) -> float | None:
    """Return how many tracers reach an error; `None` if the curve never does.

    Between two sizes the error is taken to be linear in the logarithm of their number.
    """
    import math

    for (n, before), (m, after) in pairwise(curve):
        if before >= dex >= after:
            share = (before - dex) / (before - after) if before > after else 0.0
            return math.exp(math.log(n) + share * math.log(m / n))
    return None


def compare(curves: dict[str, Curve]) -> list[dict[str, Any]]:
    """Return, for each size of the random sets, what reaches the same error."""
    rows = []
    for count, dex in curves["random"][1:]:
        least = needed(curves["propose"], dex)
        ratio = None if least is None else least / count
        rows.append({"random": count, "dex": dex, "propose": least, "ratio": ratio})
    return rows


def collect(done: dict[str, Any], seeds: list[int], sizes: list[int]) -> dict[str, Any]:
    """Return the curves of each seed that is done, their mean, and the ratios."""
    each = []
    for seed in seeds:
        names = {
            arm: [f"seed{seed}-{sizes[0]}"]
            + [f"seed{seed}-{size}-{arm}" for size in sizes[1:]]
            for arm in ARMS
        }
        if all(name in done for part in names.values() for name in part):
            each.append(
                {
                    arm: [
                        (size, done[name]["dex"])
                        for size, name in zip(sizes, part, strict=True)
                    ]
                    for arm, part in names.items()
                }
            )
    if not each:
        return {}
    mean = {
        arm: [
            (size, sum(curves[arm][i][1] for curves in each) / len(each))
            for i, size in enumerate(sizes)
        ]
        for arm in ARMS
    }
    return {
        "seeds": each,
        "mean": mean,
        "by_size": compare(mean),
        "ratios": [compare(curves)[-1]["ratio"] for curves in each],
    }


def show(figures: dict[str, Any]) -> None:
    """Print the mean curves and the ratios."""
    lines: list[tuple] = [("random", "dex", "propose for the same", "ratio")]
    for row in figures["by_size"]:
        least, ratio = row["propose"], row["ratio"]
        texts = ("not reached", "-")
        if ratio is not None:
            texts = (f"{least:.0f}", f"{ratio:.2f}")
        lines.append((row["random"], f"{row['dex']:.4f}", *texts))
    measure.table(lines)
    told = ", ".join("-" if r is None else f"{r:.2f}" for r in figures["ratios"])
    print(f"ratio at the largest size, seed by seed: {told}; target {TARGET:g}")


def main() -> None:
    """Train all sizes of both arms, print and write the figures."""
    parser = measure.options(__doc__, repeats=3)
    parser.set_defaults(threads=1)
    parser.add_argument("--scratch", type=Path, required=True, help="to go on from")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="solved")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of --repeats")
    parser.add_argument("--every", type=int, default=4, help="state is kept")
    parser.add_argument(
        "--epochs", type=int, nargs=2, default=(40, 300), help="at 96 tracers"
    )
    parser.add_argument("overrides", nargs="*", help="of the configuration")
    args = parser.parse_args()
    measure.set_threads(args.threads)
    os.environ.setdefault("KERAS_BACKEND", "jax")

    folder = args.scratch.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(folder, args.epochs, 96, args.overrides, args.threads)
    if not experiment.pool.is_file():
        prepare(args.data, experiment, args.every)
    sizes = list(args.sizes)
    seeds = args.seeds or list(range(args.repeats))
    settings = {
        "data": args.data.name,
        "sizes": sizes,
        "every": args.every,
        "epochs_at_96": list(args.epochs),
        "overrides": [*SETTINGS, *args.overrides],
    }
    state = folder / "done.json"
    done = json.loads(state.read_text()) if state.is_file() else {"settings": settings}
    if done["settings"] != settings:
        raise SystemExit(f"{folder}: holds another experiment; choose another folder.")
    for seed in seeds:
        for arm in ARMS:
            grow(experiment, arm, seed, sizes, done)
        figures = settings | collect(done, seeds, sizes)
        show(figures)
        measure.write("propose", figures, args.out)


if __name__ == "__main__":
    main()
