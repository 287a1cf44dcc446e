"""Stress tests: long rollouts, mixing at every step, and corrupted inputs.

They take several times as long as the rest of an evaluation, so they run with
`astrokeras evaluate --stress` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.evaluation.context import EvaluationContext
from astrokeras.evaluation.rollout_variants import single_steps, valid_input
from astrokeras.prediction.tracer_rollout import log10

MIXED = 0.1  # share of another tracer that each receives at every step
LONG = 10_000  # steps of a long rollout
STATES_KEPT = 100  # states of a long rollout that are examined
TOTALS = 1.12  # corrupted element totals are off by this factor: more than 10 %
OUTSIDE_DEX = 0.25  # how far a corrupted parameter lies outside its range


@dataclass(frozen=True)
class StressResult:
    """Results of the stress tests.

    Attributes:
        mixed: Rollout in which each tracer receives 10 % of another one at every step:
            number of `nonfinite` entries and `conservation_max` of one step.
        long: Rollouts of 10,000 `steps` with parameters held at their last values:
            `nonfinite`, `conservation_max`, and `excess_dex`, the distance in dex by
            which a species leaves its trained range.
        corrupted: Share of states that are flagged, by kind of corrupted input; empty
            for a surrogate that is not calibrated.
    """

    mixed: dict[str, float]
    long: dict[str, float]
    corrupted: dict[str, float]


class StressTests:
    """Runs all stress tests block by block.

    Args:
        context: The surrogate.
    """

    def __init__(self, context: EvaluationContext):
        self.mixing = MixingTest(context)
        self.long = LongRolloutTest(context)
        self.corrupted = CorruptedInputTest(context) if context.calibrated else None

    def update(self, block: Tracers) -> None:
        """Run them on a block of tracers."""
        self.mixing.update(block)
        self.long.update(block)
        if self.corrupted:
            self.corrupted.update(block)

    def result(self) -> StressResult:
        """Return the results of all tracers added."""
        return StressResult(
            mixed=self.mixing.result(),
            long=self.long.result(),
            corrupted=self.corrupted.result() if self.corrupted else {},
        )


class MixingTest:
    """Closed loop in which each tracer receives 10 % of another one at every step.

    Args:
        context: The surrogate.
    """

    def __init__(self, context: EvaluationContext):
        self.context = context
        self.nonfinite, self.worst = 0, 0.0

    def update(self, block: Tracers) -> None:
        """Roll out a block; its tracers are mixed among themselves."""
        context = self.context
        random = np.random.default_rng(0)
        state = block.abundances[:, 0]
        for physical, time in single_steps(context, block):
            other = state[random.permutation(len(state))]
            state = (1 - MIXED) * state + MIXED * other
            given = context.element_totals(state)
            state = context.emulate(state, physical, time, state_indices=[1])[:, 0]
            self.nonfinite += _count_nonfinite(state)
            error = _largest_error(context.element_totals(state), given)
            self.worst = max(self.worst, error)
            state = valid_input(state)

    def result(self) -> dict[str, float]:
        """Return the number of bad entries and the worst total, of a single step."""
        return {"nonfinite": self.nonfinite, "conservation_max": self.worst}


class LongRolloutTest:
    """Rollouts of 10,000 steps with parameters held at their last values.

    Args:
        context: The surrogate.
    """

    def __init__(self, context: EvaluationContext):
        self.context = context
        self.nonfinite, self.worst, self.excess = 0, 0.0, -np.inf

    def update(self, block: Tracers) -> None:
        """Roll out a block."""
        context = self.context
        initial, physical, time = context.inputs(block)
        more = max(LONG - physical.shape[1], 0)
        held = np.repeat(physical[:, -1:], more, axis=1)
        physical = np.concatenate([physical, held], axis=1)[:, :LONG]
        step = time[:, -1:] - time[:, -2:-1]
        onward = time[:, -1:] + step * np.arange(1, more + 1)
        time = np.concatenate([time, onward], axis=1)[:, : LONG + 1]
        states = np.linspace(1, LONG, STATES_KEPT).astype(int).tolist()
        rolled = context.emulate(initial, physical, time, state_indices=states)
        self.nonfinite += _count_nonfinite(rolled)
        given = context.element_totals(initial)[:, None]
        error = _largest_error(context.element_totals(rolled), given)
        self.worst = max(self.worst, error)
        low, high = log10(context.limits.species_ranges)
        logs = log10(np.nan_to_num(rolled))
        excess = float(np.maximum(low - logs, logs - high).max())
        self.excess = max(self.excess, excess)

    def result(self) -> dict[str, float]:
        """Return bad entries, the worst total, and how far species leave ranges."""
        return {
            "steps": LONG,
            "nonfinite": self.nonfinite,
            "conservation_max": self.worst,
            "excess_dex": self.excess,
        }


class CorruptedInputTest:
    """Share of states that are flagged if the input is corrupted in a known way.

    The kinds: `shuffled`, abundances of state 0 in another order of species; `totals`,
    element totals off by more than 10 %; `outside`, a parameter 0.25 dex outside its
    trained range; `mixed`, parameters mixed between tracers.

    Args:
        context: The surrogate, calibrated.
    """

    def __init__(self, context: EvaluationContext):
        self.context = context
        self.random = np.random.default_rng(0)
        self.counts: dict[str, np.ndarray] = {}  # states flagged, and all

    def update(self, block: Tracers) -> None:
        """Roll out a block once for each kind of corrupted input."""
        initial, physical, time = self.context.inputs(block)
        valid = np.arange(1, time.shape[1]) < block.length[:, None]
        for name, given in self._corrupt(initial, physical).items():
            *_, reliable = self.context.emulate(
                *given,
                time,
                species=[self.context.surrogate.species[0]],
                conserve=False,
                return_reliable=True,
            )
            flagged = ~reliable[:, 1:][valid]
            counts = self.counts.setdefault(name, np.zeros(2))
            counts += flagged.sum(), flagged.size

    def _corrupt(
        self, initial: np.ndarray, physical: np.ndarray
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        random, limits = self.random, self.context.limits
        count, parameters = len(initial), physical.shape[-1]
        low, high = np.array(
            [limits.parameter_ranges[name] for name in limits.parameters]
        ).T
        chosen = random.integers(0, parameters, count)
        up = random.random(count) < 0.5
        outside = physical.copy()
        beyond = 10.0**OUTSIDE_DEX
        edge = np.where(up, high[chosen] * beyond, low[chosen] / beyond)
        outside[np.arange(count), :, chosen] = edge[:, None]
        factor = np.where(random.random(count) < 0.5, TOTALS, 1 / TOTALS)[:, None]
        mixed = np.stack(
            [physical[random.permutation(count), :, i] for i in range(parameters)],
            axis=-1,
        )
        return {
            "shuffled": (random.permuted(initial, axis=1), physical),
            "totals": (np.minimum(initial * factor, 1.0), physical),
            "outside": (initial, outside),
            "mixed": (initial, mixed),
        }

    def result(self) -> dict[str, float]:
        """Return the share of flagged states by kind of corrupted input."""
        return {name: float(a / b) for name, (a, b) in self.counts.items()}


def _count_nonfinite(abundances: np.ndarray) -> int:
    return int((~np.isfinite(abundances) | (abundances < 0)).sum())


def _largest_error(totals: np.ndarray, given: np.ndarray) -> float:
    """Return the largest relative error of an element total, NaN apart."""
    # The relative error of an element without atoms in state 0 is undefined.
    present = np.broadcast_to(given > 0, totals.shape)
    given = np.broadcast_to(given, totals.shape)[present]
    # NaN is counted as a bad entry already.
    return float(np.fmax.reduce(np.abs(totals[present] - given) / given, initial=0.0))
