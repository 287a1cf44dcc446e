"""Statistics of the training tracers, collected block by block."""

from dataclasses import dataclass

import numpy as np

from astrokeras.data.tracers.abundance_scaling import (
    decades,
    log10_abundances,
    scale_abundances,
)
from astrokeras.data.tracers.block import Tracers

# Number of initial states for the median, which more states would hardly change.
MOST_STARTS = 4096


@dataclass
class Statistics:
    """Statistics of the training tracers, as NumPy arrays.

    Attributes:
        offset, scale: Mean and standard deviation of the log10 parameters, (P,).
        parameter_low, parameter_high: Range of the parameters, physical units, (P,).
        species_mean, species_spread: Mean and standard deviation of the scaled
            abundances, (S,).
        species_low, species_high: Range of the abundances over all states, (S,).
        start: Median initial abundances, (S,).
        step: Shortest and longest interval between states, years, (2,).
        duration: Longest time that a tracer was followed, years, ().
        longest: Largest number of steps of a tracer, ().
    """

    offset: np.ndarray
    scale: np.ndarray
    parameter_low: np.ndarray
    parameter_high: np.ndarray
    species_mean: np.ndarray
    species_spread: np.ndarray
    species_low: np.ndarray
    species_high: np.ndarray
    start: np.ndarray
    step: np.ndarray
    duration: np.ndarray
    longest: np.ndarray


class _Moments:
    """Mean and standard deviation of columns, accumulated in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.square = np.zeros(())

    def update(self, rows: np.ndarray) -> None:
        self.count += len(rows)
        self.sum = self.sum + rows.sum(0, dtype="f8")
        self.square = self.square + np.square(rows, dtype="f8").sum(0)

    def result(self, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation; those below `least` become 1."""
        mean = self.sum / self.count
        spread = np.sqrt(np.maximum(self.square / self.count - mean**2, 0))
        return mean, np.where(spread > least, spread, 1.0)


class StatisticsCollector:
    """Collector of the statistics of the training tracers, block by block."""

    def __init__(self, tracers: int, floor: float):
        self.floor = floor
        self.parameters, self.species = _Moments(), _Moments()
        self.low = self.species_low = np.array(np.inf)
        self.high = self.species_high = np.array(-np.inf)
        self.starts: list[np.ndarray] = []
        self.every, self.seen = -(-tracers // MOST_STARTS), 0
        self.step, self.duration = (np.inf, -np.inf), -np.inf
        self.longest = 0

    def update(self, tracers: Tracers) -> None:
        states = tracers.time.shape[1]
        valid = np.arange(states)[None, :] < tracers.length[:, None]
        abundances = tracers.abundances[valid]
        physical = tracers.physical[valid[:, 1:]]
        self.parameters.update(np.log10(physical))
        self.species.update(scale_abundances(abundances, self.floor))
        self.low = np.minimum(self.low, physical.min(0))
        self.high = np.maximum(self.high, physical.max(0))
        self.species_low = np.minimum(self.species_low, abundances.min(0))
        self.species_high = np.maximum(self.species_high, abundances.max(0))
        # Copied, because a view would keep its whole block in memory.
        first = -self.seen % self.every
        self.starts.extend(tracers.abundances[first :: self.every, 0].copy())
        self.seen += len(tracers)
        steps = np.diff(tracers.time)[valid[:, 1:]]
        self.step = min(self.step[0], steps.min()), max(self.step[1], steps.max())
        self.longest = max(self.longest, int(tracers.length.max()) - 1)
        last = tracers.time[np.arange(len(tracers)), tracers.length - 1]
        self.duration = max(self.duration, (last - tracers.time[:, 0]).max())

    def result(self) -> Statistics:
        starts = log10_abundances(self.starts, self.floor)
        offset, scale = self.parameters.result(least=1e-6)
        # Species that vary by less than 0.01 dex must not be amplified.
        mean, spread = self.species.result(least=0.01 / decades(self.floor))
        return Statistics(
            offset=offset,
            scale=scale,
            species_mean=mean,
            species_spread=spread,
            parameter_low=self.low,
            parameter_high=self.high,
            species_low=np.maximum(self.species_low, self.floor),
            species_high=np.maximum(self.species_high, self.floor),
            start=10 ** np.median(_evolved(starts, self.floor), axis=0),
            step=np.array(self.step),
            duration=np.array(self.duration),
            longest=np.array(self.longest),
        )


def _evolved(starts: np.ndarray, floor: float) -> np.ndarray:
    """Return the initial states with most species above the floor, if there are any.

    A median over these and the initial state of a network, with few species, would be
    meaningless.
    """
    evolved = (starts > np.log10(floor)).mean(1) > 0.5
    return starts[evolved] if evolved.any() else starts
