"""Evaluation results: typed, and written as `metrics.json`.

The terminal table, the HTML report and `metrics.json` are all made from an
`Evaluation`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.evaluation.stress_tests import StressResult
from astrokeras.evaluation.uncertainty_tests import ErrorBars, ReliabilityQuality

OWN = ("surrogate", "reconstruction")  # predictions that are no baselines


@dataclass(frozen=True)
class ErrorSummary:
    """Headline figures of one kind of prediction; `ErrorMetrics` defines them.

    Attributes:
        dex: Mean |log10 p - log10 x|, floored at 1e-20.
        dex_seen: The same over abundances of 1e-12 and more.
        dex_final: The same at the last state of each tracer.
        dex_species99: 99th percentile over the mean errors of the species.
        dex_worst: Mean error of the worst species.
        worst_species: Name of that species.
        mre: Mean |p - x| / x, both clipped to [1e-20, 1].
        conservation: Mean |n - n0| / n0 of the element totals n.
        conservation_max: Its maximum.
        nonfinite: Number of abundances that are NaN, infinite or negative.
        tracers: Number of tracers.
    """

    dex: float
    dex_seen: float
    dex_final: float
    dex_species99: float
    dex_worst: float
    worst_species: str
    mre: float
    conservation: float
    conservation_max: float
    nonfinite: int
    tracers: int


@dataclass(frozen=True)
class ErrorDetail:
    """Errors by species, step, element and kind of initial state.

    The error of a state is its mean over species. That of state 0, the
    input, is NaN.

    Attributes:
        species_dex: Mean error of each species, `(S,)`.
        species_p90: 90th percentile of each species over states, `(S,)`.
        species_mre: Mean relative error of each species, `(S,)`.
        species_swing: Decades that each species spans within a tracer, mean over
            tracers, `(S,)`.
        species_peak: Highest true abundance of each species, `(S,)`.
        percentiles: Error of an abundance by percent of the abundances below it.
        exceeded: Errors in dex and the share of the abundances with a larger one,
            `(2, bins)`.
        step_dex: Mean error at each step, `(T+1,)`.
        step_median: Median over tracers of the state error, `(T+1,)`.
        step_p90: 90th percentile over tracers of the state error, `(T+1,)`.
        step_conservation: Mean |n - n0| / n0 of each element, `(T+1, E)`.
        elements: Names of the elements that the species contain.
        element_mean: Mean |n - n0| / n0 of each element, `(E,)`.
        element_max: Maximum |n - n0| / n0 of each element, `(E,)`.
        starts: By name of the initial state: number of tracers, `dex`, `dex_seen` and
            `dex_final`.
    """

    species_dex: np.ndarray
    species_p90: np.ndarray
    species_mre: np.ndarray
    species_swing: np.ndarray
    species_peak: np.ndarray
    percentiles: dict[str, float]
    exceeded: np.ndarray
    step_dex: np.ndarray
    step_median: np.ndarray
    step_p90: np.ndarray
    step_conservation: np.ndarray
    elements: tuple[str, ...]
    element_mean: np.ndarray
    element_max: np.ndarray
    starts: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ErrorGroup:
    """Errors of some of the states.

    Attributes:
        states: Number of states.
        dex: Mean error, dex.
        dex_seen: The same over abundances of 1e-12 and more.
        reliable: Share of reliable states, `None` without calibration.
        reliable_dex: Mean error of the reliable states, `None` if there are none.
    """

    states: int
    dex: float
    dex_seen: float
    reliable: float | None
    reliable_dex: float | None


@dataclass(frozen=True)
class Finding:
    """A figure against its thresholds.

    Attributes:
        topic: "accuracy", "trust", "conservation", "speed" or "stress".
        name: What was measured.
        text: What was found, with units.
        grade: "PASS", "NOTE" or "WARN".
    """

    topic: str
    name: str
    text: str
    grade: str


@dataclass(frozen=True)
class Evaluation:
    """All results of an evaluation.

    Attributes:
        surrogate: Name of the surrogate.
        surrogate_sha256: Hash of its file, empty for a surrogate in memory.
        file: Name of the tracer file.
        split: "train", "validation", "test" or "all".
        species: Names in column order, (S,).
        simulations: Number of simulations among the tracers.
        optimistic: Whether the surrogate was trained on some of these simulations.
        notes: Remarks that a reader of the figures needs.
        outside_box: Number of tracers that leave the training ranges at any state.
        outside_starts: Number of tracers with state 0 outside the training ranges.
        errors: Headline figures by prediction: `surrogate`, `reconstruction` (the
            autoencoder alone) and the baselines.
        details: The same by species, step and element.
        dex_standard_error: Standard error of `dex`, by bootstrap over simulations;
            `None` for a single simulation.
        groups: Errors by `family` if the file has families, by `interval` and by `age`,
            each by the name of the group.
        closed_loop: Headline figures if states are re-encoded at every step; `None` if
            this was not run.
        later_starts: Results of `MeanError` for rollouts from a later state, by the
            share of the steps before it.
        intervals: Results of `MeanError` for longer time steps, by the number of steps
            of the file that are taken as one.
        semigroup: `years` and step-doubling error `dex`, two steps of a length against
            one of twice the length.
        seconds: Wall time of the evaluation loop.
        steps_per_second: Rate of rollouts with error bars, compilation apart.
        solver_steps_per_second: Rate of the solver on one core, of the file if it says
            so, else typical of UCLCHEM.
        error_bars: Quality of the error bars, `None` without calibration.
        reliability: Quality of the expected errors, `None` without calibration.
        stress: Results of the stress tests, `None` if they were not run.
        findings: The figures against their thresholds.
        verdict: Whether the surrogate can be used, in one sentence.
        folder: Directory of the report, `None` if none was written.
    """

    surrogate: str
    surrogate_sha256: str
    file: str
    split: str
    species: tuple[str, ...]
    simulations: int
    optimistic: bool
    notes: list[str]
    outside_box: int
    outside_starts: int
    errors: dict[str, ErrorSummary]
    details: dict[str, ErrorDetail]
    dex_standard_error: float | None
    groups: dict[str, dict[str, ErrorGroup]]
    closed_loop: ErrorSummary | None
    later_starts: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, float]]
    semigroup: dict[str, dict[str, float]]
    seconds: float
    steps_per_second: float
    solver_steps_per_second: float
    error_bars: ErrorBars | None = None
    reliability: ReliabilityQuality | None = None
    stress: StressResult | None = None
    findings: tuple[Finding, ...] = ()
    verdict: str = ""
    folder: Path | None = None

    @property
    def baselines(self) -> dict[str, ErrorSummary]:
        """Headline figures of the baselines."""
        return {name: one for name, one in self.errors.items() if name not in OWN}

    @property
    def times_better(self) -> dict[str, float | None]:
        """Error of each baseline relative to the surrogate's."""
        own = self.errors["surrogate"].dex
        return {k: one.dex / own if own else None for k, one in self.baselines.items()}

    @property
    def autoencoder_share(self) -> float | None:
        """Error of the autoencoder alone relative to the rollout's."""
        own = self.errors["surrogate"].dex
        return self.errors["reconstruction"].dex / own if own else None

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of `metrics.json`: the headline figures and all others."""
        import astrokeras

        own, stress = self.details["surrogate"], self.stress
        names = "surrogate surrogate_sha256 file split simulations optimistic notes"
        names += " outside_box outside_starts dex_standard_error later_starts seconds"
        names += " steps_per_second solver_steps_per_second verdict"
        metrics = asdict(self.errors["surrogate"]) | {
            name: getattr(self, name) for name in names.split()
        }
        metrics |= {
            "autoencoder_share": self.autoencoder_share,
            "reconstruction": asdict(self.errors["reconstruction"]),
            "baselines": {name: asdict(one) for name, one in self.baselines.items()},
            "times_better": self.times_better,
            "starts": own.starts,
            "elements": {
                name: {"mean": float(mean), "max": float(most)}
                for name, mean, most in zip(
                    own.elements, own.element_mean, own.element_max, strict=True
                )
            },
            "species": dict(zip(self.species, own.species_dex.tolist(), strict=True)),
            "steps": {
                "dex": own.step_dex.tolist(),
                "median": own.step_median.tolist(),
                "p90": own.step_p90.tolist(),
            },
            "groups": {
                kind: {name: asdict(one) for name, one in groups.items()}
                for kind, groups in self.groups.items()
            },
            "percentiles": own.percentiles,
            "findings": [asdict(finding) for finding in self.findings],
            "version": astrokeras.__version__,
        }
        if self.closed_loop:
            metrics["closed_loop"] = {"dex": self.closed_loop.dex}
        if self.intervals:
            metrics |= {"intervals": self.intervals, "semigroup": self.semigroup}
        if self.error_bars and self.reliability:
            metrics["error_bars"] = asdict(self.error_bars)
            metrics["reliability"] = asdict(self.reliability)
        if stress:
            metrics["closed_loop"]["mixed"] = stress.mixed
            metrics["long"] = stress.long
            if stress.corrupted:
                metrics["reliability"]["corrupted"] = stress.corrupted
        return metrics

    def to_json(self) -> str:
        """Return `metrics` as JSON, with null for NaN and infinity."""
        return to_json(self.metrics)


def to_json(metrics: dict[str, Any]) -> str:
    """Return JSON that any reader accepts: null for NaN and infinity."""
    return json.dumps(_finite(metrics), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
