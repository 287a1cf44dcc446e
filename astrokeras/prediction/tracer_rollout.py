"""Rollouts of a surrogate over tracers: what they are given and how they are run."""

import warnings
from typing import Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.block import check_values
from astrokeras.data.tracers.hdf5 import unreadable
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.errors import InputError

# Named starts differ by decades; one that went through a file, rounded, does not.
SAME_START = 0.1
OTHER_START = "other"
BATCH_BYTES = 64 * 2**20  # abundances predicted at a time


def batch_size(wanted: int, tracers: int, states: int, species: int) -> int:
    """Return how many tracers to roll out at a time, in bounded memory."""
    return max(1, min(wanted, tracers, BATCH_BYTES // (4 * states * species)))


def roll_out(
    surrogate: Any, tracers: Tracers, columns: np.ndarray, size: int
) -> np.ndarray:
    """Return the predicted abundances of tracers alone, see `roll_out_judged`."""
    return _roll_out(surrogate, tracers, columns, size, {})[0]


def roll_out_judged(
    surrogate: Any, tracers: Tracers, columns: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Predict tracers from their state 0, and say how far to trust each state.

    Fewer tracers than `size` are filled up, so that one shape is compiled.

    Args:
        surrogate: The `Surrogate`.
        tracers: Any number; only state 0 of their abundances is used.
        columns: Columns of their parameters in the surrogate's order, (P,).
        size: Tracers in a batch.

    Returns:
        Abundances, (n, T+1, S) float32, state 0 the given one, and trust scores,
        (n, T+1), NaN of a surrogate that is not calibrated. What lies beyond a tracer's
        length belongs to no tracer.
    """
    if getattr(surrogate, "trust", None) is None:
        predicted = roll_out(surrogate, tracers, columns, size)
        return predicted, np.full(predicted.shape[:2], np.nan, "float32")
    options = {"return_trust": True}
    predicted, trust = _roll_out(surrogate, tracers, columns, size, options)
    return predicted, trust


def _roll_out(
    surrogate: Any,
    tracers: Tracers,
    columns: np.ndarray,
    size: int,
    options: dict[str, Any],
) -> list[np.ndarray]:
    physical, time = complete(tracers)
    parts = []
    for start in range(0, len(tracers), size):
        rows = np.minimum(np.arange(start, start + size), len(tracers) - 1)
        with warnings.catch_warnings():
            # What leaves the training box is reported once, not for each batch.
            warnings.simplefilter("ignore", UserWarning)
            found = surrogate.emulate(
                tracers.abundances[rows, 0],
                physical[rows][..., columns],
                time[rows],
                batch_size=size,
                **options,
            )
        found = found if options else (found,)
        parts.append([np.asarray(one)[: len(tracers) - start] for one in found])
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def read_given(
    store: TracerStore,
    rows: slice,
    check: bool = True,
    start: np.ndarray | None = None,
) -> Tracers:
    """Read what a rollout needs: all but the solution, which may not be there.

    Args:
        store: An open tracer file.
        rows: Consecutive rows.
        check: Whether to check the values.
        start: Abundances that take the place of every state 0, (S,); the file's own
            are then neither read nor needed.

    Returns:
        Tracers with state 0 alone, abundances of shape (n, 1, S).

    Raises:
        InputError: If a value is not finite or out of range, a state 0 is empty or
            not there, or the file is damaged.
    """
    if start is None and not store.has_abundances:
        raise InputError(
            f"{store.path}: has no dataset 'abundances' and so no state 0 to start "
            "from; give a start with --initial."
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
                "abundance above 0; give a start with --initial."
            )
        check_values(store.path, tracers, store.species, store.parameters)
    return tracers


def hold_last(values: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Repeat each tracer's last valid row to the end.

    Args:
        values: Of shape (n, rows, columns).
        length: Valid rows of each tracer, (n,).

    Returns:
        The same shape, nothing of what lay beyond `length` in it.
    """
    if (length >= values.shape[1]).all():
        return values
    index = np.minimum(np.arange(values.shape[1]), length[:, None] - 1)
    return np.take_along_axis(values, index[:, :, None], axis=1)


def complete(tracers: Tracers) -> tuple[np.ndarray, np.ndarray]:
    """Continue tracers that ended early, so that all can be rolled out together.

    Parameters are held at their last value and time goes on by the last step; what
    is predicted there belongs to no tracer.

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


def name_starts(initial: np.ndarray, starts: dict[str, np.ndarray]) -> list[str]:
    """Name the start that each initial state is, or "other".

    Args:
        initial: Abundances, (n, S).
        starts: Named initial states, each (S,).
    """
    if not starts:
        return [OTHER_START] * len(initial)
    names = [*starts, OTHER_START]
    logs = log10(np.stack(list(starts.values())))
    distance = np.abs(log10(initial)[:, None] - logs).mean(-1)
    nearest = distance.argmin(1)
    nearest[distance.min(1) > SAME_START] = len(starts)
    return [names[i] for i in nearest]


def log10(abundances: np.ndarray) -> np.ndarray:
    """Return the logarithm of abundances, which are brought into [1e-20, 1]."""
    return log10_abundances(abundances.astype(np.float64), highest=1.0)
