"""Rollout summaries: a few numbers for each trajectory that a surrogate rolled out."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.models.status import is_reliable
from astrokeras.models.trust_assessment import assess_trust
from astrokeras.prediction.tracer_rollout import complete

POSITIONS = 8  # states of a trajectory whose position is kept, evenly spaced


@dataclass
class RolloutSummary:
    """Expected errors and positions of trajectories.

    Attributes:
        rows: Row numbers in the file, (n,).
        steps: Number of states after state 0, (n,).
        expected: Expected error, mean over states, dex, (n,).
        reliable: Share of states that are reliable, (n,).
        positions: Scaled latents and parameters of some states, see
            `Trust.positions`, (n, POSITIONS, L + P).
    """

    rows: np.ndarray
    steps: np.ndarray
    expected: np.ndarray
    reliable: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> "RolloutSummary":
        """Return the summary of some of the trajectories."""
        return RolloutSummary(**{name: getattr(self, name)[index] for name in _FIELDS})

    def join(self, other: "RolloutSummary") -> "RolloutSummary":
        """Return the summary of these trajectories and others."""
        return RolloutSummary(
            **{
                name: np.concatenate([getattr(self, name), getattr(other, name)])
                for name in _FIELDS
            }
        )


_FIELDS = [field.name for field in fields(RolloutSummary)]


@dataclass
class PoolTotals:
    """Sums over all trajectories of a pool.

    Attributes:
        tracers: Number of trajectories.
        states: Number of states after state 0.
        expected: Sum of the expected errors, dex.
        reliable: Number of reliable states.
        reliable_tracers: Number of trajectories that are reliable in every state.
    """

    tracers: int = 0
    states: int = 0
    expected: float = 0.0
    reliable: float = 0.0
    reliable_tracers: int = 0

    def add(self, summary: RolloutSummary) -> None:
        """Add trajectories."""
        self.tracers += len(summary)
        self.states += int(summary.steps.sum())
        self.expected += float(summary.expected.sum())
        self.reliable += float((summary.reliable * summary.steps).sum())
        self.reliable_tracers += int((summary.reliable == 1).sum())


def summarise_rollouts(
    surrogate: Any, given: Tracers, columns: np.ndarray
) -> RolloutSummary:
    """Roll out tracers from state 0, and return expected errors and positions.

    A value that is not finite is replaced: an expected error by the largest one of the
    calibration, a position by the mean of the training states.

    Args:
        surrogate: A calibrated `Surrogate`.
        given: Tracers; only state 0 of their abundances is used.
        columns: Columns of their parameters in the surrogate's order, (P,).
    """
    trust = surrogate.trust
    physical, time = complete(given)
    initial = np.maximum(given.abundances[:, 0], surrogate.floor)
    physical = physical[..., columns]
    years = np.diff(time).astype("float32")
    with surrogate.functions.lock:
        _, violation, expected, far, positions = surrogate.functions.rollout(
            initial,
            physical,
            years,
            None,
            None,
            surrogate.conserve,
            ("expected_error", "far", "positions"),
        )
        assessment = assess_trust(
            surrogate, initial, physical, years, expected, far, violation
        )
    expected, status = assessment.expected[:, 1:], assessment.status[:, 1:]
    worst = trust.value("error_range")[1]
    expected = np.where(np.isfinite(expected), expected, worst)
    reliable = is_reliable(status)

    last = given.length - 1  # the last state of each tracer
    valid = np.arange(expected.shape[1]) < last[:, None]
    index = (
        np.ceil(last[:, None] * np.arange(1, POSITIONS + 1) / POSITIONS).astype(int) - 1
    )
    rows = np.arange(len(given))[:, None]
    positions = positions[rows, index]
    positions = np.where(np.isfinite(positions), positions, np.float32(0.0))
    return RolloutSummary(
        rows=given.rows,
        steps=last,
        expected=expected.mean(1, where=valid),
        reliable=reliable.mean(1, where=valid),
        positions=positions,
    )
