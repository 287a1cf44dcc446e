"""How fast batches are read, beside h5py alone reading the same chunks.

Each pass reads the training tracers once: as rows for the autoencoder and as windows
for the emulator, from the training cache as it is stored, and block by block from the
tracer file itself. The peer reads the same contiguous runs of the same datasets and
does nothing with them. The files come from memory (the system's page cache) in both.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import measure

BATCH, WINDOW, WINDOWS = 4096, 240, 64
COMPRESSIONS = ("none", "blosc", "gzip")


def make_cache(data: Path, compression: str, folder: Path) -> Any:
    """Return a training cache of the tracer file; astrokeras itself makes no gzip."""
    import h5py

    from astrokeras.data.pipeline.training_cache import prepare

    if compression != "gzip":
        return prepare(data, folder, 1e-20, compression=compression)
    cache = prepare(data, folder, 1e-20)
    path = folder / "gzip.h5"
    with h5py.File(cache.path) as source, h5py.File(path, "w") as target:
        source.copy("train", target)
        abundances = target["train/abundances"][:]
        del target["train/abundances"]
        target["train"].create_dataset(
            "abundances",
            data=abundances,
            chunks=(1, *abundances.shape[1:]),
            compression="gzip",
            shuffle=True,
        )
    return replace(cache, path=path)


def make_samplers(cache: Any) -> dict[str, Any]:
    """Return a sampler of rows and one of windows."""
    import h5py

    from astrokeras.data.pipeline.samplers import RowSampler
    from astrokeras.data.pipeline.window_sampler import WindowSampler

    with h5py.File(cache.path) as file:
        tracers = len(file["train/length"])
    # At least four chunks, so that none is still in memory when a pass begins.
    chunk = max(1, min(256, tracers // 4))
    return {
        "rows": RowSampler(cache, BATCH, seed=0, chunk=chunk),
        "windows": WindowSampler(cache, WINDOWS, [WINDOW], seed=0, chunk=chunk),
    }


def states_of(sampler: Any) -> int:
    """Return how many states a batch holds."""
    truth = sampler.arguments(sampler.batch(0, 0))[1]
    return truth.size // truth.shape[-1]


def through(sampler: Any) -> Callable[[], None]:
    """Return what reads an epoch through the pipeline that training uses."""
    from astrokeras.data.pipeline.datasets import batches

    dataset = batches(sampler)

    def read() -> None:
        for _ in dataset:
            pass

    return read


def alone(sampler: Any) -> Callable[[], None]:
    """Return what reads the same chunks by h5py and drops them."""
    edges = list(zip(sampler.bounds[:-1], sampler.bounds[1:], strict=True))

    def read() -> None:
        for start, stop in edges:
            sampler.group["abundances"][start:stop]
            sampler.group["physical"][start:stop]

    return read


def training(repeats: int, samplers: dict[str, Any]) -> dict[str, Any]:
    """Return the states per second that training consumes, of batches in memory.

    The networks are those that ship and all states are decoded; the loss costs less
    than ours, so the figures are high rather than low.
    """
    import astrokeras

    emulator = astrokeras.load("grav").emulator
    models = {"rows": emulator.autoencoder, "windows": emulator}
    rates = {}
    for kind, sampler in samplers.items():
        model, arguments = models[kind], sampler.arguments(sampler.batch(0, 0))
        model.trainable = True
        model.compile("adamw", "mean_absolute_error")
        taken = measure.repeat(partial(model.train_on_batch, *arguments), repeats)
        rates[kind] = measure.rate(states_of(sampler), taken)
    return rates


def read_file(path: Path, repeats: int) -> dict[str, Any]:
    """Compare `TracerStore.blocks` with h5py on the tracer file."""
    import h5py

    from astrokeras import TracerStore

    names = ("abundances", "physical", "time")
    with TracerStore(path) as store, h5py.File(path) as file:
        states = int(store.length.sum())

        def ours() -> None:
            for _ in store.blocks():
                pass

        def peer() -> None:
            for start in range(0, store.tracers, 32):
                for name in names:
                    file[name][start : start + 32]

        taken = measure.alternate({"ours": ours, "peer": peer}, repeats)
    return figures_of(taken, states, states)


def figures_of(taken: dict[str, Any], states: float, read: float) -> dict[str, Any]:
    """Turn seconds into states per second: delivered by us, read by the peer."""
    return {
        "ours": measure.rate(states, taken["ours"]),
        "h5py": measure.rate(read, taken["peer"]),
        "ratio": taken["ratios"]["peer"],
    }


def main() -> None:
    """Measure, print and write the figures."""
    parser = measure.options(__doc__)
    parser.add_argument("--scratch", type=Path, help="folder of temporary files")
    args = parser.parse_args()
    measure.set_threads(args.threads)

    from astrokeras.system.backend import start_keras

    start_keras("cpu")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        for compression in COMPRESSIONS:
            cache = make_cache(args.data, compression, Path(name))
            samplers = make_samplers(cache)
            if compression == "none":
                consumed = training(args.repeats, samplers)
            for kind, sampler in samplers.items():
                delivered = sampler.steps * states_of(sampler)
                stored = sampler.states * len(sampler.length)
                taken = measure.alternate(
                    {"ours": through(sampler), "peer": alone(sampler)}, args.repeats
                )
                figure = figures_of(taken, delivered, stored)
                speed = figure["ours"]["median"] / consumed[kind]["median"]
                figures[f"{kind}, cache {compression}"] = figure | {"training": speed}
                sampler.close()
    figures["blocks of the tracer file"] = read_file(args.data, args.repeats)
    rows = [["states/s", "ours", "h5py", "time of h5py / ours", "ours / training"]]
    for key, figure in figures.items():
        shown = [measure.show(figure[name]) for name in ("ours", "h5py", "ratio")]
        speed = f"{figure['training']:.1f}" if "training" in figure else ""
        rows.append([key, *shown, speed])
    measure.table(rows)
    told = {kind: measure.show(value) for kind, value in consumed.items()}
    print(f"training consumes {told['rows']} of rows, {told['windows']} of windows")
    facts = {"data": args.data.name, "batch": BATCH, "windows": [WINDOWS, WINDOW]}
    measure.write("input", facts | {"training": consumed} | figures, args.out)


if __name__ == "__main__":
    main()
