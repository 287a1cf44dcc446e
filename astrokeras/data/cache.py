"""The training cache: scaled, uncompressed, in random order, keyed by its content.

Decompression decides the speed of reading a tracer file, so training reads a copy that
needs none. Its tracers lie in a random order, drawn once: neighbours in a tracer file
come from one simulation and are near-copies of each other, neighbours here do not, and
one contiguous read still fetches many.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from astrokeras.chemistry.species import find_elements
from astrokeras.data.scaling import decades, scale_abundances
from astrokeras.data.store import TracerStore
from astrokeras.data.tracers import Tracers
from astrokeras.errors import InputError

VERSION = 2
BLOCK = 32
# A median over this many initial states is as good as one over millions.
MOST_STARTS = 4096


@dataclass
class Statistics:
    """What training needs to know of the training tracers, by NumPy arrays.

    Attributes:
        offset, scale: Of the log10 parameters, (P,).
        parameter_low, parameter_high: Range of the parameters, physical units, (P,).
        species_mean, species_spread: Of the scaled abundances, (S,).
        species_low, species_high: Range of the abundances over all states, (S,).
        start: Median initial abundances, (S,).
        step: Shortest and longest interval between states, years, (2,).
        duration: Longest time that a tracer was followed, years, ().
        longest: Most steps of a tracer, ().
    """

    offset: np.ndarray
    scale: np.ndarray
    parameter_low: np.ndarray
    parameter_high: np.ndarray
    species_mean: np.ndarray
    species_spread: np.ndarray
    species_low: np.ndarray
    species_high: np.ndarray
    start: np.ndarray
    step: np.ndarray
    duration: np.ndarray
    longest: np.ndarray


@dataclass
class Cache:
    """A training cache on disk.

    Attributes:
        path: HDF5 file with the groups `train` and `validation`, each with
            `abundances` (n, T+1, S) scaled to [0, 1], `physical` (n, T, P) as log10,
            and `length` (n,).
        source_hash: SHA-256 of the tracer file.
        floor: Smallest abundance.
        species, parameters, units: Names in column order.
        elements: Symbols that the species names are read by.
        fixed: What the data held fixed, as their file notes it.
        statistics: Of the training tracers.
        starts: Named initial abundances, (S,) each, for whoever names them.
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
    starts: dict[str, np.ndarray] = field(default_factory=dict)


def prepare(
    source: Path,
    folder: Path,
    floor: float,
    build: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Cache:
    """Find or make the training cache of a tracer file.

    Args:
        source: A tracer file with a split.
        folder: Where caches are kept.
        floor: Smallest abundance; smaller ones are raised to it.
        build: Whether to make a missing cache.
        progress: Called with tracers done and tracers in all.

    Raises:
        InputError: If the file is wrong, lacks solutions or a split, or if the cache
            is missing and must not be made.
    """
    with TracerStore(source) as store:
        if not store.solved:
            raise InputError(
                f"{source}: dataset 'abundances' holds state 0 alone; "
                "training needs solved tracers."
            )
        rows = {name: store.rows(name) for name in ("train", "validation")}
        digest = hash_file(source)
        key = hashlib.sha256(json.dumps([VERSION, digest, floor]).encode()).hexdigest()
        path = folder / f"{store.path.stem}-{key[:16]}.h5"
        if not path.exists():
            if not build:
                raise InputError(
                    f"{path}: no training cache of {source}; make it with "
                    "`astrokeras train --mode preprocess` or use --mode both."
                )
            _write(store, rows, path, floor, progress)
        with h5py.File(path) as file:
            statistics = {name: file["statistics"][name][()] for name in _names()}
        return Cache(
            path,
            digest,
            floor,
            store.species,
            store.parameters,
            store.units,
            tuple(store.attributes.get("elements", [])) or find_elements(store.species),
            list(store.attributes.get("fixed", [])),
            Statistics(**statistics),
        )


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names() -> list[str]:
    return list(Statistics.__dataclass_fields__)


def _write(
    store: TracerStore,
    rows: dict[str, np.ndarray],
    path: Path,
    floor: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.partial-{os.getpid()}")
    collector = _Collector(len(rows["train"]), floor)
    done, total = 0, sum(map(len, rows.values()))
    try:
        with h5py.File(beside, "w") as file:
            for name, index in rows.items():
                order = np.random.default_rng(0).permutation(len(index))
                group = _make_group(file, name, store, len(index))
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
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _make_group(
    file: h5py.File, name: str, store: TracerStore, count: int
) -> h5py.Group:
    group = file.create_group(name)
    states, species = store.states, len(store.species)
    group.create_dataset("abundances", (count, states, species), "f4")
    group.create_dataset("physical", (count, states - 1, len(store.parameters)), "f4")
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
    for i, place in enumerate(places[: len(tracers)]):
        length = tracers.length[i]
        # Beyond its length a tracer holds NaN, which no weight of zero can undo.
        scaled[i, length:] = 0.0
        physical[i, length - 1 :] = 0.0
        group["abundances"][place] = scaled[i]
        group["physical"][place] = physical[i]
        group["length"][place] = length


class _Moments:
    """Mean and standard deviation per column, summed in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.square = np.zeros(())

    def update(self, rows: np.ndarray) -> None:
        self.count += len(rows)
        self.sum = self.sum + rows.sum(0, dtype="f8")
        self.square = self.square + np.square(rows, dtype="f8").sum(0)

    def result(self, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and spread; a spread below `least` becomes 1."""
        mean = self.sum / self.count
        spread = np.sqrt(np.maximum(self.square / self.count - mean**2, 0))
        return mean, np.where(spread > least, spread, 1.0)


class _Collector:
    """Collects the statistics of the training tracers block by block."""

    def __init__(self, tracers: int, floor: float):
        self.floor = floor
        self.parameters, self.species = _Moments(), _Moments()
        self.low = self.species_low = np.array(np.inf)
        self.high = self.species_high = np.array(-np.inf)
        self.starts: list[np.ndarray] = []
        self.every, self.seen = -(-tracers // MOST_STARTS), 0
        self.step, self.duration = (np.inf, -np.inf), -np.inf
        self.longest = 0

    def update(self, tracers: Tracers) -> None:
        states = tracers.time.shape[1]
        valid = np.arange(states)[None, :] < tracers.length[:, None]
        abundances = tracers.abundances[valid]
        physical = tracers.physical[valid[:, 1:]]
        self.parameters.update(np.log10(physical))
        self.species.update(scale_abundances(abundances, self.floor))
        self.low = np.minimum(self.low, physical.min(0))
        self.high = np.maximum(self.high, physical.max(0))
        self.species_low = np.minimum(self.species_low, abundances.min(0))
        self.species_high = np.maximum(self.species_high, abundances.max(0))
        # Copies: a view would keep its whole block in memory.
        first = -self.seen % self.every
        self.starts.extend(tracers.abundances[first :: self.every, 0].copy())
        self.seen += len(tracers)
        steps = np.diff(tracers.time)[valid[:, 1:]]
        self.step = min(self.step[0], steps.min()), max(self.step[1], steps.max())
        self.longest = max(self.longest, int(tracers.length.max()) - 1)
        last = tracers.time[np.arange(len(tracers)), tracers.length - 1]
        self.duration = max(self.duration, (last - tracers.time[:, 0]).max())

    def result(self) -> Statistics:
        starts = np.log10(np.maximum(self.starts, self.floor))
        offset, scale = self.parameters.result(least=1e-6)
        # A species that hardly leaves the floor must not be blown up: 0.01 dex.
        mean, spread = self.species.result(least=0.01 / decades(self.floor))
        return Statistics(
            offset=offset,
            scale=scale,
            species_mean=mean,
            species_spread=spread,
            parameter_low=self.low,
            parameter_high=self.high,
            species_low=np.maximum(self.species_low, self.floor),
            species_high=np.maximum(self.species_high, self.floor),
            start=10 ** np.median(starts, axis=0),
            step=np.array(self.step),
            duration=np.array(self.duration),
            longest=np.array(self.longest),
        )
