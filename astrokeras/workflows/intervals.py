"""How a surrogate does on longer intervals, and whether it agrees with itself.

The truth at every second, fourth ... state judges rollouts of longer intervals. Where
parameters are held, two steps must lead to where one of twice the length leads.
"""

from typing import Any

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.data.tracers.timestep_features import coarsen, is_linear
from astrokeras.prediction.tracer_rollout import complete, log10
from astrokeras.workflows.judge import Judge

STRIDES = (2, 4, 8, 16, 32)
HALVES = (1, 2, 4, 8, 16)
SAMPLE = 256  # tracers that states are drawn of
DRAWS = 4  # states of each


def judge_intervals(judge: Judge) -> dict[str, Any]:
    """Return the figures by length of interval, none if the surrogate takes one alone.

    Returns:
        `intervals`: by number of the file's steps taken as one, `years` of the longest
        such interval, `dex` of the rollouts and the `tracers` judged. `semigroup`: by
        number of steps, `years` and the mean `dex` between one interval of twice that
        length and two of it.
    """
    low, high = judge.limits.dt_range
    if high < 2 * low:
        return {}
    return {
        "intervals": _judge_rollouts(judge),
        "semigroup": _judge_halves(judge),
    }


def _judge_rollouts(judge: Judge) -> dict[str, dict[str, float]]:
    limits = judge.limits
    linear = is_linear(limits.parameters, limits.units)
    errors, entries, judged, years = np.zeros((4, len(STRIDES)))
    for block in judge.store.blocks(judge.rows, judge.size, check=False):
        physical, time = complete(block)
        for i, stride in enumerate(STRIDES):
            length = (block.length - 1) // stride + 1
            coarse = time[:, ::stride]
            valid = np.arange(coarse.shape[1]) < length[:, None]
            outside = limits.outside_steps(coarse).any(1)
            fine = np.flatnonzero((length > 1) & ~outside)
            if not len(fine):
                continue
            forcing = physical[fine][..., judge.columns]
            predicted = judge.emulate(
                block.abundances[fine, 0],
                coarsen(forcing, time[fine], stride, linear),
                coarse[fine],
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


def _judge_halves(judge: Judge) -> dict[str, dict[str, float]]:
    limits = judge.limits
    initial, physical, years = _draw_states(judge)
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
        once = judge.emulate(initial[fine], held[:, :1], whole[fine])
        twice = judge.emulate(initial[fine], held, time[fine])
        apart = np.abs(log10(once[:, -1]) - log10(twice[:, -1]))
        found[str(count)] = {
            "years": float(half[fine].max()),
            "dex": float(apart.mean()),
        }
    return found


def _draw_states(judge: Judge) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return states of the tracers, (n, S), (n, P), and the step that each begins."""
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(judge.rows)[:SAMPLE])
    parts = [
        _draw(block, judge.columns, random) for block in judge.store.blocks(chosen)
    ]
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
