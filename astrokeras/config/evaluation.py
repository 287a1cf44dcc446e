"""Configuration of the verdicts of an evaluation."""

from dataclasses import dataclass

from astrokeras.config.fields import thresholds


@dataclass
class EvaluationConfig:
    """Thresholds of each figure: as good as the first passes, as the second is noted.

    The better values are the smaller ones if the first threshold is the smaller one.
    """

    dex: list[float] = thresholds(0.2, 0.5)
    dex_seen: list[float] = thresholds(0.2, 0.5)
    percentile_99: list[float] = thresholds(1.0, 2.0)
    species: list[float] = thresholds(0.5, 1.0)
    observed: list[float] = thresholds(0.3, 0.6)
    closed_loop: list[float] = thresholds(1.3, 2.0)
    baseline: list[float] = thresholds(2.0, 1.0)
    unreliable: list[float] = thresholds(0.3, 0.6)
    caught: list[float] = thresholds(0.9, 0.7)
    reliable_dex: list[float] = thresholds(0.13, 0.25)
    calibration: list[float] = thresholds(0.2, 0.5)
    coverage: list[float] = thresholds(0.03, 0.1)
    speedup: list[float] = thresholds(4.0, 2.0)
    conservation: list[float] = thresholds(2e-6, 1e-4)
    unphysical: list[float] = thresholds(0, 0)
    solver_ratio: list[float] = thresholds(1000, 30)
