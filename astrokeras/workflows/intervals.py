"""How a surrogate does on longer intervals, and whether it agrees with itself.

The truth at every second, fourth ... state judges rollouts of longer intervals. Where
parameters are held, two steps must lead to where one of twice the length leads.
"""

import warnings
from typing import Any

import numpy as np

from astrokeras.data.intervals import coarsen, is_linear
from astrokeras.data.limits import Limits
from astrokeras.data.store import Tracers, TracerStore
from astrokeras.workflows.rollout import complete, log10

STRIDES = (2, 4, 8, 16, 32)
HALVES = (1, 2, 4, 8, 16)
SAMPLE = 256  # tracers that states are drawn of
DRAWS = 4  # states of each


def judge_intervals(
    store: TracerStore,
    rows: np.ndarray,
    columns: np.ndarray,
    surrogate: Any,
    limits: Limits,
    size: int,
) -> dict[str, Any]:
    """Return the figures by length of interval, none if the surrogate takes one alone.

    Args:
        store: Solved tracers.
        rows: Those that are evaluated, (n,).
        columns: Columns of their parameters in the surrogate's order, (P,).
        surrogate: The `Surrogate`.
        limits: Its training ranges.
        size: Tracers rolled out at once.

    Returns:
        `intervals`: by number of the file's steps taken as one, `years` of the longest
        such interval, `dex` of the rollouts and the `tracers` judged. `semigroup`: by
        number of steps, `years` and the mean `dex` between one interval of twice that
        length and two of it.
    """
    low, high = limits.step
    if high < 2 * low:
        return {}
    return {
        "intervals": _judge_rollouts(store, rows, columns, surrogate, limits, size),
        "semigroup": _judge_halves(store, rows, columns, surrogate, limits),
    }


def _judge_rollouts(
    store: TracerStore,
    rows: np.ndarray,
    columns: np.ndarray,
    surrogate: Any,
    limits: Limits,
    size: int,
) -> dict[str, dict[str, float]]:
    linear = is_linear(limits.parameters, limits.units)
    errors, entries, judged, years = np.zeros((4, len(STRIDES)))
    for block in store.blocks(rows, size, check=False):
        physical, time = complete(block)
        for i, stride in enumerate(STRIDES):
            length = (block.length - 1) // stride + 1
            coarse = time[:, ::stride]
            valid = np.arange(coarse.shape[1]) < length[:, None]
            outside = limits.outside_steps(coarse).any(1)
            fine = np.flatnonzero((length > 1) & ~outside)
            if not len(fine):
                continue
            predicted = _emulate(
                surrogate,
                block.abundances[fine, 0],
                coarsen(physical[fine][..., columns], time[fine], stride, linear),
                coarse[fine],
                size,
            )
            valid = valid[fine, 1:]
            truth = block.abundances[fine, ::stride][:, 1:][valid]
            error = np.abs(log10(predicted[:, 1:][valid]) - log10(truth))
            errors[i] += error.sum()
            entries[i] += error.size
            judged[i] += len(fine)
            years[i] = max(years[i], np.diff(coarse[fine])[valid].max())
    return {
        str(stride): {
            "years": float(years[i]),
            "dex": float(errors[i] / entries[i]),
            "tracers": int(judged[i]),
        }
        for i, stride in enumerate(STRIDES)
        if judged[i]
    }


def _judge_halves(
    store: TracerStore,
    rows: np.ndarray,
    columns: np.ndarray,
    surrogate: Any,
    limits: Limits,
) -> dict[str, dict[str, float]]:
    initial, physical, years = _draw_states(store, rows, columns)
    found = {}
    for count in HALVES:
        half = count * years
        time = half[:, None] * np.arange(3)
        whole = time[:, ::2]
        outside = limits.outside_steps(time) | limits.outside_steps(whole)
        fine = np.flatnonzero(~outside.any(1))
        if not len(fine):
            continue
        held = np.repeat(physical[fine, None], 2, axis=1)
        start, size = initial[fine], len(fine)
        once = _emulate(surrogate, start, held[:, :1], whole[fine], size)
        twice = _emulate(surrogate, start, held, time[fine], size)
        apart = np.abs(log10(once[:, -1]) - log10(twice[:, -1]))
        found[str(count)] = {
            "years": float(half[fine].max()),
            "dex": float(apart.mean()),
        }
    return found


def _draw_states(
    store: TracerStore, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return states of the tracers, (n, S), (n, P), and the step that each begins."""
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(rows)[:SAMPLE])
    parts = [_draw(block, columns, random) for block in store.blocks(chosen)]
    initial, physical, years = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    return initial, physical, years


def _draw(
    block: Tracers, columns: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tracer = np.repeat(np.arange(len(block)), DRAWS)
    state = random.integers(0, block.length[tracer] - 1)
    years = block.time[tracer, state + 1] - block.time[tracer, state]
    physical = block.physical[tracer, state][:, columns]
    return block.abundances[tracer, state], physical, years


def _emulate(
    surrogate: Any, initial: np.ndarray, physical: Any, time: np.ndarray, size: int
) -> np.ndarray:
    with warnings.catch_warnings():
        # What leaves the training box was reported of the whole evaluation.
        warnings.simplefilter("ignore", UserWarning)
        return surrogate.emulate(initial, physical, time, batch_size=size)
