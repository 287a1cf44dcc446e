"""Intervals of trajectories with lengths in a range, and equal parts of long ones."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.system import arguments

GROWTH = 10**0.1 - 1
"""Interval over age: ten states per decade, as far as the range allows."""
MOST_INTERVALS = 100_000
"""Largest number of intervals between two requested times."""


def by_age(age: float) -> float:
    """Return the length of an interval of static gas of some age, years."""
    return GROWTH * age


def times_between(
    time: Any,
    dt_range: Sequence[float],
    length_at: Callable[[float], float] = by_age,
) -> tuple[np.ndarray, np.ndarray]:
    """Return years of states that lead to some times by intervals within a range.

    Args:
        time: Years after state 0, one or several increasing ones, (K,).
        dt_range: Shortest and longest interval, years.
        length_at: Returns the length of an interval that begins at some age, years; it
            is kept within the range.

    Returns:
        Years of all states, (T+1,), from 0, and the numbers of the requested states,
        (K,).

    Raises:
        InputError: For times that do not increase, or to which no intervals add up.
    """
    times = np.atleast_1d(as_numbers("time", time, "float64", units=["yr"]))
    steps = np.diff(times.ravel())
    increasing = np.isfinite(times).all() and (times >= 0).all() and (steps > 0).all()
    if times.ndim != 1 or not times.size or not increasing or times[-1] == 0:
        raise InputError(
            f"time is {arguments.shown(time)}; give years after the start, positive "
            "and increasing."
        )
    later = times[times > 0]
    years, states = [np.zeros(1)], [0] * (len(times) - len(later))
    for start, end in pairwise([0.0, *later.tolist()]):
        ages = start + np.cumsum(_intervals(start, end, dt_range, length_at))
        ages[-1] = end
        years.append(ages)
        states.append(sum(map(len, years)) - 1)
    return np.concatenate(years), np.array(states)


def _intervals(
    start: float,
    end: float,
    dt_range: Sequence[float],
    length_at: Callable[[float], float],
) -> np.ndarray:
    """Return the lengths of intervals from one age to another, years."""
    low, high = dt_range[0] * (1 - STEP_MARGIN / 2), dt_range[1] * (1 + STEP_MARGIN / 2)
    span = end - start
    fewest, most = math.ceil(span / high), math.floor(span / low)
    if fewest > most or fewest > MOST_INTERVALS:
        reason = "no number" if fewest > most else f"only {fewest:.3g}"
        raise InputError(
            f"time has {span:.6g} yr from {start:.6g} to {end:.6g} yr, to which "
            f"{reason} of the trained intervals of {dt_range[0]:.6g} to "
            f"{dt_range[1]:.6g} yr add up; give other times."
        )
    lengths: list[float] = []
    age = start
    while end - age > low / 2 and len(lengths) < most:
        lengths.append(min(max(length_at(age), dt_range[0]), dt_range[1]))
        age += lengths[-1]
    lengths += [dt_range[1]] * (fewest - len(lengths))
    steps = np.array(lengths)
    # The last ones become shorter or longer, as many as it takes.
    gap = steps.sum() - span
    room = (steps - low if gap > 0 else high - steps)[::-1]
    taken = np.clip(abs(gap) - (np.cumsum(room) - room), 0, room)[::-1]
    return steps - np.sign(gap) * taken


def count_parts(years: np.ndarray, dt_range: Sequence[float]) -> np.ndarray:
    """Return the fewest equal parts of intervals that lie within a range.

    Args:
        years: Lengths of the intervals, (...).
        dt_range: Shortest and longest part, years.

    Returns:
        Whole numbers, (...); 0 where the interval is too short, its parts would be, or
        there are more than `MOST_INTERVALS`.
    """
    low, high = dt_range[0] * (1 - STEP_MARGIN), dt_range[1] * (1 + STEP_MARGIN)
    parts = np.maximum(np.ceil(years / high), 1)
    possible = (years >= parts * low) & (parts <= MOST_INTERVALS)  # False for NaN
    return np.where(possible, parts, 0).astype("int64")


def split_intervals(
    physical: np.ndarray, time: np.ndarray, parts: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the intervals of tracers into equal parts.

    Parameters that are constant within an interval are so in its parts. Those with
    mean, first and last value change evenly in the logarithm from the first to the last
    value, apart from a factor that keeps the mean. All tracers get the same number of
    intervals, rounded up to four numbers in each power of two, so that few shapes are
    compiled: they continue after their end.

    Args:
        physical: Parameters in their units, (N, T, P) or (N, T, 3, P).
        time: Years of the states, (N, T+1).
        parts: Number of parts of each interval, 1 or more, (N, T).
        linear: Which parameters have an arithmetic mean, see `is_linear`, (P,).

    Returns:
        Parameters (N, M, ...) and years (N, M+1) of the parts, and the numbers that the
        given states have among them, (N, T+1).
    """
    states = np.pad(np.cumsum(parts, axis=1), ((0, 0), (1, 0)))
    size = round_up(int(states[:, -1].max()))
    # The interval that the part after each state belongs to, and its place in there.
    owner = np.full((len(parts), size + 1), parts.shape[1] - 1)
    within_track = np.arange(size + 1) < states[:, -1:]
    owner[within_track] = np.tile(np.arange(parts.shape[1]), len(parts)).repeat(
        parts.ravel()
    )
    place = np.arange(size + 1) - np.take_along_axis(states, owner, axis=1)
    length = np.take_along_axis(np.diff(time) / parts, owner, axis=1)
    years = np.take_along_axis(time, owner, axis=1) + place * length
    rows, owner, place = np.arange(len(parts))[:, None], owner[:, :-1], place[:, :-1]
    split = physical[rows, owner]
    if physical.ndim == 4:
        split = _split_changes(split, parts[rows, owner], place, linear)
    return split, years, states


def round_up(count: int) -> int:
    """Return the next whole number of at most three binary digits and zeros."""
    unit = 1 << max(count.bit_length() - 3, 0)
    return -(-count // unit) * unit


def _split_changes(
    physical: np.ndarray, parts: np.ndarray, place: np.ndarray, linear: np.ndarray
) -> np.ndarray:
    """Return mean, first and last values of parts of intervals, (N, M, 3, P).

    Args:
        physical: Those of the interval that each part belongs to, (N, M, 3, P).
        parts: Number of parts of this interval, (N, M).
        place: Number of the part in it, from 0, (N, M).
        linear: Which parameters have an arithmetic mean, (P,).
    """
    mean, first, last = np.moveaxis(np.log10(physical.astype("f8")), 2, 0)
    parts, place = parts[..., None], np.minimum(place, parts - 1)[..., None]
    # The values in the middle of the parts are a geometric series, of this mean.
    half = np.maximum(np.abs(last - first) * np.log(10) / 2, 1e-6)
    middle = (first + last) / 2
    middle += linear * np.log10(np.sinh(half) / (parts * np.sinh(half / parts)))
    begin, centre, end = (
        first + (last - first) * (place + share) / parts + mean - middle
        for share in (0.0, 0.5, 1.0)
    )
    begin = np.where(place == 0, first, begin)
    end = np.where(place == parts - 1, last, end)
    split = 10 ** np.clip(np.stack([centre, begin, end], axis=2), -37, 38)
    whole = (parts == 1)[:, :, None]
    return np.where(whole, physical, split).astype(physical.dtype)
