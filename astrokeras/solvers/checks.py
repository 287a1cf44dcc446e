"""Check of trajectories before they are solved."""

from collections.abc import Mapping

import numpy as np

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.units import guess, makes_sense
from astrokeras.errors import InputError
from astrokeras.solvers.solver import Parameter

BLOCK = 256
"""Number of tracers that are read at a time."""


def check_tracks(
    store: TracerStore,
    parameters: Mapping[str, Parameter],
    shortest: float = 0.0,
    name: str | None = None,
) -> None:
    """Raise InputError for trajectories that a solver does not accept.

    If values would be usual in another unit, the message names it.

    Args:
        store: The open file; its parameters are among those of the solver.
        parameters: Parameters of the solver.
        shortest: Shortest accepted time step, years.
        name: Name of the original file of the tracks, for messages; that of the store
            by default.

    Raises:
        InputError: For a value that is not finite, outside what the solver accepts or
            in an implausible unit, or times that do not increase; the message names
            file, tracer, row and value.
    """
    where = name or str(store.path)
    limits = [parameters[parameter] for parameter in store.parameters]
    for block in store.blocks(size=BLOCK, check=False, abundances=False):
        physical, time = block.physical.astype(float), block.time
        length = block.length[:, None]
        steps = np.arange(store.states - 1) < length - 1
        for column, parameter in enumerate(store.parameters):
            found = _find_fault(physical[..., column], steps, limits[column])
            if found is not None:
                (i, row), fault, values = found
                raise InputError(
                    f"{where}: tracer {block.tracer[i]}, row {row}: "
                    f"{parameter} is {physical[i, row, column]:g} "
                    f"{limits[column].unit}; {fault}"
                    f"{_remedy(parameter, values, limits[column].unit)}."
                )
        wrong = _find_time(time, length, shortest)
        if wrong is not None:
            (i, row), text = wrong
            raise InputError(f"{where}: tracer {block.tracer[i]}, row {row}: {text}.")


def _find_fault(
    values: np.ndarray, valid: np.ndarray, limit: Parameter
) -> tuple[tuple[int, int], str, np.ndarray] | None:
    """Return the place and reason of the first fault, and the values of the tracer."""
    zero = (values == 0) & valid
    if zero.any():
        i, row = np.argwhere(zero)[0]
        fault = "tracer files hold positive values"
        return (int(i), int(row)), fault, values[i][:0]
    outside = ~((values >= limit.low) & (values <= limit.high)) & valid
    if outside.any():
        i, row = np.argwhere(outside)[0]
        fault = f"the solver accepts {limit.low:g} to {limit.high:g}"
        return (int(i), int(row)), fault, values[i][valid[i]]
    ends = values[valid].min(), values[valid].max()
    for end in ends:
        if not makes_sense(float(end), limit.unit):
            i, row = np.argwhere((values == end) & valid)[0]
            fault = "no cloud has such a value"
            return (int(i), int(row)), fault, values[i][valid[i]]
    return None


def _find_time(
    time: np.ndarray, length: np.ndarray, shortest: float
) -> tuple[tuple[int, int], str] | None:
    """Return the place and reason of the first fault of the times."""
    valid = np.arange(time.shape[1]) < length
    bad = ~np.isfinite(time) & valid
    if bad.any():
        i, row = np.argwhere(bad)[0]
        return (int(i), int(row)), f"time is {time[i, row]:g} years; correct it"
    with np.errstate(invalid="ignore"):
        intervals = np.diff(time, axis=1)
        bad = ~((intervals > 0) & (intervals >= shortest)) & valid[:, 1:]
    if bad.any():
        i, row = np.argwhere(bad)[0]
        inside = intervals[i][valid[i, 1:]]
        least = f"by at least {shortest:g} years" if shortest else "from row to row"
        text = (
            f"the next row is {intervals[i, row]:g} years later; times must increase "
            f"{least}"
        )
        # A single short step does not suggest another unit.
        usual = np.full(1, np.median(inside))
        return (int(i), int(row)), text + _remedy("Time", usual, "yr")
    lasted = np.where(valid, time, -np.inf).max(axis=1) - time[:, 0]
    i = int(lasted.argmax())
    if not makes_sense(float(lasted[i]), "yr"):
        text = f"time is {lasted[i]:g} years after the first, beyond the universe's age"
        row = int(length[i, 0]) - 1
        return (i, row), text + _remedy("Time", lasted[i : i + 1], "yr")
    return None


def _remedy(name: str, values: np.ndarray, unit: str) -> str:
    """Return the remedy for values, with the unit that they seem to be in."""
    finite = values[np.isfinite(values)]
    likely = (
        guess([float(finite.min()), float(finite.max())], unit) if len(finite) else None
    )
    if likely is None:
        return ", correct the value or its unit"
    return (
        f". It looks like {likely}: set dataset.raw_units.{name}={likely} when the "
        "table is read, or convert the file"
    )
