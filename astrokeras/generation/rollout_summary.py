"""What a surrogate's rollouts tell of trajectories, few numbers each."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.models.metadata import LEAST_TRUST
from astrokeras.models.trust_assessment import assess_trust, scale_parameters
from astrokeras.prediction.tracer_rollout import complete

STOPS = 8  # states of a trajectory that are remembered, evenly along it


@dataclass
class Paths:
    """Trajectories as a surrogate sees them.

    Attributes:
        rows: Row numbers in their file, (n,).
        steps: States beside state 0, (n,).
        expected: Expected error, mean over the states of each, dex, (n,).
        trusted: Share of its states that are trusted, (n,).
        stops: Where some of its states lie, latents and parameters, see
            `Trust.positions`, (n, STOPS, L + P).
    """

    rows: np.ndarray
    steps: np.ndarray
    expected: np.ndarray
    trusted: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> "Paths":
        """Return some of them."""
        return Paths(**{one.name: getattr(self, one.name)[index] for one in _FIELDS})

    def join(self, other: "Paths") -> "Paths":
        """Return these and others."""
        pairs = {
            one.name: (getattr(self, one.name), getattr(other, one.name))
            for one in _FIELDS
        }
        return Paths(**{name: np.concatenate(pair) for name, pair in pairs.items()})


_FIELDS = fields(Paths)


@dataclass
class Totals:
    """Sums over trajectories.

    Attributes:
        tracers: Their number.
        states: Their states beside state 0.
        expected: Sum of their expected errors, dex.
        trusted: States that are trusted.
        trusted_tracers: Trajectories that are trusted in every state.
    """

    tracers: int = 0
    states: int = 0
    expected: float = 0.0
    trusted: float = 0.0
    trusted_tracers: int = 0

    def add(self, paths: Paths) -> None:
        """Count in some more."""
        self.tracers += len(paths)
        self.states += int(paths.steps.sum())
        self.expected += float(paths.expected.sum())
        self.trusted += float((paths.trusted * paths.steps).sum())
        self.trusted_tracers += int((paths.trusted == 1).sum())


def follow(surrogate: Any, given: Tracers, columns: np.ndarray, size: int) -> Paths:
    """Roll out tracers from their state 0 and keep what tells them apart.

    What is not finite is as bad as any state of calibration was, and lies where the
    training states have their mean.

    Args:
        surrogate: A calibrated `Surrogate`.
        given: At most `size` tracers; only state 0 of their abundances is used.
        columns: Columns of their parameters in the surrogate's order, (P,).
        size: Tracers in a batch; fewer are filled up, so that one shape is compiled.
    """
    trust, count = surrogate.trust, len(given)
    physical, time = complete(given)
    fill = np.minimum(np.arange(size), count - 1)
    initial = np.maximum(given.abundances[fill, 0], surrogate.floor)
    physical = physical[fill][..., columns]
    years = np.diff(time[fill]).astype("float32")
    with surrogate.functions.lock:
        _, latents, spread, physical_violation = surrogate.functions.rollout(
            initial, physical, years, None, None, surrogate.conserve, for_trust=True
        )
        assessment = assess_trust(
            surrogate, initial, physical, years, latents, spread, physical_violation
        )
    expected, score = (
        values[:count, 1:] for values in (assessment.expected, assessment.trust)
    )
    worst = trust.value("error_range")[1]
    expected = np.where(np.isfinite(expected), expected, worst)
    # A score that is no number is not at least anything.
    good = score >= LEAST_TRUST

    last = given.length - 1  # states 1 to `last` are the tracer's
    valid = np.arange(expected.shape[1]) < last[:, None]
    index = np.ceil(last[:, None] * np.arange(1, STOPS + 1) / STOPS).astype(int) - 1
    rows = np.arange(count)[:, None]
    scaled = scale_parameters(surrogate, physical[:count])
    stops = trust.positions(latents[:count][rows, index], scaled[rows, index])
    stops = np.where(np.isfinite(stops), stops, np.float32(0.0))
    return Paths(
        rows=given.rows,
        steps=last,
        expected=expected.mean(1, where=valid),
        trusted=good.mean(1, where=valid),
        stops=stops,
    )
