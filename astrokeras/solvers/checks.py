"""The check of trajectories before the first of them is solved."""

from collections.abc import Mapping

import numpy as np

from astrokeras.data.tracers.hdf5 import unreadable
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.units import guess, makes_sense
from astrokeras.errors import InputError
from astrokeras.solvers.solver import Parameter

BLOCK = 256
"""Tracers that are read at once."""


def check_tracks(
    store: TracerStore,
    parameters: Mapping[str, Parameter],
    shortest: float = 0.0,
    name: str | None = None,
) -> None:
    """Refuse trajectories that a solver does not accept, reading them in blocks.

    Where values would make sense in another unit, the message says in which.

    Args:
        store: The open file; its parameters are among the solver's.
        parameters: Of the solver.
        shortest: Years of the shortest interval that it accepts.
        name: Of the file that the tracks came from, for messages; the store's own by
            default.

    Raises:
        InputError: For a value that is not finite, outside what the solver accepts or
            in a unit that makes no sense, or times that do not increase, naming file,
            tracer, row and value.
    """
    where = name or str(store.path)
    limits = [parameters[one] for one in store.parameters]
    for first in range(0, store.tracers, BLOCK):
        rows = slice(first, min(first + BLOCK, store.tracers))
        physical = store.physical(rows).astype(float)
        try:
            time = store.file["time"][rows].astype(float)
        except (OSError, RuntimeError) as error:
            raise unreadable(store.path, error) from error
        length = store.length[rows, None]
        steps = np.arange(store.states - 1) < length - 1
        for column, one in enumerate(store.parameters):
            found = _find_fault(physical[..., column], steps, limits[column])
            if found is not None:
                (i, row), fault, values = found
                raise InputError(
                    f"{where}: tracer {store.tracer[first + i]}, row {row}: {one} is "
                    f"{physical[i, row, column]:g} {limits[column].unit}; {fault}"
                    f"{_remedy(one, values, limits[column].unit)}."
                )
        wrong = _find_time(time, length, shortest)
        if wrong is not None:
            (i, row), text = wrong
            raise InputError(
                f"{where}: tracer {store.tracer[first + i]}, row {row}: {text}."
            )


def _find_fault(
    values: np.ndarray, valid: np.ndarray, limit: Parameter
) -> tuple[tuple[int, int], str, np.ndarray] | None:
    """Return where a parameter is wrong first, why, and the tracer's values."""
    zero = (values == 0) & valid
    if zero.any():
        i, row = np.argwhere(zero)[0]
        fault = "tracer files hold positive values"
        return (int(i), int(row)), fault, values[i][:0]
    outside = ~((values >= limit.low) & (values <= limit.high)) & valid
    if outside.any():
        i, row = np.argwhere(outside)[0]
        fault = f"the solver takes {limit.low:g} to {limit.high:g}"
        return (int(i), int(row)), fault, values[i][valid[i]]
    ends = values[valid].min(), values[valid].max()
    for end in ends:
        if not makes_sense(float(end), limit.unit):
            i, row = np.argwhere((values == end) & valid)[0]
            fault = "no cloud has that"
            return (int(i), int(row)), fault, values[i][valid[i]]
    return None


def _find_time(
    time: np.ndarray, length: np.ndarray, shortest: float
) -> tuple[tuple[int, int], str] | None:
    """Return where times are wrong first, and why."""
    valid = np.arange(time.shape[1]) < length
    bad = ~np.isfinite(time) & valid
    if bad.any():
        i, row = np.argwhere(bad)[0]
        return (int(i), int(row)), f"time is {time[i, row]:g} years, correct it"
    with np.errstate(invalid="ignore"):
        intervals = np.diff(time, axis=1)
        bad = ~((intervals > 0) & (intervals >= shortest)) & valid[:, 1:]
    if bad.any():
        i, row = np.argwhere(bad)[0]
        inside = intervals[i][valid[i, 1:]]
        least = f"by at least {shortest:g} years" if shortest else "from row to row"
        text = (
            f"the next one is {intervals[i, row]:g} years later; times increase {least}"
        )
        # One short step among long ones is no matter of units.
        usual = np.full(1, np.median(inside))
        return (int(i), int(row)), text + _remedy("Time", usual, "yr")
    lasted = np.where(valid, time, -np.inf).max(axis=1) - time[:, 0]
    i = int(lasted.argmax())
    if not makes_sense(float(lasted[i]), "yr"):
        text = f"it is {lasted[i]:g} years after the first, longer than the universe"
        row = int(length[i, 0]) - 1
        return (i, row), text + _remedy("Time", lasted[i : i + 1], "yr")
    return None


def _remedy(name: str, values: np.ndarray, unit: str) -> str:
    """Return what may be done about values, with the unit that they seem to be in."""
    finite = values[np.isfinite(values)]
    likely = (
        guess([float(finite.min()), float(finite.max())], unit) if len(finite) else None
    )
    if likely is None:
        return ", correct the value or its unit"
    return (
        f". It looks like {likely}: say dataset.raw_units.{name}={likely} where the "
        "table is read, or convert the file"
    )
