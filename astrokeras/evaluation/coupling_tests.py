"""Coupling tests: rollouts as in a grid code, step by step and from later states.

A hydrodynamic code advects and mixes abundances, so it decodes and re-encodes them at
every step (the closed loop), and it starts from any state of a trajectory.
"""

from collections.abc import Iterator

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.evaluation.context import (
    EvaluationContext,
    Prediction,
    select_states,
)

SHARES = (0.25, 0.5, 0.75)  # shares of a tracer's steps before a later start
REPLACEMENT = 1e-20  # abundance that replaces NaN before a state is encoded again


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
