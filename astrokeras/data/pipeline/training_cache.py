"""Training cache: scaled states in random order, keyed by content.

Decompression limits the speed of reading a tracer file, so training reads a copy that
is uncompressed or compressed for speed. Its tracers are in a random order, drawn once:
neighbours in a tracer file come from the same simulation and are nearly equal, while a
contiguous read of the cache yields tracers of many simulations.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from astrokeras.data.pipeline.statistics import Statistics, StatisticsCollector
from astrokeras.data.tracers import hdf5_sandbox
from astrokeras.data.tracers.abundance_scaling import scale_abundances
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.hdf5 import open_hdf5
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.split import calibration_rows
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import check_space, hash_file, written_beside

VERSION = 3
BLOCK = 32


@dataclass
class Cache:
    """Training cache on disk.

    Attributes:
        path: HDF5 file with the groups `train` and `validation`, each with
            `abundances` (n, T+1, S) scaled to [0, 1], `physical` (n, T, P) as log10,
            `years` (n, T) between states, and `length` (n,).
        source_hash: SHA-256 of the tracer file.
        floor: Smallest abundance.
        species, parameters, units: Names in column order.
        elements: Element symbols by which species names are parsed.
        fixed: Quantities that the data held fixed, as noted in the tracer file.
        statistics: Statistics of the training tracers.
        tracers: Number of training tracers.
        initial_conditions: Named initial abundances, (S,) each.
    """

    path: Path
    source_hash: str
    floor: float
    species: tuple[str, ...]
    parameters: tuple[str, ...]
    units: tuple[str, ...]
    elements: tuple[str, ...]
    fixed: list[str]
    statistics: Statistics
    tracers: int
    initial_conditions: dict[str, np.ndarray] = field(default_factory=dict)


def prepare(
    source: Path,
    folder: Path,
    floor: float,
    build: bool = True,
    progress: Callable[[int, int], None] | None = None,
    compression: str = "none",
    calibration: float = 0.0,
) -> Cache:
    """Return the training cache of a tracer file, which is created if it is missing.

    Args:
        source: A tracer file with a split.
        folder: Folder of the caches.
        floor: Smallest abundance; smaller ones are raised to it.
        build: Whether to create a missing cache.
        progress: Called with the number of tracers done and their total.
        compression: `none`, or `blosc`, which saves a quarter of the disk space and is
            slightly slower to read.
        calibration: Fraction of the validation simulations that is reserved for
            calibration, see `split.calibration_rows`.

    Raises:
        InputError: If the file is invalid, is not solved, lacks a split, or if the
            cache is missing and must not be created.
    """
    with TracerStore(source) as store:
        if not store.solved:
            raise InputError(
                f"{source}: dataset 'abundances' holds only state 0; "
                "training needs solved tracers."
            )
        elements, fixed = store.elements, store.listed("fixed")
        rows = {name: store.rows(name) for name in ("train", "validation")}
        reserved = calibration_rows(store, calibration)
        rows["validation"] = np.setdiff1d(rows["validation"], reserved)
        digest = hash_file(source)
        content = [VERSION, digest, floor] + [compression] * (compression != "none")
        content += [calibration] * (len(reserved) > 0)
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        path = folder / f"{store.path.stem}-{key[:16]}.h5"
        if not path.exists():
            if not build:
                raise InputError(
                    f"{path}: no training cache of {source}; create it with "
                    "`astrokeras train --mode preprocess` or use --mode both."
                )
            _write(store, rows, path, floor, progress, compression)
        return Cache(
            path,
            digest,
            floor,
            store.species,
            store.parameters,
            store.units,
            elements,
            fixed,
            _read_statistics(path, store, rows),
            len(rows["train"]),
        )


def _read_statistics(
    path: Path, store: TracerStore, rows: dict[str, np.ndarray]
) -> Statistics:
    """Return the statistics in a cache, after a check that the cache is complete."""
    names = list(Statistics.__dataclass_fields__)
    try:
        with open_hdf5(path) as file:
            for name, index in rows.items():
                shape = (len(index), store.states, len(store.species))
                if file[name]["abundances"].shape != shape:
                    raise ValueError(f"{name} does not have the shape {shape}")
            return Statistics(**{name: file["statistics"][name][()] for name in names})
    except (InputError, KeyError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"{path}: is not a training cache of {store.path}, or a damaged one "
            f"({error}); remove it, and it will be created again."
        ) from error


def _write(
    store: TracerStore,
    rows: dict[str, np.ndarray],
    path: Path,
    floor: float,
    progress: Callable[[int, int], None] | None,
    compression: str,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    collector = StatisticsCollector(len(rows["train"]), floor)
    done, total = 0, sum(map(len, rows.values()))
    check_space(path, 4 * total * store.states * len(store.species))
    with written_beside(path) as beside:
        with h5py.File(beside, "w") as file:
            for name, index in rows.items():
                order = np.random.default_rng(0).permutation(len(index))
                group = _make_group(file, name, store, len(index), compression)
                for start in range(0, len(index), BLOCK):
                    tracers = store.read(index[start : start + BLOCK])
                    if name == "train":
                        collector.update(tracers)
                    _write_block(group, order[start:], tracers, floor)
                    done += len(tracers)
                    if progress:
                        progress(done, total)
            for name, value in vars(collector.result()).items():
                file[f"statistics/{name}"] = value
    hdf5_sandbox.mark_verified(path)


def _make_group(
    file: h5py.File, name: str, store: TracerStore, count: int, compression: str
) -> h5py.Group:
    group = file.create_group(name)
    states, species = store.states, len(store.species)
    storage: dict[str, Any] = {}
    if compression == "blosc":
        import hdf5plugin

        # A chunk is decompressed as a whole, so each tracer is a chunk.
        storage = {"chunks": (1, states, species), **hdf5plugin.Blosc("lz4")}
    group.create_dataset("abundances", (count, states, species), "f4", **storage)
    group.create_dataset("physical", (count, states - 1, len(store.parameters)), "f4")
    group.create_dataset("years", (count, states - 1), "f4")
    group.create_dataset("length", (count,), "i4")
    return group


def _write_block(
    group: h5py.Group,
    places: np.ndarray,
    tracers: Tracers,
    floor: float,
) -> None:
    scaled = scale_abundances(tracers.abundances, floor).astype("f4")
    physical = np.log10(tracers.physical.astype("f8")).astype("f4")
    years = np.diff(tracers.time).astype("f4")
    for i, place in enumerate(places[: len(tracers)]):
        length = tracers.length[i]
        # Padding must not be NaN, which stays NaN even with a weight of zero.
        scaled[i, length:] = 0.0
        physical[i, length - 1 :] = 0.0
        years[i, length - 1 :] = years[i, length - 2]
        group["abundances"][place] = scaled[i]
        group["physical"][place] = physical[i]
        group["years"][place] = years[i]
        group["length"][place] = length
