"""How many solved tracers a surrogate needs: those it proposes, or random ones.

    python benchmarks/propose.py --data data/grav_full.h5 --scratch proposing

The pool is the training split of a solved file: to solve a tracer is to look it up, so
that no solver is needed. From `--first` tracers, drawn at random, training sets grow:
round by round, to the sizes `--proposed`, by the tracers that `astrokeras data propose`
chooses by the surrogate of the round before; or to the sizes `--random` by random ones.
Every training has the same configuration and as many updates. The error is that of
rollouts of the validation simulations, dex; half of these calibrate the surrogate,
which is all that is known of them, and the test split is not read.

The figures are, for the errors that random sets reach, how many tracers of either kind
it takes, by interpolation on the logarithm of their number. Every `--every`-th state of
the file is kept, which divides the time that a training takes.

Each finished training is written into `--scratch`; the same command goes on from there,
with other seeds and sizes too.
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

TARGET = 0.7
FIRST, PROPOSED, RANDOM = 24, (42, 67), (48, 96)
REFERENCE = 96  # tracers that epochs are given for
BATCH = 64  # tracers rolled out at once
SETTINGS = (
    "emulator.stride=1",
    "emulator.window=[10,30,74]",
    "emulator.states_per_window=12",
    "autoencoder.fit.batch_size=128",
    "emulator.fit.batch_size=4",
    "board.every=0",
)

Curve = list[tuple[int, float]]
"""(tracers, dex) in ascending order of tracers."""


@dataclass
class Experiment:
    """What all trainings share.

    Attributes:
        folder: Where everything is written.
        epochs: Of autoencoder and emulator, for as many tracers as `REFERENCE`.
        overrides: Of the configuration.
        sizes: Of the training sets of both arms, ascending; the first is the same.
        threads: Of a training.
    """

    folder: Path
    epochs: tuple[int, int]
    overrides: list[str]
    sizes: dict[str, list[int]]
    threads: int

    @property
    def data(self) -> Path:
        """Training and validation tracers, solved."""
        return self.folder / "data.h5"

    @property
    def pool(self) -> Path:
        """The training tracers, unsolved."""
        return self.folder / "pool.h5"

    def name(self, arm: str, seed: int, size: int) -> str:
        """Return the name of a training, which tells all that its tracers hang on."""
        rounds = [one for one in self.sizes[arm] if one <= size]
        rounds = [size] if arm == "random" else rounds
        return "-".join([f"seed{seed}", *map(str, rounds)])

    def solved(self, name: str) -> Path:
        """Return the tracer file of a training."""
        return self.folder / f"{name}.h5"

    def run(self, name: str) -> Path:
        """Return the run of a training."""
        return self.folder / "runs" / name


def prepare(source: Path, experiment: Experiment, every: int) -> None:
    """Write the pool, and what it is looked up in, with every k-th state."""
    from astrokeras import TracerStore
    from astrokeras.data.tracers.subset import write_rows

    with TracerStore(source) as store:
        if (store.length < store.states).any():
            raise SystemExit(f"{source}: its tracers differ in length")
        training, validation = store.rows("train"), store.rows("validation")
        both = [*training, *validation]
        write_rows(store, both, experiment.data, {}, every)
        write_rows(store, training, experiment.pool, {}, every, abundances="start")


def train(experiment: Experiment, name: str, rows: Any, seed: int) -> float:
    """Train on some tracers of the pool; return the error on validation, dex.

    Few tracers are given several times over: so all sizes have about as many updates in
    about as many epochs, after each of which one looks at the validation.
    """
    import numpy as np

    from astrokeras import TracerStore
    from astrokeras.data.tracers.subset import write_rows

    copies = max(1, round(REFERENCE / len(rows)))
    with TracerStore(experiment.data) as store:
        given = np.concatenate([np.repeat(rows, copies), store.rows("validation")])
        write_rows(store, np.sort(given), experiment.solved(name), {})
    share = REFERENCE / (copies * len(rows))
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
    from astrokeras.prediction.tracer_rollout import log10, roll_out

    surrogate = astrokeras.load(run)
    total, count = 0.0, 0
    with astrokeras.TracerStore(data) as store:
        columns = np.arange(len(store.parameters))
        for block in store.blocks(store.rows("validation"), BATCH):
            predicted = roll_out(surrogate, block, columns, BATCH)[:, 1:]
            off = np.abs(log10(predicted) - log10(block.abundances[:, 1:]))
            total, count = total + float(off.sum()), count + off.size
    return total / count


def propose(experiment: Experiment, name: str, step: int) -> Any:
    """Return the tracers that a training proposes to solve next, (step,)."""
    import numpy as np

    from astrokeras import TracerStore
    from astrokeras.generation.propose import propose as run_proposal

    out = experiment.folder / f"{name}-proposed.h5"
    run_proposal(
        experiment.run(name),
        experiment.pool,
        out,
        step,
        solved=[experiment.solved(name)],
        batch_size=BATCH,
        overwrite=True,
        warn=lambda line: None,
    )
    with (
        TracerStore(experiment.data) as store,
        TracerStore(out, need_abundances=False) as proposed,
    ):
        pairs = zip(proposed.simulation, proposed.tracer, strict=True)
        place = zip(store.simulation, store.tracer, strict=True)
        number = {pair: row for row, pair in enumerate(place)}
        return np.array([number[pair] for pair in pairs])


def grow(experiment: Experiment, arm: str, seed: int, done: dict[str, Any]) -> None:
    """Train at every size, one after the other, and record each in `done`."""
    import numpy as np

    from astrokeras import TracerStore

    with TracerStore(experiment.data) as store:
        drawn = np.random.default_rng(seed).permutation(store.rows("train"))
    first, *sizes = experiment.sizes[arm]
    before, rows = "", drawn[:first]
    for size in (first, *sizes):
        name = experiment.name(arm, seed, size)
        if name not in done:
            if arm == "random":
                rows = drawn[:size]
            elif size > first:
                more = propose(experiment, before, size - len(rows))
                rows = np.concatenate([rows, more])
            began = time.perf_counter()
            dex = train(experiment, name, rows, seed)
            done[name] = {"dex": dex, "rows": rows.tolist()}
            done[name]["seconds"] = round(time.perf_counter() - began)
            (experiment.folder / "done.json").write_text(json.dumps(done))
            print(f"{name}: {dex:.4f} dex", flush=True)
        before, rows = name, np.array(done[name]["rows"])


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


def collect(
    experiment: Experiment, seeds: list[int], done: dict[str, Any]
) -> dict[str, Any]:
    """Return the curves of each seed that is done, their mean, and the ratios."""
    each = {}
    for seed in seeds:
        names = {
            arm: {size: experiment.name(arm, seed, size) for size in sizes}
            for arm, sizes in experiment.sizes.items()
        }
        if all(name in done for part in names.values() for name in part.values()):
            each[seed] = {
                arm: [(size, done[name]["dex"]) for size, name in part.items()]
                for arm, part in names.items()
            }
    mean = {
        arm: [
            (size, sum(curves[arm][i][1] for curves in each.values()) / len(each))
            for i, size in enumerate(sizes)
        ]
        for arm, sizes in experiment.sizes.items()
    }
    return {
        "seeds": [
            {"seed": seed} | curves | {"by_size": compare(curves)}
            for seed, curves in each.items()
        ],
        "mean": mean | {"by_size": compare(mean)},
    }


def show(figures: dict[str, Any]) -> None:
    """Print what the seeds and their mean curves need."""
    lines: list[tuple] = [("seed", "random", "dex", "propose for the same", "ratio")]
    for part in (*figures["seeds"], figures["mean"]):
        for row in part["by_size"]:
            least, ratio = row["propose"], row["ratio"]
            texts = ("not reached", "-")
            if ratio is not None:
                texts = (f"{least:.0f}", f"{ratio:.2f}")
            seed = part.get("seed", "mean")
            lines.append((seed, row["random"], f"{row['dex']:.4f}", *texts))
    measure.table(lines)
    print(f"target: {TARGET:g} at the largest size")


def main() -> None:
    """Train all sizes of both arms, print and write the figures."""
    parser = measure.options(__doc__, repeats=3)
    parser.set_defaults(threads=1)
    parser.add_argument("--scratch", type=Path, required=True, help="to go on from")
    parser.add_argument("--first", type=int, default=FIRST, help="tracers")
    parser.add_argument("--proposed", type=int, nargs="+", default=PROPOSED)
    parser.add_argument("--random", type=int, nargs="+", default=RANDOM)
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of --repeats")
    parser.add_argument("--every", type=int, default=4, help="state is kept")
    parser.add_argument(
        "--epochs", type=int, nargs=2, default=(10, 60), help=f"at {REFERENCE} tracers"
    )
    parser.add_argument("overrides", nargs="*", help="of the configuration")
    args = parser.parse_args()
    measure.set_threads(args.threads)
    os.environ.setdefault("KERAS_BACKEND", "jax")

    folder = args.scratch.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {
        "random": [args.first, *sorted(args.random)],
        "propose": [args.first, *sorted(args.proposed)],
    }
    experiment = Experiment(folder, args.epochs, args.overrides, sizes, args.threads)
    if not experiment.pool.is_file():
        prepare(args.data, experiment, args.every)
    seeds = args.seeds or list(range(args.repeats))
    settings = {
        "data": args.data.name,
        "every": args.every,
        f"epochs_at_{REFERENCE}": list(args.epochs),
        "overrides": [*SETTINGS, *args.overrides],
    }
    state = folder / "done.json"
    done = json.loads(state.read_text()) if state.is_file() else {"settings": settings}
    if done["settings"] != settings:
        raise SystemExit(f"{folder}: holds another experiment; choose another folder.")
    for seed in seeds:
        for arm in sizes:
            grow(experiment, arm, seed, done)
        figures = settings | {"sizes": sizes} | collect(experiment, seeds, done)
        show(figures)
        measure.write("propose", figures, args.out)


if __name__ == "__main__":
    main()
