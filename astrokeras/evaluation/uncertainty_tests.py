"""Uncertainty tests: coverage of error bars, and quality of expected errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.data.tracers.reader import Tracers
from astrokeras.evaluation.context import Prediction
from astrokeras.models.metadata import COVERAGE
from astrokeras.plotting.coverage_plot import LEVELS, CoverageCounts
from astrokeras.prediction.tracer_rollout import log10

LARGE = 0.3  # dex, the error of a state that should be flagged
HELD = 0.75  # coverage that nearly every species should reach
SENT = np.linspace(0.0, 0.9, 19)  # shares of states that are sent to the solver
LEAST_SHARE = 0.01  # of the states, in a factor of two of the expected error
DRAWS = 1000  # bootstrap samples


@dataclass(frozen=True)
class ErrorBars:
    """Quality of the 90 % error bars, over abundances above the floor.

    Attributes:
        coverage: Share of errors within their error bar.
        coverage_range: 95 % range of the coverage, by bootstrap over simulations.
        thirds: Coverage in each third of the rollouts.
        species_held: Share of species covered to 75 % at least.
        thirds_species_held: The same in each third of the rollouts.
        score: Interval score (Gneiting & Raftery 2007), dex; smaller is better.
        score_constant: The same with one constant width for each species.
        curve: `share` of errors inside intervals of each `nominal` level.
    """

    coverage: float
    coverage_range: list[float]
    thirds: list[float]
    species_held: float
    thirds_species_held: list[float]
    score: float
    score_constant: float
    curve: dict[str, list[float]]


@dataclass(frozen=True)
class ReliabilityQuality:
    """Quality of the expected errors, and of the verdict "reliable" on each state.

    Attributes:
        auroc: Area under the ROC curve of the expected error, for errors above 0.3 dex.
        unreliable: Share of all states that are not reliable.
        unreliable_large: The same share of the states with an error above 0.3 dex.
        unreliable_good: The same share of the states with an error below the median.
        reliable_dex: Mean error of the reliable states, dex.
        unreliable_tracers: Share of all states that are in a tracer with an unreliable
            one, which the fallback of `emulate` solves from state 0.
        calibration: For each factor of two in the expected error that holds 1 % of the
            states: mean `expected` error and mean `dex`, and the `share` of states.
        curve: `dex` that remains if the share `sent` of states, those of the largest
            expected error first, is sent to the solver.
        reliability_threshold: Largest expected error of a reliable state, dex.
    """

    auroc: float | None
    unreliable: float
    unreliable_large: float | None
    unreliable_good: float | None
    reliable_dex: float | None
    unreliable_tracers: float
    calibration: dict[str, list[float]]
    curve: dict[str, list[float]]
    reliability_threshold: float


class ErrorBarTest:
    """Counts the errors within the error bars, by species and third of the rollout.

    Args:
        constant_width: Half width of the constant error bar of each species, dex, (S,).
    """

    def __init__(self, constant_width: np.ndarray):
        size = len(constant_width)
        self.constant_width = constant_width
        self.covered = np.zeros((3, size), np.int64)
        self.counted = np.zeros((3, size), np.int64)
        self.scores = np.zeros(2)  # summed interval scores, own and constant
        self.levels = CoverageCounts()
        # Of each tracer: entries covered and counted, and its simulation.
        self.tracers: list[np.ndarray] = []
        self.simulation: list[np.ndarray] = []

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction with error bars."""
        from astrokeras.layers.trust_model import NORMAL  # this imports Keras

        assert prediction.sigma is not None
        states = block.time.shape[1]
        valid = np.arange(states) < block.length[:, None]
        valid[:, 0] = False
        truth = np.nan_to_num(block.abundances, nan=0.0)
        error = np.abs(log10(prediction.abundances) - log10(truth))
        width = NORMAL * prediction.sigma
        seen = valid[..., None] & (truth > FLOOR)
        inside = seen & (error <= width)
        third = np.arange(states) * 3 // states
        for k in range(3):
            self.covered[k] += inside[:, third == k].sum((0, 1))
            self.counted[k] += seen[:, third == k].sum((0, 1))
        self.tracers.append(np.stack([inside.sum((1, 2)), seen.sum((1, 2))]))
        self.simulation.append(block.simulation)
        self.levels.add(error[seen], prediction.sigma[seen])
        for i, half_width in enumerate((width, self.constant_width)):
            self.scores[i] += _interval_score(half_width, error)[seen].sum()

    def result(self) -> ErrorBars:
        """Return coverage and interval scores of all tracers added."""
        covered, counted = np.concatenate(self.tracers, axis=1)
        means = bootstrap_means(covered, counted, np.concatenate(self.simulation))
        entries = self.counted.sum()
        present = self.counted.sum(0) > 0
        species = self.covered.sum(0) / np.maximum(self.counted.sum(0), 1)
        by_third = self.covered / np.maximum(self.counted, 1)
        thirds = self.covered.sum(1) / np.maximum(self.counted.sum(1), 1)
        own, constant = self.scores / entries
        return ErrorBars(
            coverage=float(self.covered.sum() / entries),
            coverage_range=np.percentile(means, [2.5, 97.5]).tolist(),
            thirds=thirds.tolist(),
            species_held=float((species[present] >= HELD).mean()),
            thirds_species_held=[float((x[present] >= HELD).mean()) for x in by_third],
            score=float(own),
            score_constant=float(constant),
            curve={"nominal": list(LEVELS), "share": self.levels.shares.tolist()},
        )


class ReliabilityTest:
    """Collects error, expected error and reliability of every state.

    Args:
        reliability_threshold: Largest expected error of a reliable state, dex.
    """

    def __init__(self, reliability_threshold: float):
        self.reliability_threshold = reliability_threshold
        self.errors: list[np.ndarray] = []
        self.expected: list[np.ndarray] = []
        self.reliable: list[np.ndarray] = []
        self.sent_back = 0  # states of tracers that have an unreliable one

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction with expected errors."""
        assert prediction.expected_error is not None
        assert prediction.reliable is not None
        valid = np.arange(block.time.shape[1]) < block.length[:, None]
        valid[:, 0] = False
        truth = log10(block.abundances[valid])
        error = np.abs(log10(prediction.abundances[valid]) - truth).mean(-1)
        self.errors.append(error)
        self.expected.append(prediction.expected_error[valid])
        self.reliable.append(prediction.reliable[valid])
        returned = (valid & ~prediction.reliable).any(1)
        self.sent_back += int(valid[returned].sum())

    def result(self) -> ReliabilityQuality:
        """Return how well expected errors are calibrated and find large errors."""
        lists = (self.errors, self.expected, self.reliable)
        error, expected, reliable = map(np.concatenate, lists)
        finite = np.isfinite(error)
        error, sent = error[finite], ~reliable[finite]
        # An expected error that is not finite is the largest.
        expected = np.where(np.isfinite(expected), expected, np.inf)[finite]
        large, good = error > LARGE, error < np.median(error)
        order = np.argsort(-expected, kind="stable")
        remaining = [error[order[int(share * len(order)) :]].mean() for share in SENT]
        return ReliabilityQuality(
            auroc=auroc(expected, large),
            unreliable=float(sent.mean()),
            unreliable_large=_mean(sent[large]),
            unreliable_good=_mean(sent[good]),
            reliable_dex=_mean(error[~sent]),
            unreliable_tracers=self.sent_back / len(reliable),
            calibration=_calibration(expected, error),
            curve={"sent": SENT.tolist(), "dex": [float(dex) for dex in remaining]},
            reliability_threshold=self.reliability_threshold,
        )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _calibration(expected: np.ndarray, error: np.ndarray) -> dict[str, list[float]]:
    """Return mean expected and true errors by factors of two in the former."""
    octave = np.floor(np.log2(np.maximum(expected, 1e-9)))
    found: dict[str, list[float]] = {"expected": [], "dex": [], "share": []}
    for each in np.unique(octave[np.isfinite(octave)]):
        inside = octave == each
        if inside.mean() >= LEAST_SHARE:
            found["expected"].append(float(expected[inside].mean()))
            found["dex"].append(float(error[inside].mean()))
            found["share"].append(float(inside.mean()))
    return found


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the probability that a positive scores higher than a negative.

    Ties count one half. The result is `None` without positives or negatives.
    """
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    _, place, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    above = ranks[place][positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def standard_error(errors: np.ndarray, simulation: np.ndarray) -> float | None:
    """Return the standard error of a mean over tracers, `None` for one simulation.

    Args:
        errors: Error of each tracer, (n,).
        simulation: Identifiers, (n,).
    """
    if len(np.unique(simulation)) < 2:
        return None
    return float(bootstrap_means(errors, np.ones(len(errors)), simulation).std())


def bootstrap_means(
    sums: np.ndarray, counts: np.ndarray, simulation: np.ndarray
) -> np.ndarray:
    """Return means of bootstrap samples of simulations, (draws,).

    Tracers of a simulation are near-copies of each other, so they are drawn together.

    Args:
        sums: Sum over each tracer, (n,).
        counts: Number of entries in each sum, (n,).
        simulation: Identifiers, (n,).
    """
    _, group = np.unique(simulation, return_inverse=True)
    sums, counts = np.bincount(group, sums), np.bincount(group, counts)
    drawn = np.random.default_rng(0).integers(0, len(sums), (DRAWS, len(sums)))
    return sums[drawn].sum(1) / counts[drawn].sum(1)


def _interval_score(width: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the width of an interval plus the penalty of an error outside it."""
    return 2 * width + 2 / (1 - COVERAGE) * np.maximum(error - width, 0.0)
