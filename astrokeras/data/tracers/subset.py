"""Subsets of tracer files: evenly spread samples, and selected rows."""

import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from astrokeras.data.tracers.block import PER_STATE, Tracers
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.timestep_features import coarsen, is_linear
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system import arguments

_LEVEL = 9  # Samples are written once and downloaded many times.
# Generous estimates of the bytes of an HDF5 file besides its compressed chunks: names
# and attributes, and the index of the chunks.
_OVERHEAD, _PER_TRACER_OVERHEAD = 100_000, 500


def sample_tracers(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    per_simulation: int | None = None,
    max_mb: float | None = None,
    seed: int = 0,
    every: int = 1,
) -> np.ndarray:
    """Write a sample of a tracer file, spread evenly over its simulations.

    The sample keeps the split, with each part in proportion, and all attributes.

    Args:
        path: The tracer file.
        out: The sample; it appears under this name only when complete.
        per_simulation: Largest number of tracers of each simulation.
        max_mb: Largest size of the sample, megabytes (1e6 bytes).
        seed: Seed of the random choice.
        every: Keep every k-th state; parameters are averaged over the longer intervals.

    Returns:
        The chosen row numbers, in the order of the file, (n,).

    Raises:
        InputError: If the file is malformed, no tracer fits, a tracer would be left
            with a single state, or an argument is out of range.
        WorkError: If the sample cannot be written.
    """
    path, out = arguments.path("path", path), arguments.path("out", out)
    if per_simulation is not None:
        per_simulation = arguments.whole("per_simulation", per_simulation, low=1)
    if max_mb is not None:
        max_mb = arguments.number("max_mb", max_mb, low=0.0)
    seed = arguments.whole("seed", seed)
    every = arguments.whole("every", every, low=1)
    if out.resolve() == path.resolve():
        raise InputError(f"{out}: is the input file; choose another name.")
    with TracerStore(path, need_abundances=False) as store:
        rows = sampling_order(store.simulation, store.split, per_simulation, seed)
        if max_mb is not None:
            rows = rows[: _how_many_fit(store, rows, every, max_mb * 1e6)]
        if not len(rows):
            raise InputError(
                f"{path}: no tracer fits into {max_mb:g} MB; increase the limit."
            )
        rows = np.sort(rows)
        short = rows[store.length[rows] <= every]
        if len(short):
            raise InputError(
                f"{path}: tracer {store.tracer[short[0]]} has {store.length[short[0]]} "
                f"states; choose a smaller number than every {every}th state."
            )
        attributes = {"sample_of": path.name, "sample_seed": seed}
        attributes |= {"sample_every": every} if every > 1 else {}
        write_rows(store, rows, out, attributes, every)
    return rows


def write_rows(
    store: TracerStore,
    rows: np.ndarray,
    out: Path,
    attributes: dict[str, Any],
    every: int = 1,
    abundances: Literal["all", "start", "none"] = "all",
    split: int | None = None,
) -> None:
    """Write some rows of a tracer file, with all its attributes, to a new file.

    Args:
        store: The open file.
        rows: Row numbers, in the order of the new file, (n,).
        out: The new file.
        attributes: Additional attributes.
        every: See `sample_tracers`.
        abundances: Which abundances to keep; "start" keeps only those of state 0.
        split: Code of the split that all tracers are assigned to; `None` keeps theirs.

    Raises:
        WorkError: If the file cannot be written.
    """
    inherited = {k: v for k, v in store.attributes.items() if k != "format"}
    with_species = store.has_abundances and abundances != "none"
    with TracerWriter(
        out,
        species=store.species if with_species else (),
        parameters=store.parameters,
        units=store.units,
        states=(store.states - 1) // every + 1,
        attributes=inherited | attributes,
        compression=_LEVEL,
        solved=store.solved and abundances == "all",
    ) as writer:
        for block in store.blocks(rows):
            block = _thin(block, every, store)
            if abundances != "all":
                block.abundances = block.abundances[:, :1]
            if split is not None:
                block.split[:] = split
            writer.append(block)
        families = store.families()
        if families:
            writer.add_families([families[row] for row in rows])


def _thin(tracers: Tracers, every: int, store: TracerStore) -> Tracers:
    """Return tracers with every k-th state and the mean parameters in between."""
    if every == 1:
        return tracers
    linear = is_linear(store.parameters, store.units)
    means = coarsen(tracers.physical, tracers.time, every, linear)[:, :, 0]
    solved = store.solved
    return replace(
        tracers,
        abundances=tracers.abundances[:, ::every] if solved else tracers.abundances,
        physical=means,
        time=tracers.time[:, ::every],
        length=(tracers.length - 1) // every + 1,
    )


def sampling_order(
    simulation: np.ndarray,
    split: np.ndarray,
    per_simulation: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Return rows in an order of which the first n are spread evenly, for any n.

    Each round takes one tracer of every simulation. Within a round the parts of the
    split alternate in proportion to their numbers of simulations.

    Args:
        simulation: Identifiers, (N,).
        split: Codes of the splits, (N,).
        per_simulation: Number of rounds, all by default.
        seed: Seed of the permutations of simulations and of the tracers in each.

    Returns:
        Row numbers, (N,) or fewer.
    """
    generator = np.random.default_rng(seed)
    groups = np.where(
        simulation == NO_SIMULATION,
        simulation.max() + 1 + np.arange(len(simulation)),
        simulation,
    )
    # Rows are sorted by round, then by the place of the simulation in its split.
    turn = np.full(len(groups), np.nan)
    place = np.full(len(groups), np.nan)
    for code in np.unique(split):
        ids = generator.permutation(np.unique(groups[split == code]))
        for number, group in enumerate(ids):
            rows = np.flatnonzero((groups == group) & (split == code))
            turn[rows] = generator.permutation(len(rows))
            place[rows] = (number + 0.5) / len(ids)
    order = np.lexsort((place, turn))
    if per_simulation is not None:
        order = order[turn[order] < per_simulation]
    return order


def _how_many_fit(
    store: TracerStore, rows: np.ndarray, every: int, limit: float
) -> int:
    """Return how many of the first rows take at most `limit` bytes."""
    size = _OVERHEAD
    for count in range(len(rows)):
        tracer = _thin(store.read(rows[count : count + 1], check=False), every, store)
        size += _PER_TRACER_OVERHEAD
        for name in PER_STATE:
            values = np.ascontiguousarray(getattr(tracer, name))
            # HDF5's shuffle filter: the first byte of all values, then the second.
            shuffled = values.view(np.uint8).reshape(-1, values.itemsize).T
            size += len(zlib.compress(shuffled.tobytes(), _LEVEL))
        if size > limit:
            return count
    return len(rows)
