"""What a surrogate was trained on, and what lies outside of it; without Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.tracers.file_format import STEP_MARGIN

# A start may leave the range that training saw by this much, the rest by rounding.
START_MARGIN_DEX = 0.05
PARAMETER_MARGIN = 1e-4

LEAST_TRUST = 0.5  # a state of a lower score should be solved
COVERAGE = 0.9  # of the intervals that error bars stand for


@dataclass(frozen=True)
class Limits:
    """The training ranges of a surrogate.

    Attributes:
        species: Names in column order, (S,).
        parameters: Names in column order, (P,).
        units: Units of the parameters, (P,).
        dt_range: Shortest and longest trained interval between states, years.
        t_max: Longest time that training followed a tracer, years.
        parameter_ranges: Lowest and highest trained value of each parameter, in its
            unit.
        species_ranges: Lowest and highest trained abundance of each species, (2, S).
        floor: Smallest abundance relative to H nuclei.
    """

    species: tuple[str, ...]
    parameters: tuple[str, ...]
    units: tuple[str, ...]
    dt_range: tuple[float, float]
    t_max: float
    parameter_ranges: Mapping[str, tuple[float, float]]
    species_ranges: np.ndarray
    floor: float = 1e-20

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Limits:
        """Take the limits out of what `read_metadata` or `get_config` returns."""
        return cls(
            species=tuple(metadata["species"]),
            parameters=tuple(metadata["parameters"]),
            units=tuple(metadata["units"]),
            dt_range=(float(metadata["dt_range"][0]), float(metadata["dt_range"][1])),
            t_max=float(metadata["t_max"]),
            parameter_ranges={
                k: (float(a), float(b))
                for k, (a, b) in metadata["parameter_ranges"].items()
            },
            species_ranges=np.asarray(metadata["species_ranges"], np.float64),
            floor=float(metadata["floor"]),
        )

    def outside_parameters(self, physical: np.ndarray) -> np.ndarray:
        """Whether each parameter lies outside its range, (..., P) to (..., P)."""
        low, high = np.array(
            [self.parameter_ranges[name] for name in self.parameters]
        ).T
        return (physical < low * (1 - PARAMETER_MARGIN)) | (
            physical > high * (1 + PARAMETER_MARGIN)
        )

    def parameter_excess(self, physical: np.ndarray) -> np.ndarray:
        """How far parameters (..., P) leave their ranges, in dex; 0 inside them."""
        low, high = np.log10(
            [self.parameter_ranges[name] for name in self.parameters]
        ).T
        logs = np.log10(physical)
        return np.maximum(np.maximum(low - logs, logs - high), 0.0)

    def start_excess(self, initial: np.ndarray) -> np.ndarray:
        """How far abundances (..., S) leave the trained range, in dex; 0 inside it."""
        low, high = np.log10(np.maximum(self.species_ranges, self.floor))
        logs = np.log10(np.maximum(initial, self.floor))
        excess = np.maximum(low - logs, logs - high)
        return np.where(excess > START_MARGIN_DEX, excess, 0.0)

    def outside_steps(self, time: np.ndarray) -> np.ndarray:
        """Whether intervals were not trained, years (..., T+1) to (..., T)."""
        low, high = self.dt_range
        steps = np.diff(time)
        fine = (steps >= low * (1 - STEP_MARGIN)) & (steps <= high * (1 + STEP_MARGIN))
        return ~fine

    def beyond_duration(self, time: np.ndarray) -> np.ndarray:
        """Whether states lie later than training followed a tracer, (..., T+1)."""
        return time - time[..., :1] > self.t_max * (1 + STEP_MARGIN)
