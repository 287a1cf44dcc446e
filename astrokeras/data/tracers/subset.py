"""A sample of a tracer file, small enough to hand out."""

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

_LEVEL = 9  # Written once, fetched and read by many.
# Bytes of an HDF5 file beside its compressed chunks, generously: names and
# attributes, and the index of the chunks.
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

    The sample inherits the split, every split in its proportion, and all that the file
    says about itself.

    Args:
        path: The tracer file.
        out: The sample; it appears under this name only when complete.
        per_simulation: At most so many tracers of each simulation.
        max_mb: At most so many megabytes (1e6 bytes); as many tracers as fit.
        seed: Of the choice.
        every: Every so many states stay; parameters become means of the intervals.

    Returns:
        The row numbers chosen, in the order of the file, (n,).

    Raises:
        InputError: If the file is malformed, not a tracer fits, one would be left
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
        raise InputError(f"{out}: is the file to sample from; choose another name.")
    with TracerStore(path, need_abundances=False) as store:
        rows = sampling_order(store.simulation, store.split, per_simulation, seed)
        if max_mb is not None:
            rows = rows[: _how_many_fit(store, rows, every, max_mb * 1e6)]
        if not len(rows):
            raise InputError(
                f"{path}: not a tracer fits into {max_mb:g} MB; allow more."
            )
        rows = np.sort(rows)
        short = rows[store.length[rows] <= every]
        if len(short):
            raise InputError(
                f"{path}: tracer {store.tracer[short[0]]} has {store.length[short[0]]} "
                f"states; keep more than every {every}th."
            )
        told = {"sample_of": path.name, "sample_seed": seed}
        told |= {"sample_every": every} if every > 1 else {}
        write_rows(store, rows, out, told, every)
    return rows


def write_rows(
    store: TracerStore,
    rows: np.ndarray,
    out: Path,
    told: dict[str, Any],
    every: int = 1,
    abundances: Literal["all", "start", "none"] = "all",
    split: int | None = None,
) -> None:
    """Write some rows of a tracer file, and all that the file says about itself.

    Args:
        store: The open file.
        rows: Row numbers, in the order of the new file, (n,).
        out: The new file.
        told: Further attributes.
        every: See `sample_tracers`.
        abundances: What is kept of them; "start" is state 0 alone.
        split: The number of the split that all are put into; `None` keeps theirs.

    Raises:
        WorkError: If it cannot be written.
    """
    known = {k: v for k, v in store.attributes.items() if k != "format"}
    with_species = store.has_abundances and abundances != "none"
    with TracerWriter(
        out,
        species=store.species if with_species else (),
        parameters=store.parameters,
        units=store.units,
        states=(store.states - 1) // every + 1,
        attributes=known | told,
        compression=_LEVEL,
        solved=store.solved and abundances == "all",
    ) as writer:
        for block in store.blocks(rows):
            kept = _thin(block, every, store)
            if abundances != "all":
                kept.abundances = kept.abundances[:, :1]
            if split is not None:
                kept.split[:] = split
            writer.append(kept)


def _thin(tracers: Tracers, every: int, store: TracerStore) -> Tracers:
    """Keep every so many states, and the mean parameters between them."""
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
    """Order rows so that the first n are spread evenly, for any n.

    Each round takes one tracer of every simulation; within a round the splits take
    turns in proportion to their simulations.

    Args:
        simulation: Identifiers, (N,).
        split: Codes of the splits, (N,).
        per_simulation: Rounds, all by default.
        seed: Of the permutations of simulations and of tracers in each.

    Returns:
        Row numbers, (N,) or fewer.
    """
    generator = np.random.default_rng(seed)
    groups = np.where(
        simulation == NO_SIMULATION,
        simulation.max() + 1 + np.arange(len(simulation)),
        simulation,
    )
    # Where a row stands: its round, then its simulation's place among its split's.
    turn = np.full(len(groups), np.nan)
    place = np.full(len(groups), np.nan)
    for code in np.unique(split):
        ids = generator.permutation(np.unique(groups[split == code]))
        for number, one in enumerate(ids):
            rows = np.flatnonzero((groups == one) & (split == code))
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
