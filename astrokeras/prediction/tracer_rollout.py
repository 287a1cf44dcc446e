"""Rollouts of a surrogate over the tracers of a file: inputs and batches."""

import warnings
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import (
    columns_warning,
    light_comes_through,
)
from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.block import check_values
from astrokeras.data.tracers.hdf5 import unreadable
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.errors import InputError

SAME_INITIAL = 0.1
"""Largest mean difference, dex, of a state from the initial condition that it is.

Initial conditions differ by decades, and a rounded copy by much less.
"""
OTHER_INITIAL = "other"
BATCH_BYTES = 64 * 2**20
"""Largest size of the abundances that are predicted at once."""


def batch_size(wanted: int, tracers: int, states: int, species: int) -> int:
    """Return the number of tracers to roll out at once, in bounded memory."""
    return max(1, min(wanted, tracers, BATCH_BYTES // (4 * states * species)))


def roll_out(
    surrogate: Any, tracers: Tracers, columns: np.ndarray, size: int
) -> np.ndarray:
    """Return the predicted abundances of tracers, see `roll_out_with_status`."""
    return _roll_out(surrogate, tracers, columns, size, {})[0]


def roll_out_with_status(
    surrogate: Any,
    tracers: Tracers,
    columns: np.ndarray,
    size: int,
    substep: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return abundances, expected errors and status of tracers, from their state 0.

    Batches with fewer tracers than `size` are filled up, so that one shape is compiled.

    Args:
        surrogate: The `Surrogate`.
        tracers: Any number; only state 0 of their abundances is used.
        columns: Columns of their parameters in the surrogate's order, (P,).
        size: Tracers in a batch.
        substep: Whether intervals that are longer than trained are split.

    Returns:
        Abundances, (n, T+1, S) float32, including state 0; expected errors, dex,
        (n, T+1), NaN if the surrogate is not calibrated; and the bits of
        `models.status.Status`, (n, T+1). States beyond a tracer's length are NaN, and
        their status is 0.
    """
    options = {"return_status": True}
    options |= {"substep": True} if substep else {}
    if getattr(surrogate, "trust", None) is None:
        predicted, status = _roll_out(surrogate, tracers, columns, size, options)
        expected = np.full(status.shape, np.nan, "float32")
    else:
        options["return_expected_error"] = True
        parts = _roll_out(surrogate, tracers, columns, size, options)
        predicted, expected, status = parts
    beyond = np.arange(status.shape[1]) >= tracers.length[:, None]
    predicted[beyond] = expected[beyond] = np.nan
    status[beyond] = 0
    return predicted, expected, status


def _roll_out(
    surrogate: Any,
    tracers: Tracers,
    columns: np.ndarray,
    size: int,
    options: dict[str, Any],
) -> list[np.ndarray]:
    physical, time = complete(tracers)
    with warnings.catch_warnings():
        # The report of the whole file says which training ranges are left.
        warnings.simplefilter("ignore", UserWarning)
        outputs = surrogate.emulate(
            tracers.abundances[:, 0],
            physical[..., columns],
            time,
            batch_size=size,
            **options,
        )
    return [np.asarray(each) for each in (outputs if options else (outputs,))]


def read_given(
    store: TracerStore,
    rows: slice,
    check: bool = True,
    start: np.ndarray | None = None,
) -> Tracers:
    """Read the inputs of rollouts: everything except the solution.

    Args:
        store: An open tracer file.
        rows: Consecutive rows.
        check: Whether to check the values.
        start: Abundances in place of every tracer's state 0, (S,); those of the file
            are then neither read nor needed.

    Returns:
        Tracers with state 0 alone, abundances of shape (n, 1, S).

    Raises:
        InputError: If a value is not finite or out of range, a state 0 is empty or
            missing, or the file is damaged.
    """
    if start is None and not store.has_abundances:
        raise InputError(
            f"{store.path}: has no dataset 'abundances' and so no state 0 to start "
            "from; give initial abundances with --initial."
        )
    try:
        if start is None:
            abundances = store.file["abundances"][rows, :1].astype("f4")
        time = store.file["time"][rows].astype("f8")
    except (OSError, RuntimeError) as error:
        raise unreadable(store.path, error) from error
    physical = store.physical(rows)
    if start is not None:
        abundances = np.tile(start.astype("f4"), (len(time), 1, 1))
    tracers = Tracers(
        rows=np.arange(rows.start, rows.start + len(time)),
        abundances=abundances,
        physical=physical,
        time=time,
        length=store.length[rows],
        tracer=store.tracer[rows],
        simulation=store.simulation[rows],
        split=store.split[rows],
    )
    if check:
        empty = ~(abundances > 0).any((1, 2))
        if empty.any():
            raise InputError(
                f"{store.path}: tracer {tracers.tracer[empty][0]}, state 0: holds no "
                "abundance above 0; give initial abundances with --initial."
            )
        check_values(store.path, tracers, store.species, store.parameters)
    return tracers


def assumed_columns(store: TracerStore, size: int) -> list[str]:
    """Return a line on tracers whose assumed columns matter, if there are any.

    Args:
        store: An open file, to which the columns were added.
        size: Tracers that are read at once.
    """
    light = np.zeros(store.tracers, np.int64)
    for first in range(0, store.tracers, size):
        rows = slice(first, first + size)
        physical = store.physical(rows)
        valid = np.arange(store.states - 1) < store.length[rows, None] - 1
        light[rows] = (light_comes_through(physical, store.parameters) & valid).sum(1)
    line = columns_warning(light, store.length - 1)
    return [line] if line else []


def hold_last(values: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return values with each tracer's last valid row repeated to the end.

    Args:
        values: Of shape (n, rows, columns).
        length: Valid rows of each tracer, (n,).

    Returns:
        An array of the same shape, without the values beyond `length`.
    """
    if (length >= values.shape[1]).all():
        return values
    index = np.minimum(np.arange(values.shape[1]), length[:, None] - 1)
    return np.take_along_axis(values, index[:, :, None], axis=1)


def complete(tracers: Tracers) -> tuple[np.ndarray, np.ndarray]:
    """Return parameters and time, continued for tracers that ended early.

    All tracers can then be rolled out together. Parameters stay at their last value and
    time continues with the last time step; predictions there have no meaning.

    Returns:
        Parameters (n, T, P) and time in years (n, T+1).
    """
    last = tracers.length - 1
    physical = hold_last(tracers.physical, last)
    rows = np.arange(len(last))
    step = tracers.time[rows, last] - tracers.time[rows, last - 1]
    beyond = np.maximum(np.arange(tracers.time.shape[1]) - last[:, None], 0)
    time = hold_last(tracers.time[:, :, None], tracers.length)[:, :, 0]
    return physical, time + beyond * step[:, None]


def name_initial_conditions(
    initial: np.ndarray, known: dict[str, np.ndarray]
) -> list[str]:
    """Return the name of the initial condition that each state is, or "other".

    Args:
        initial: Abundances, (n, S).
        known: Named initial conditions, each (S,).
    """
    if not known:
        return [OTHER_INITIAL] * len(initial)
    names = [*known, OTHER_INITIAL]
    logs = log10(np.stack(list(known.values())))
    distance = np.abs(log10(initial)[:, None] - logs).mean(-1)
    nearest = distance.argmin(1)
    nearest[distance.min(1) > SAME_INITIAL] = len(known)
    return [names[i] for i in nearest]


def log10(abundances: np.ndarray) -> np.ndarray:
    """Return log10 of abundances, which are clipped to [1e-20, 1] first."""
    return log10_abundances(abundances.astype(np.float64), highest=1.0)
