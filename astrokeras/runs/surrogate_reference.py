"""Reference to a surrogate by name, path or object, and checks of a tracer file.

Keras is not imported here: a file that does not fit is rejected at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.runs.directory import Run
from astrokeras.runs.loading import find_surrogate, load, read_metadata
from astrokeras.system.atomic_files import hash_file
from astrokeras.system.close_names import suggest
from astrokeras.trajectories.intervals import count_parts

_RESAMPLE = "`astrokeras data resample"


@dataclass(frozen=True)
class SurrogateReference:
    """A surrogate by name, by path or in memory, with its metadata.

    Attributes:
        name: Name in messages and reports.
        path: Its `.keras` file; `None` for a surrogate in memory.
        metadata: Its species, parameters, units and training ranges.
        loaded: The surrogate in memory; `None` for a file.
    """

    name: str
    path: Path | None
    metadata: SurrogateMetadata
    loaded: Any = None

    @property
    def run(self) -> Run | None:
        """The run directory that holds the file, if any."""
        if self.path is None:
            return None
        run = Run(self.path.parent)
        return run if run.surrogate == self.path else None

    def sha256(self) -> str:
        """Return the hash of the file, empty for a surrogate in memory."""
        return hash_file(self.path) if self.path else ""

    def load(self) -> Any:
        """Return the `Surrogate`. Imports Keras."""
        return load(self.path) if self.path else self.loaded


def find_surrogate_reference(wanted: Any) -> SurrogateReference:
    """Return the reference to a surrogate, with its metadata, without Keras.

    Args:
        wanted: The name of a run or a preset, a run directory, a `.keras` file, or a
            `Surrogate`.

    Raises:
        InputError: If there is none; the message lists the known runs.
    """
    if hasattr(wanted, "emulate"):
        return SurrogateReference(wanted.name, None, wanted.metadata, wanted)
    path = find_surrogate(wanted)
    name = path.parent.resolve().name if path.stem == "surrogate" else path.stem
    return SurrogateReference(name, path, read_metadata(path))


def match_columns(store: TracerStore, target: SurrogateReference) -> np.ndarray:
    """Return the columns of the file's parameters in the surrogate's order, (P,).

    Parameters are matched by name, and further ones are ignored; a quantity that the
    file lists as fixed counts as a parameter. A file of trajectories has no species to
    compare.

    Raises:
        InputError: For another list or order of species, or a parameter that is missing
            or in another unit.
    """
    metadata = target.metadata
    if store.species:
        where = f"{store.path}: dataset 'species'"
        check_same_species(where, store.species, metadata.species)
    store.add_held(metadata.parameters)
    missing = [name for name in metadata.parameters if name not in store.parameters]
    if missing:
        raise InputError(
            f"{store.path}: dataset 'parameters' lacks {', '.join(missing)}, it holds "
            f"{', '.join(store.parameters)}; surrogate {target.name!r} needs "
            f"{', '.join(metadata.parameters)}{suggest(missing[0], store.parameters)}"
        )
    columns = [store.parameters.index(name) for name in metadata.parameters]
    for unit, column in zip(metadata.units, columns, strict=True):
        if store.units[column] != unit:
            raise InputError(
                f"{store.path}: parameter {store.parameters[column]} is in "
                f"{store.units[column]!r}, surrogate {target.name!r} was trained on "
                f"{unit!r}; convert it and correct the attribute 'units'."
            )
    return np.array(columns)


def check_same_species(where: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise InputError unless a file has the surrogate's species in the same order.

    Args:
        where: Place of the species, with which the message begins.
        found: Species of the file.
        wanted: Species of the surrogate.
    """
    if tuple(found) == tuple(wanted):
        return
    missing = [name for name in wanted if name not in set(found)]
    surplus = [name for name in found if name not in set(wanted)]
    if missing or surplus:
        differences = [
            f"{verb} {len(names)} ({', '.join(names[:5])}{', ...' * (len(names) > 5)})"
            for verb, names in (("lacks", missing), ("has besides", surplus))
            if names
        ]
        remedy = "; use a file of the same network."
        if missing and surplus:
            remedy = suggest(surplus[0], missing, remedy)
        raise InputError(
            f"{where} differs from the surrogate's {len(wanted)} names: it "
            f"{' and '.join(differences)}{remedy}"
        )
    column = next(i for i, name in enumerate(wanted) if found[i] != name)
    raise InputError(
        f"{where} has another order than the surrogate's, first in column {column}: "
        f"{found[column]} instead of {wanted[column]}; reorder the columns."
    )


def check_steps(
    store: TracerStore,
    tracers: Tracers,
    metadata: SurrogateMetadata,
    substep: bool = False,
) -> None:
    """Raise InputError for a time step outside the surrogate's `dt_range`.

    The message names tracer, state, time step, the trained range in years, and the
    command that makes other steps.

    Args:
        store: The file.
        tracers: Some of its tracers.
        metadata: Of the surrogate.
        substep: Whether a time step may be the sum of equal ones within the range.
    """
    valid = np.arange(tracers.time.shape[1] - 1) < tracers.length[:, None] - 1
    bad = valid & metadata.outside_steps(tracers.time)
    if substep:
        with np.errstate(invalid="ignore"):
            steps = np.diff(tracers.time)
            bad &= count_parts(np.where(bad, steps, 1.0), metadata.dt_range) == 0
    if bad.any():
        row, state = np.unravel_index(int(bad.argmax()), bad.shape)
        low, high = metadata.dt_range
        trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        step = np.diff(tracers.time[row, state : state + 2])[0]
        raise InputError(
            f"{store.path}: tracer {tracers.tracer[row]}, state {state + 1}: time "
            f"steps by {step:g} yr, the surrogate was trained on steps of {trained} "
            f"yr; {_remedy(store, tracers, int(row), metadata)}"
        )


def _remedy(
    store: TracerStore, tracers: Tracers, row: int, metadata: SurrogateMetadata
) -> str:
    """Return the command that gives the tracers steps that the surrogate knows."""
    high = metadata.dt_range[1]
    time = tracers.time[row, : tracers.length[row]]
    if (count_parts(np.diff(time), metadata.dt_range) > 0).all():
        return (
            f"`astrokeras predict --substep` splits them, or {_RESAMPLE} {store.path} "
            f"OUT.h5 --max-dt {high:.6g}` does."
        )
    stored = store.file["time"]
    blocks = (stored[first : first + 4096] for first in range(0, len(stored), 4096))
    last = max(float(np.nanmax(block)) for block in blocks)
    times = f"{time[0]:.6g}:{last:.6g}:{high:.10g}"
    return f"{_RESAMPLE} {store.path} OUT.h5 --times {times}` gives such steps."
