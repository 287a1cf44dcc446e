"""How long all of training takes to the accuracy of a PyTorch peer, one seed each.

The peer, `reference_torch`, trains each stage to its early stop, or to the end of 300
and 200 epochs. The mark is the best validation dex of its emulator, a mean over
rollouts of all steps; its time ends with the epoch that first reached it. Ours is the
training that users run, at the settings of `quickstart.sh`, from a training cache to a
run directory; its time ends with the first epoch of its emulator at the mark or below,
and holds the autoencoder's. A second peer is the same program with our loss.

Each training is a fresh process on the CPU. All keep freed memory, as our command line
does and a PyTorch script by itself would not. Imports and making the cache count for
nobody. Reading the data does not count for the peer, which holds them in memory; for us
reading, compiling, validating and writing checkpoints all do.

With one thread and two cores each process keeps to one core: the peer to one, ours and
then the second peer to the other, swapped with each seed. Otherwise they follow each
other, in an order that turns round with each seed. Where other programs share the
machine, the CPU time tells more: seconds times the share of a core that a training had.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measure

TARGET = 3.0
QUICKSTART = ("autoencoder.fit.epochs=40", "emulator.fit.epochs=150")
LOSSES = ("reference", "dex")

History = list[tuple[float, str, float]]
"""(seconds since the start, stage, validation dex) of every epoch."""
Training = tuple[History, float]
"""The epochs, and the share of a core that the training had: its CPU by wall time."""


def peer(
    settings: list[str], seed: int, loss: str, epochs: tuple[int, int]
) -> Training:
    """Train the peer in this process."""
    import reference_torch

    from astrokeras import compose
    from astrokeras.chemistry.stoichiometry import stoichiometric_matrix

    cache = prepare(compose(settings))
    matrix, _ = stoichiometric_matrix(cache.species, cache.elements)
    data = reference_torch.load(cache, matrix)
    return shared(lambda: reference_torch.train(data, seed, epochs, loss))


def ours(settings: list[str], seed: int) -> Training:
    """Train the package's models in this process."""
    from astrokeras import compose
    from astrokeras.system.backend import start_keras

    start_keras("cpu")
    # What `train` imports on its way; the clock starts when all is there.
    import astrokeras.training.stages  # noqa: F401
    from astrokeras.training.train import train

    config = compose([*settings, f"seed={seed}", f"name=seed-{seed}"])
    began = time.time()
    run, share = shared(lambda: train(config, mode="train", device="cpu"))
    history = [
        (end - began, stage, dex)
        for stage in ("autoencoder", "emulator")
        for end, dex in validations(run.tensorboard / stage)
    ]
    return history, share


def prepare(config: Any) -> Any:
    """Find or make the training cache."""
    from astrokeras.data.pipeline.training_cache import prepare
    from astrokeras.runs.directory import find_data

    source = find_data(config.dataset.path, "dataset.path")
    return prepare(source, Path(config.cache_dir), config.dataset.floor)


def validations(folder: Path) -> list[tuple[float, float]]:
    """Return the end of every epoch, by TensorBoard's clock, and its validation dex."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    return [
        (event.wall_time, float(make_ndarray(value.tensor)))
        for path in sorted(folder.glob("events.*"))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == "val_dex"
    ]


def shared(train: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a training returns, and its CPU time divided by its wall time."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = train()
    return result, (time.process_time() - cpu) / (time.perf_counter() - wall)


def alone(core: int | None, function: Callable, *values: Any) -> Training:
    """Train in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(pinned, core, function, *values).result()


def pinned(core: int | None, function: Callable, *values: Any) -> Training:
    """Train on one core, if one is named, and keep freed memory as our commands do."""
    from astrokeras import keep_memory

    keep_memory()
    if core is not None:
        os.sched_setaffinity(0, {core})
    return function(*values)


def run(calls: dict[str, tuple], pin: bool, turn: bool) -> dict[str, Training]:
    """Run trainings in fresh processes.

    Args:
        calls: By name: a function and its arguments, picklable.
        pin: Whether the first has a core of its own while the others take turns on a
            second one. Otherwise all follow each other on whatever cores there are.
        turn: Whether to swap the cores, or to turn the order round.
    """
    names = list(calls)
    if not pin:
        order = reversed(names) if turn else names
        return {name: alone(None, *calls[name]) for name in order}

    def lane(core: int, names: list[str]) -> dict[str, Training]:
        return {name: alone(core, *calls[name]) for name in names}

    cores = sorted(os.sched_getaffinity(0))[:2]
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(
            lane, reversed(cores) if turn else cores, (names[:1], names[1:])
        )
        return {name: done for part in parts for name, done in part.items()}


def compare(theirs: Training, own: Training) -> dict[str, Any]:
    """Return the mark, the time of either to it, and how many times faster ours is."""
    (history, share), (own_history, own_share) = theirs, own
    mark, best = min((dex, at) for at, stage, dex in history if stage == "emulator")
    rollouts = [(at, dex) for at, stage, dex in own_history if stage == "emulator"]
    reached = next((at for at, dex in rollouts if dex <= mark), None)
    return {
        "mark": mark,
        "peer": best,
        "peer_stop": history[-1][0],
        "ours": reached,
        "faster": best / reached if reached else 0.0,
        "faster_in_cpu_time": best * share / (reached * own_share) if reached else 0.0,
    }


def describe(history: History, share: float) -> dict[str, Any]:
    """Return the best dex, the epochs and the seconds of both stages."""
    stages: dict[str, Any] = {"share_of_core": share}
    for name in ("autoencoder", "emulator"):
        epochs = [(dex, at) for at, stage, dex in history if stage == name]
        best, at = min(epochs)
        end = epochs[-1][1]
        stages[name] = {"best": best, "at": at, "end": end, "epochs": len(epochs)}
    return stages


def show(figures: dict[str, Any]) -> None:
    """Print a table for each peer."""
    for loss, rows in figures["peers"].items():
        print(f"\npeer with the loss {loss}: dex of validation, seconds to it")
        head = ("seed", "dex", "peer", "peer stops", "ours")
        lines: list[tuple] = [(*head, "times faster", "by CPU time")]
        for seed, row in enumerate(rows["seeds"]):
            reached = f"{row['ours']:.0f}" if row["ours"] else "never"
            times = (f"{row['peer']:.0f}", f"{row['peer_stop']:.0f}", reached)
            faster = (f"{row['faster']:.2f}", f"{row['faster_in_cpu_time']:.2f}")
            lines.append((seed, f"{row['mark']:.3f}", *times, *faster))
        measure.table(lines)
        print(f"{measure.show(rows['faster'])} times faster, target {TARGET:g}")


def main() -> None:
    """Measure, print and write the figures."""
    parser = measure.options(__doc__, repeats=3)
    parser.set_defaults(threads=1)
    parser.add_argument("--losses", choices=LOSSES, nargs="+", default=LOSSES)
    parser.add_argument(
        "--peer-epochs", type=int, nargs=2, default=(300, 200), help="at most"
    )
    parser.add_argument("--scratch", type=Path, help="folder of temporary files")
    parser.add_argument("overrides", nargs="*", default=QUICKSTART, help="of ours")
    args = parser.parse_args()
    measure.set_threads(args.threads)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    pin = args.threads == 1 and measure.cores() > 1 and hasattr(os, "sched_getaffinity")

    figures: dict[str, Any] = {
        "data": args.data.name,
        "overrides": list(args.overrides),
        "at_the_same_time": pin,
        "ours": [],
        "peers": {loss: {"seeds": [], "trainings": []} for loss in args.losses},
    }
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        settings = [
            f"runs_dir={Path(name).resolve() / 'runs'}",
            f"dataset.path={args.data.resolve()}",
            *args.overrides,
        ]
        from astrokeras import compose

        prepare(compose(settings))
        for seed in range(args.repeats):
            first, *others = [
                (loss, (peer, settings, seed, loss, tuple(args.peer_epochs)))
                for loss in args.losses
            ]
            calls = dict([first, ("ours", (ours, settings, seed)), *others])
            done = run(calls, pin, turn=seed % 2 == 1)
            own = done.pop("ours")
            figures["ours"].append(describe(*own))
            for loss, training in done.items():
                rows = figures["peers"][loss]
                rows["seeds"].append(compare(training, own))
                rows["trainings"].append(describe(*training))
                faster = [row["faster"] for row in rows["seeds"]]
                rows["faster"] = measure.summarise(faster)
            show(figures)
            measure.write("time_to_accuracy", figures, args.out)


if __name__ == "__main__":
    main()
