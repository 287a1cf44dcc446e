"""Damages tracer files and reads them: `damaged.py --files 10000 --seed 0`.

Bytes are flipped, cut, zeroed, doubled and exchanged, chunks overwritten, superblocks
zeroed, and types, shapes and attributes changed with h5py.  Each file is opened by
the package's readers in a process of its own.  It must be read, twice with the same
result, or be refused with an `InputError` of one line that names it; all else is a
fault: another exception, a process that dies or takes too long, a write outside the
folder of the output.  Prints the tally as JSON; the exit code is 1 if there are faults.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from flips import change as flip

from astrokeras.config import DatasetConfig, SplitConfig
from astrokeras.data.checks.summary import inspect_tracers
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers import hdf5_sandbox
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError

LIMIT = 90.0
"""Seconds for one file; the package itself gives up a file after 60."""
SPECIES, PARAMETERS = ("H", "H2", "O", "CO", "#H2O"), ("Density", "Av")
UNITS = ("H nuclei cm^-3", "mag")
COLUMNS = DatasetConfig(
    parameters={"Density": "Density", "Av": "Av"},
    units=dict(zip(PARAMETERS, UNITS, strict=True)),
    split=SplitConfig(by="tracer"),
)

Rng = np.random.Generator


def make(folder: Path) -> list[Path]:
    """Write sound files: solved tracers, packed and not, tracks, and plain columns."""
    rng = np.random.default_rng(0)
    tracers, states = 9, 8
    block = empty_tracers(tracers, states, len(SPECIES), len(PARAMETERS))
    block.abundances[:] = 10 ** rng.uniform(-12, -1, block.abundances.shape)
    block.physical[:] = 10 ** rng.uniform(1, 3, block.physical.shape)
    block.time[:], block.length[:] = 100.0 * np.arange(states), states
    block.tracer[:] = block.simulation[:] = np.arange(tracers)
    block.split[:] = np.arange(tracers) % 3
    paths = []
    for name, species, packing in (
        ("solved.h5", SPECIES, "gzip"),
        ("plain.h5", SPECIES, None),
        ("tracks.h5", (), "gzip"),
    ):
        paths.append(folder / name)
        with TracerWriter(
            paths[-1],
            species=species,
            parameters=PARAMETERS,
            units=UNITS,
            states=states,
            attributes={"source": "fuzzing", "elements": ["O"], "fixed": ["zeta = 1"]},
            compression=packing,
        ) as writer:
            writer.append(block)
    paths.append(folder / "columns.h5")
    with h5py.File(paths[-1], "w") as file:
        file["Time"] = block.time.ravel()
        file["Tracer"] = np.repeat(np.arange(tracers), states)
        for column, name in enumerate(PARAMETERS):
            values = np.repeat(block.physical[..., column], states, 1)
            file[name] = values.ravel()[: tracers * states]
        for column, name in enumerate(SPECIES):
            file[name.replace("#", "@")] = block.abundances[..., column].ravel()
    return paths


# What is done to a file


def flip_bytes(path: Path, rng: Rng) -> None:
    """Flip bits anywhere, or set bytes of the beginning."""
    path.write_bytes(flip(path.read_bytes(), rng, anywhere=bool(rng.integers(2))))


def truncate(path: Path, rng: Rng) -> None:
    """Cut the file anywhere."""
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def overwrite(path: Path, rng: Rng) -> None:
    """Put noise, ones or zeros over a run of bytes."""
    data = bytearray(path.read_bytes())
    start = int(rng.integers(len(data)))
    count = min(int(rng.integers(1, 600)), len(data) - start)
    kinds = (bytes(count), b"\xff" * count, rng.bytes(count))
    data[start : start + count] = kinds[int(rng.integers(3))]
    path.write_bytes(data)


def exchange(path: Path, rng: Rng) -> None:
    """Exchange two blocks, or write one of them twice."""
    data = bytearray(path.read_bytes())
    size = int(rng.choice([8, 64, 512, 2048]))
    count = len(data) // size
    one, other = (size * int(i) for i in rng.integers(0, count, 2))
    kept = data[one : one + size]
    if rng.integers(2):
        data[one : one + size] = data[other : other + size]
    data[other : other + size] = kept
    path.write_bytes(data)


def shift(path: Path, rng: Rng) -> None:
    """Insert or leave out some bytes: what follows stands where nothing looks."""
    data = path.read_bytes()
    place, count = int(rng.integers(len(data))), int(rng.integers(1, 64))
    if rng.integers(2):
        path.write_bytes(data[:place] + rng.bytes(count) + data[place:])
    else:
        path.write_bytes(data[:place] + data[place + count :])


def zero_superblock(path: Path, rng: Rng) -> None:
    """Zero the superblock, with or without the signature, or some of its fields."""
    data = bytearray(path.read_bytes())
    start = int(rng.choice([0, 8, 16, 24, 40, 56]))
    stop = int(rng.integers(start + 1, 97))
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)


def spoil_chunk(path: Path, rng: Rng) -> None:
    """Overwrite part of a chunk, packed or not."""
    with h5py.File(path) as file:
        names = [name for name in file if file[name].chunks]
        if not names:
            return
        dataset = file[str(rng.choice(names))]
        chunk = dataset.id.get_chunk_info(
            int(rng.integers(dataset.id.get_num_chunks()))
        )
    data = bytearray(path.read_bytes())
    start = chunk.byte_offset + int(rng.integers(chunk.size))
    count = int(rng.integers(1, 1 + chunk.byte_offset + chunk.size - start))
    data[start : start + count] = rng.bytes(count)
    path.write_bytes(data)


TYPES = (
    "f2",
    ">f8",
    "i1",
    "u8",
    "?",
    "c8",
    "S3",
    "V7",
    "M8[s]",
    "text",
    "pair",
    "enum",
)


def change_type(path: Path, rng: Rng) -> None:
    """Make a dataset again of another type, as far as its values can be cast."""
    kind = str(rng.choice(TYPES))
    special: dict[str, Any] = {
        "text": h5py.string_dtype(),
        "pair": np.dtype([("a", "f4"), ("b", "i4")]),
        "enum": h5py.enum_dtype({"A": 0, "B": 1}),
        "M8[s]": h5py.opaque_dtype(np.dtype("M8[s]")),
    }
    with h5py.File(path, "r+") as file:
        name = str(rng.choice(sorted(file)))
        values, about = file[name][()], dict(file[name].attrs)
        dtype = special.get(kind) or np.dtype(kind)
        with np.errstate(all="ignore"):
            try:
                made = values.astype(dtype)
            except (TypeError, ValueError):
                made = np.zeros(values.shape, dtype)
        del file[name]
        new = file.create_dataset(name, made.shape, dtype)
        with contextlib.suppress(TypeError, ValueError, OSError):
            new[...] = made
        new.attrs.update(about)


def change_shape(path: Path, rng: Rng) -> None:
    """Make a dataset scalar, longer, shorter, empty, deeper, or without any space."""
    with h5py.File(path, "r+") as file:
        name = str(rng.choice(sorted(file)))
        values, about = file[name][()], dict(file[name].attrs)
        del file[name]
        made: tuple[Any, ...] = (
            values.ravel()[0],
            np.concatenate([values, values]),
            values[:-1],
            values[:0],
            values[None],
            values.T,
            h5py.Empty(values.dtype),
        )
        file[name] = made[int(rng.integers(len(made)))]
        file[name].attrs.update(about)


VALUES = (
    *(0, -1, 2**62, np.nan, np.inf, -np.inf, 1e300, "", "x", "H\n2", b"\xff\xfe"),
    *(["a", "b"], [1.5, np.nan], np.zeros((2, 2)), np.zeros(0), np.bytes_(b"\xff")),
    *(True, 1j, h5py.Empty("f4"), h5py.Empty("S1"), "y" * 60_000, np.void(b"ab")),
)


def change_attribute(path: Path, rng: Rng) -> None:
    """Give an attribute that the readers look for another value, or remove it."""
    keys = ("format", "elements", "fixed", "source", "units", "split_by", "split_seed")
    with h5py.File(path, "r+") as file:
        owner = file.get("parameters", file)
        owner = owner if rng.integers(2) else file
        key = str(rng.choice(keys))
        if rng.integers(5):
            with contextlib.suppress(TypeError, ValueError, OSError):
                owner.attrs[key] = VALUES[int(rng.integers(len(VALUES)))]
        elif key in owner.attrs:
            del owner.attrs[key]


def change_values(path: Path, rng: Rng) -> None:
    """Set a value of a dataset to one that it can hardly have."""
    with h5py.File(path, "r+") as file:
        name = str(rng.choice(sorted(file)))
        dataset = file[name]
        place = tuple(int(rng.integers(axis)) for axis in dataset.shape)
        # Numbers for numbers and text for text: h5py itself crashes for others.
        numeric = dataset.dtype.kind in "fiu"
        fitting = [v for v in VALUES if isinstance(v, int | float) == numeric]
        if not numeric:
            fitting = [v for v in fitting if isinstance(v, str | bytes)]
        with contextlib.suppress(ValueError, OverflowError), np.errstate(all="ignore"):
            dataset[place] = fitting[int(rng.integers(len(fitting)))]


def rename(path: Path, rng: Rng) -> None:
    """Remove a dataset, or put another, a group or a link in its place."""
    with h5py.File(path, "r+") as file:
        name, other = (str(one) for one in rng.choice(sorted(file), 2))
        way = int(rng.integers(6))
        kept = file[other]
        if name == other:
            kept = file.create_dataset(None, data=np.arange(3))
        del file[name]
        if way == 1:
            file[name] = kept
        elif way == 2:
            file.create_group(name)
        elif way == 3:
            file[name] = h5py.SoftLink(f"/{name}")
        elif way == 4:
            file[name] = h5py.ExternalLink("elsewhere.h5", "/x")
        elif way == 5:
            file[name] = np.dtype("f4")


DAMAGES: tuple[Callable[[Path, Rng], None], ...] = (
    *(flip_bytes, truncate, overwrite, exchange, shift, zero_superblock, spoil_chunk),
    *(change_type, change_shape, change_attribute, change_values, rename),
)


# How it is read


def digest(store: TracerStore) -> str:
    """Return a hash of all that a store reads."""
    read = store.read(slice(None))
    told = hashlib.sha256(repr((store.species, store.parameters, store.units)).encode())
    for name in ("abundances", "physical", "time", "length", "tracer", "simulation"):
        told.update(getattr(read, name).tobytes())
    return told.hexdigest()


def read_store(path: Path) -> None:
    """Open a store and read it twice; what is read must follow the format."""
    with TracerStore(path, need_abundances=False) as store:
        first = digest(store)
        block = store.read(slice(None))
        live = np.arange(store.states) < block.length[:, None]
        assert np.isfinite(block.time[live]).all()
        assert np.isfinite(block.physical[live[:, 1:]]).all()
        if store.solved:
            assert (np.abs(block.abundances[live]) <= 1 + 1e-5).all()
        _ = store.elements, store.held()
    with TracerStore(path, need_abundances=False) as store:
        assert digest(store) == first, "read in two ways"


def read_all(path: Path, out: Path) -> str:
    """Return what became of a file: "read", "refused", or a fault."""
    results: set[str] = set()
    hdf5_sandbox.forget()
    readers = (
        lambda: read_store(path),
        lambda: inspect_tracers(path),
        lambda: import_tracers(path, out, COLUMNS, split=False),
    )
    for reader in readers:
        # What is no tracer file may be a table; copies take longest to write.
        if reader is readers[-1] and "read" in results and path.stat().st_size % 4:
            break
        try:
            reader()
            results.add("read")
        except InputError as error:
            message = str(error)
            if "\n" in message or len(message) > 2000 or path.name not in message:
                return f"message: {message[:300]!r}"
            results.add("refused")
        except BaseException as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "read" if "read" in results else "refused"


def serve(pipe: Any, folder: Path) -> None:
    """Read files whose names come through a pipe, and notice what is written."""
    strays: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            writes = isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            place = os.path.abspath(os.fsdecode(arguments[0]))
            if writes and not place.startswith((str(folder / "out"), "/dev/")):
                strays.append(place)

    sys.addaudithook(watch)
    os.chdir(folder / "out")
    while (path := pipe.recv()) is not None:
        before = listing(folder)
        result = read_all(path, folder / "out" / "out.h5")
        if strays or listing(folder) != before:
            result = f"write elsewhere: {strays[:1] or 'a file of the folder'}"
        strays.clear()
        pipe.send(result)


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """Return what lies beside the folder of the output."""
    return [
        (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
        if entry.name != "out"
    ]


class Reader:
    """A process that reads; another one after it died or was killed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start the process."""
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, self.folder), daemon=True
        )
        self.process.start()
        theirs.close()

    def outcome(self, path: Path) -> str:
        """Return what becomes of a file that is read."""
        self.pipe.send(path)
        try:
            if self.pipe.poll(LIMIT):
                return str(self.pipe.recv())
            result = f"hung for {LIMIT:g} s"
        except EOFError:
            self.process.join()
            result = f"died with exit code {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self.start()
        return result

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


def damaged(sources: list[Path], files: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Yield the kind of damage and the damaged file, the same for the same seed."""
    path = sources[0].parent / "damaged.h5"
    for number in range(files):
        rng = np.random.default_rng([seed, number])
        shutil.copyfile(sources[int(rng.integers(len(sources)))], path)
        chosen = DAMAGES[number % len(DAMAGES)]
        chosen(path, rng)
        yield chosen.__name__, path


def main() -> int:
    """Print the tally as JSON, and each fault as it is found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder for files that show a fault.")
    given = parser.parse_args()
    # Ended before its end, it prints what it has found.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    tally: dict[str, Counter[str]] = {one.__name__: Counter() for one in DAMAGES}
    with tempfile.TemporaryDirectory(prefix="damaged-") as name:
        folder = Path(name)
        (folder / "out").mkdir()
        reader = Reader(folder)
        with contextlib.suppress(KeyboardInterrupt):
            for number, (kind, path) in enumerate(
                damaged(make(folder), given.files, given.seed)
            ):
                result = reader.outcome(path)
                fault = result not in ("read", "refused")
                tally[kind]["fault" if fault else result] += 1
                if fault:
                    print(
                        f"file {number}, {kind}: {result}", file=sys.stderr, flush=True
                    )
                    _keep(path, given.keep, f"{given.seed}-{number}.h5")
        reader.close()
    files = sum(map(Counter.total, tally.values()))
    faults = sum(one["fault"] for one in tally.values())
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"files": files, "faults": faults, "seconds": seconds}))
    print(json.dumps(tally))
    return int(faults > 0)


def _keep(path: Path, folder: Path | None, name: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


if __name__ == "__main__":
    sys.exit(main())
