"""Resampling of tracer files to other times.

Log-spaced outputs, for example, become equal steps of a length that a surrogate knows.
Abundances are interpolated linearly in their logarithm, parameters, which are constant
within an interval, averaged as `data.tracers.timestep_features` does: densities
arithmetically, all others geometrically.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from astrokeras.data.tracers.block import Tracers, empty_tracers
from astrokeras.data.tracers.file_format import FLOOR, STEP_MARGIN
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.timestep_features import is_linear
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system import arguments

_SEEN = 1e-12
"""Abundance above which changes between two states are reported."""
_MOST = 1_000_000
"""Largest number of states of a tracer."""


@dataclass(frozen=True)
class Resampled:
    """What `resample_tracers` has written.

    Attributes:
        path: The file.
        tracers: Tracers written.
        states: States of the longest tracer.
        left_out: Tracers that have fewer than two of the times.
        largest_change: Largest change, dex, of an abundance above 1e-12 between two
            given states between which a new one was interpolated.
    """

    path: Path
    tracers: int
    states: int
    left_out: int
    largest_change: float


def resample_tracers(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    times: Sequence[float] | None = None,
    steps: int | None = None,
    max_dt: float | None = None,
) -> Resampled:
    """Write the tracers of a file at other times.

    Give one of the three. The split, the attributes and the families are kept; other
    datasets, such as those of predictions, are not.

    Args:
        path: The tracer file; it may hold tracks, or initial states.
        out: The new file; it appears under this name only when complete.
        times: Years of the new states; each tracer has those between its first and its
            last state.
        steps: Number of equal steps between a tracer's first and last state.
        max_dt: Longest step, years: longer intervals are split into equal ones, and all
            given states are kept.

    Returns:
        Counts, and how far apart the states are that were interpolated between.

    Raises:
        InputError: For a malformed file or argument, if no tracer has two of the times,
            or if a file of initial states would lose them.
        WorkError: If the file cannot be written.
    """
    path, out = arguments.path("path", path), arguments.path("out", out)
    if out.resolve() == path.resolve():
        raise InputError(f"{out}: is the input file; choose another name.")
    new_times = _times(times, steps, max_dt)
    with TracerStore(path, need_abundances=False) as store:
        lengths = np.array([len(new_times(own)) for own in _own_times(store)])
        states, kept = int(lengths.max(initial=0)), np.flatnonzero(lengths >= 2)
        if not len(kept):
            raise InputError(
                f"{path}: no tracer has two of these times; give times between the "
                "first and the last state of the tracers (`astrokeras data inspect`)."
            )
        if states > _MOST:
            raise InputError(
                f"{path}: would have {states} states, more than {_MOST}; choose longer "
                "steps."
            )
        linear = is_linear(store.parameters, store.units)
        how = {"times": times, "steps": steps, "max_dt": max_dt}
        stated = [f"{k} = {value}" for k, value in how.items() if value is not None]
        attributes = {k: v for k, v in store.attributes.items() if k != "format"}
        change = 0.0
        with TracerWriter(
            out,
            species=store.species if store.has_abundances else (),
            parameters=store.parameters,
            units=store.units,
            states=states,
            attributes=attributes | {"resampled": stated[0][:200]},
            solved=store.solved,
        ) as writer:
            for block in store.blocks(kept):
                part, found = _resample(block, new_times, states, linear, store)
                writer.append(part)
                change = max(change, found)
            families = store.families()
            if families:
                writer.add_families([families[row] for row in kept])
    return Resampled(out, len(kept), states, len(lengths) - len(kept), change)


def parse_times(text: str) -> list[float]:
    """Return years from "0,1e3,1e4" or START:STOP:STEP, such as "0:1e4:92.9".

    Raises:
        InputError: For any other text.
    """
    try:
        if ":" not in text:
            return [float(year) for year in text.split(",")]
        start, stop, step = (float(part) for part in text.split(":"))
        count = (stop - start) / step * (1 + 1e-9)
        if not 0 <= count <= _MOST:
            raise ValueError
        return [start + step * number for number in range(int(count) + 1)]
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise InputError(
            f"times are {text[:80]!r}; give increasing years between commas, or "
            f"START:STOP:STEP with at most {_MOST} steps, such as 0:1e4:92.9."
        ) from error


NewTimes = Callable[[np.ndarray], np.ndarray]


def _times(
    times: Sequence[float] | None, steps: int | None, max_dt: float | None
) -> NewTimes:
    """Return the function from the times of a tracer to its new times."""
    if sum(given is not None for given in (times, steps, max_dt)) != 1:
        raise InputError("give one of times, steps and max_dt.")
    if times is not None:
        wanted = np.asarray(times, "f8")
        if wanted.ndim != 1 or len(wanted) < 2 or not (np.diff(wanted) > 0).all():
            raise InputError(
                f"times are {arguments.shown(times)}; give increasing years."
            )

        def inside(own: np.ndarray) -> np.ndarray:
            margin = STEP_MARGIN * 1e-3 * (own[-1] - own[0])
            chosen = wanted[(wanted >= own[0] - margin) & (wanted <= own[-1] + margin)]
            return np.clip(chosen, own[0], own[-1])

        return inside
    if steps is not None:
        count = arguments.whole("steps", steps, low=1)
        return lambda own: np.linspace(own[0], own[-1], count + 1)
    longest = arguments.number("max_dt", max_dt, low=0.0)
    if not longest > 0:
        raise InputError(f"max_dt is {max_dt}; give a positive number of years.")

    def split(own: np.ndarray) -> np.ndarray:
        if own[-1] - own[0] > _MOST * longest:
            raise InputError(
                f"max_dt is {longest:g} yr, and a tracer lasts {own[-1] - own[0]:g}: "
                f"more than {_MOST} states; choose longer steps."
            )
        parts = [own[:1]]
        for begin, end in pairwise(own):
            count = math.ceil((end - begin) / (longest * (1 + STEP_MARGIN)))
            parts.append(np.linspace(begin, end, max(1, count) + 1)[1:])
        return np.concatenate(parts)

    return split


def _own_times(store: TracerStore) -> Iterator[np.ndarray]:
    """Yield the times of each tracer, years, after all values were checked."""
    for block in store.blocks():
        for time, length in zip(block.time, block.length, strict=True):
            yield time[:length]


def _resample(
    block: Tracers,
    new_times: NewTimes,
    states: int,
    linear: np.ndarray,
    store: TracerStore,
) -> tuple[Tracers, float]:
    """Return tracers at other times, and the largest change between given states."""
    n, species, count = len(block), block.abundances.shape[2], len(linear)
    solved = store.solved
    new = empty_tracers(n, states, species, count)
    if not solved:
        new = replace(new, abundances=block.abundances.copy())
    change = 0.0
    for i in range(n):
        length = int(block.length[i])
        own = block.time[i, :length]
        time = new_times(own)
        size = len(time)
        new.length[i], new.time[i, :size] = size, time
        new.physical[i, : size - 1] = average_parameters(
            block.physical[i, : length - 1], own, time, linear
        )
        if solved:
            x, found = interpolate_abundances(block.abundances[i, :length], own, time)
            new.abundances[i, :size] = x
            change = max(change, found)
        elif species and time[0] > own[0]:
            raise InputError(
                f"{store.path}: tracer {block.tracer[i]} begins at {own[0]:g} yr with "
                f"its only abundances, but the first new time is {time[0]:g} yr; begin "
                "with its first time."
            )
    for name in ("tracer", "simulation", "split"):
        setattr(new, name, getattr(block, name))
    return new, change


def average_parameters(
    physical: np.ndarray, own: np.ndarray, time: np.ndarray, linear: np.ndarray
) -> np.ndarray:
    """Return the means of parameters over other intervals, (K, P).

    Args:
        physical: Parameters, constant within each interval, (T, P).
        own: Years of the given states, (T+1,).
        time: Years of the new states, inside those, (K+1,).
        linear: Which parameters have an arithmetic mean, the others a geometric one,
        (P,).
    """
    physical = physical.astype("f8")
    values = np.where(linear, physical, np.log10(physical))
    weighted = values * np.diff(own)[:, None]
    integral = np.concatenate([np.zeros((1, len(linear))), np.cumsum(weighted, 0)])
    at = np.stack([np.interp(time, own, column) for column in integral.T], axis=1)
    means = np.diff(at, axis=0) / np.diff(time)[:, None]
    means = np.where(linear, means, 10.0 ** np.where(linear, 0.0, means))
    # Within one interval the parameters are those of the interval, to the last digit.
    first = np.searchsorted(own, time[:-1], side="right") - 1
    last = np.searchsorted(own, time[1:], side="left") - 1
    within = first == last
    means[within] = physical[first[within]]
    return means


def interpolate_abundances(
    abundances: np.ndarray, own: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return abundances at other times, linear in their logarithm between two states.

    Args:
        abundances: Of the given states, (T+1, S).
        own: Years of the given states, (T+1,).
        time: Years of the new states, inside those, (K+1,).

    Returns:
        Abundances, (K+1, S), those of a given state where there is one; and the largest
        change, dex, of an abundance above 1e-12 between two states that were
        interpolated between.
    """
    before = np.clip(np.searchsorted(own, time, side="right") - 1, 0, len(own) - 2)
    share = (time - own[before]) / (own[before + 1] - own[before])
    nearest = np.where(share < 0.5, before, before + 1)
    given = np.abs(share - np.round(share)) < 1e-9
    logs = np.log10(np.maximum(abundances.astype("f8"), FLOOR))
    weight = share[:, None]
    mixed = 10 ** ((1 - weight) * logs[before] + weight * logs[before + 1])
    between = before[~given]
    seen = np.maximum(logs, np.log10(_SEEN))
    changes = np.abs(seen[between + 1] - seen[between])
    return (
        np.where(given[:, None], abundances[nearest], mixed),
        float(changes.max(initial=0.0)),
    )
