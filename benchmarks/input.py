"""How fast batches are read, beside h5py alone reading the same chunks.

Each pass reads the training tracers once: as rows for the autoencoder and as windows
for the emulator, from the training cache as it is stored, and block by block from the
tracer file itself. The peer reads the same contiguous runs of the same datasets and
does nothing with them. The files come from memory (the system's page cache) in both.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure

BATCH, WINDOW, WINDOWS = 4096, 240, 64
STORED = {"none": {}, "blosc": {}, "gzip": {"compression": "gzip", "shuffle": True}}


def stored(cache: Any, compression: str, folder: Path) -> Any:
    """Return the cache with its datasets compressed, a chunk a tracer."""
    import h5py
    import hdf5plugin

    if compression == "none":
        return cache
    filters = STORED[compression] or hdf5plugin.Blosc("lz4")
    path = folder / f"{compression}.h5"
    with h5py.File(cache.path) as source, h5py.File(path, "w") as target:
        for name, group in source.items():
            source.copy(group, target, name)
        for group in (target["train"], target["validation"]):
            for name in ("abundances", "physical"):
                data = group[name][:]
                del group[name]
                chunks = (1, *data.shape[1:])
                group.create_dataset(name, data=data, chunks=chunks, **filters)
    return replace(cache, path=path)


def passes(cache: Any) -> dict[str, tuple[Any, float]]:
    """Return a sampler of rows, one of windows, and the states that each delivers."""
    import h5py

    from astrokeras.data.sampling import RowSampler
    from astrokeras.data.windows import WindowSampler

    with h5py.File(cache.path) as file:
        tracers = len(file["train/length"])
    # At least four chunks, so that none is still in memory when a pass begins.
    chunk = max(1, min(256, tracers // 4))
    rows = RowSampler(cache, BATCH, seed=0, chunk=chunk)
    windows = WindowSampler(cache, WINDOWS, [WINDOW], seed=0, chunk=chunk)
    return {
        f"rows, {rows.batch_size} a batch": (rows, rows.steps * rows.batch_size),
        f"windows, {WINDOWS} x {WINDOW}": (
            windows,
            windows.steps * WINDOWS * (WINDOW + 1),
        ),
    }


def through(sampler: Any) -> Callable[[], None]:
    """Return what reads an epoch through the pipeline that training uses."""
    from astrokeras.data.batches import batches

    dataset = batches(sampler, endless=False)

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

    from astrokeras.backend import start_keras
    from astrokeras.data.cache import prepare

    start_keras("cpu")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name)
        cache = prepare(args.data, folder, 1e-20)
        for compression in STORED:
            kept = stored(cache, compression, folder)
            for what, (sampler, delivered) in passes(kept).items():
                states = sampler.group["abundances"].shape[:2]
                taken = measure.alternate(
                    {"ours": through(sampler), "peer": alone(sampler)}, args.repeats
                )
                key = f"{what}, cache {compression}"
                figures[key] = figures_of(taken, delivered, states[0] * states[1])
                sampler.close()
    figures["blocks of the tracer file"] = read_file(args.data, args.repeats)
    rows = [["", "states/s", "h5py alone, states/s", "time of h5py / ours"]]
    rows += [
        [key, *map(measure.show, value.values())] for key, value in figures.items()
    ]
    measure.table(rows)
    measure.write("input", {"data": args.data.name, "figures": figures}, args.out)


if __name__ == "__main__":
    main()
