"""Other ways of running: as in a grid code, from later states, at longer time steps.

A hydrodynamic code advects and mixes abundances, so it decodes and re-encodes them at
every step (the closed loop), and it starts from any state of a trajectory. Solved
states at every second, fourth ... step are the reference for rollouts at longer steps.
While parameters are constant, two steps must lead to the state that one step of twice
the length leads to.
"""

from collections.abc import Iterator

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.data.tracers.timestep_features import coarsen, is_linear
from astrokeras.evaluation.context import (
    EvaluationContext,
    Prediction,
    select_states,
)
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.prediction.tracer_rollout import log10

SHARES = (0.25, 0.5, 0.75)  # shares of a tracer's steps before a later start
REPLACEMENT = 1e-20  # abundance that replaces NaN before a state is encoded again
STRIDES = (2, 4, 8, 16, 32)  # steps of the file taken as one
STEP_COUNTS = (1, 2, 4, 8, 16)  # steps of the file taken as the half of a long one
SAMPLE = 256  # tracers that the states for step doubling are drawn from
STATES_PER_TRACER = 4


class MeanError:
    """Accumulates the mean error of rollouts of any number of states.

    The error is `|log10 p - log10 x|`, both within [1e-20, 1], over all states but
    the first, which is given.
    """

    def __init__(self) -> None:
        self.error, self.entries, self.final, self.tracers = 0.0, 0, 0.0, 0
        self.years = 0.0

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction."""
        valid = np.arange(1, block.time.shape[1]) < block.length[:, None]
        truth = log10(block.abundances[:, 1:][valid])
        error = np.abs(log10(prediction.abundances[:, 1:][valid]) - truth)
        self.error += error.sum()
        self.entries += error.size
        self.final += error[np.cumsum(block.length - 1) - 1].mean(-1).sum()
        self.tracers += len(block)
        self.years = max(self.years, float(np.diff(block.time)[valid].max()))

    def result(self) -> dict[str, float]:
        """Return `dex`, `dex_final` of the last states, longest step, and tracers."""
        return {
            "years": self.years,
            "dex": float(self.error / self.entries),
            "dex_final": float(self.final / self.tracers),
            "tracers": self.tracers,
        }


def single_steps(
    context: EvaluationContext, block: Tracers
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield parameters `(n, 1, P)` and years `(n, 2)` of one step after the other."""
    _, physical, time = context.inputs(block)
    for t in range(physical.shape[1]):
        yield physical[:, t : t + 1], time[:, t : t + 2]


def roll_out_closed_loop(context: EvaluationContext, block: Tracers) -> Prediction:
    """Predict tracers with states that are decoded and re-encoded at every step."""
    state = block.abundances[:, 0]
    states = [state]
    for physical, time in single_steps(context, block):
        state = context.emulate(valid_input(state), physical, time, state_indices=[1])[
            :, 0
        ]
        states.append(state)
    return Prediction(np.stack(states, axis=1))


def valid_input(state: np.ndarray) -> np.ndarray:
    """Return a predicted state that `emulate` accepts, even if it is broken."""
    return np.nan_to_num(state, nan=REPLACEMENT).clip(0, 1)


def roll_out_later(
    context: EvaluationContext, share: float, block: Tracers
) -> tuple[Tracers, Prediction] | None:
    """Predict the rest of tracers from a later state.

    Args:
        context: The surrogate.
        share: Share of the steps before this state.
        block: Solved tracers.

    Returns:
        The rest of the solution and its prediction, `None` if all tracers end before.
    """
    _, physical, time = context.inputs(block)
    first = int(share * physical.shape[1])
    rows = np.flatnonzero(block.length > first + 1)
    if not len(rows):
        return None
    rest = select_states(block, rows, slice(first, None))
    predicted = context.emulate(
        rest.abundances[:, 0], physical[rows, first:], time[rows, first:]
    )
    return rest, Prediction(predicted)


def allows_longer_steps(limits: SurrogateMetadata) -> bool:
    """Return whether the longest time step is at least twice the shortest."""
    shortest, longest = limits.dt_range
    return longest >= 2 * shortest


def roll_out_strided(
    context: EvaluationContext, stride: int, block: Tracers
) -> tuple[Tracers, Prediction] | None:
    """Predict tracers at longer time steps.

    Args:
        context: The surrogate.
        stride: Steps of the file that are taken as one.
        block: Solved tracers.

    Returns:
        Every `stride`-th solved state and its prediction, of the tracers whose steps
        are then within the trained range; `None` if there are none.
    """
    limits = context.limits
    initial, physical, time = context.inputs(block)
    coarse = time[:, ::stride]
    long_enough = block.length > stride
    rows = np.flatnonzero(long_enough & ~limits.outside_steps(coarse).any(1))
    if not len(rows):
        return None
    linear = is_linear(limits.parameters, limits.units)
    means = coarsen(physical[rows], time[rows], stride, linear)
    predicted = context.emulate(initial[rows], means, coarse[rows])
    every = select_states(block, rows, slice(None, None, stride))
    return every, Prediction(predicted)


def step_doubling_errors(context: EvaluationContext) -> dict[str, dict[str, float]]:
    """Return the step-doubling error: two steps Δt against one of 2Δt.

    The states are drawn from a sample of the tracers, which is enough for a mean.

    Returns:
        By number of the file's steps: `years` of the longest half step, and `dex`, the
        mean difference between both results.
    """
    limits = context.limits
    initial, physical, years = _draw_states(context)
    errors = {}
    for count in STEP_COUNTS:
        half = count * years
        time = half[:, None] * np.arange(3)
        whole = time[:, ::2]
        outside = limits.outside_steps(time) | limits.outside_steps(whole)
        rows = np.flatnonzero(~outside.any(1))
        if not len(rows):
            continue
        constant = np.repeat(physical[rows, None], 2, axis=1)
        once = context.emulate(initial[rows], constant[:, :1], whole[rows])
        twice = context.emulate(initial[rows], constant, time[rows])
        difference = np.abs(log10(once[:, -1]) - log10(twice[:, -1]))
        errors[str(count)] = {
            "years": float(half[rows].max()),
            "dex": float(difference.mean()),
        }
    return errors


def _draw_states(
    context: EvaluationContext,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return states, (n, S) and (n, P), and the length of the step after each, (n,)."""
    random = np.random.default_rng(0)
    chosen = np.sort(random.permutation(context.rows)[:SAMPLE])
    parts = []
    for block in context.store.blocks(chosen, check=False):
        tracer = np.repeat(np.arange(len(block)), STATES_PER_TRACER)
        state = random.integers(0, block.length[tracer] - 1)
        physical = block.physical[tracer, state][:, context.columns]
        years = block.time[tracer, state + 1] - block.time[tracer, state]
        parts.append((block.abundances[tracer, state], physical, years))
    initial, physical, years = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    return initial, physical, years
