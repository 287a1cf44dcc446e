"""Report of an import: counts of changed values, warnings and notes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from astrokeras.data.tracers.file_format import HIGHEST, LOWEST


@dataclass
class ImportStatistics:
    """Counts and ranges collected while raw tables are read.

    Attributes:
        raised: Abundances in [-1e-12, floor) that were raised to the floor.
        lowered: Abundances in (1, 1 + 1e-6] that were lowered to 1; of tracer files, in
            (1, 1.0025].
        floored: Number of values of each parameter that were raised to its minimum.
        short: Tracers of a single state, which are left out.
        cut_states: States left out by `dataset.cut_below`.
        cut_tracers: Tracers shortened by it.
        cut_whole: Tracers left out by it, which begin below.
        ranges: Minimum and maximum of each dropped column.
        equal: Parameters that equal each dropped column in all rows so far.
        urged: Unused columns that seem to be a parameter by their names, name to
            parameter; those of `dataset.drop` are not among them.
    """

    raised: int = 0
    lowered: int = 0
    floored: dict[str, int] = field(default_factory=dict)
    short: int = 0
    cut_states: int = 0
    cut_tracers: int = 0
    cut_whole: int = 0
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    equal: dict[str, set[str]] = field(default_factory=dict)
    urged: dict[str, str] = field(default_factory=dict)

    def clip(self, values: np.ndarray, floor: float) -> np.ndarray:
        """Clip abundances and count harmless deviations; larger ones are refused later.

        Args:
            values: Abundances, (rows, S), which are changed.
            floor: Smaller abundances are raised to it.
        """
        low = (values < floor) & (values >= LOWEST)
        high = (values > 1) & (values <= HIGHEST)
        self.raised += int(low.sum())
        self.lowered += int(high.sum())
        values[low] = floor
        values[high] = 1.0
        return values

    def raise_to(
        self, physical: np.ndarray, minimum: Mapping[str, float | None]
    ) -> None:
        """Raise parameters, (rows, P), to their lower limits, and count the values."""
        for index, (name, limit) in enumerate(minimum.items()):
            if limit is not None:
                low = physical[:, index] < limit
                self.floored[name] = self.floored.get(name, 0) + int(low.sum())
                physical[low, index] = limit

    def note(
        self, unused: Mapping[str, np.ndarray], parameters: Mapping[str, np.ndarray]
    ) -> None:
        """Record the ranges of unused columns, and the parameters that they equal.

        Args:
            unused: Values of each column, (rows,).
            parameters: Values of each parameter, (rows,).
        """
        for name, values in unused.items():
            low, high = self.ranges.get(name, (np.inf, -np.inf))
            low, high = min(low, values.min()), max(high, values.max())
            self.ranges[name] = (float(low), float(high))
            equal = {
                parameter
                for parameter, column in parameters.items()
                if np.allclose(values, column, rtol=1e-6, atol=0)
            }
            self.equal[name] = self.equal.get(name, equal) & equal

    def fixed(self) -> tuple[list[str], dict[str, str]]:
        """Return the unused columns that were constant, and those that varied.

        The latter are a dictionary from the name to the name with its range.
        """
        fixed, varied = [], {}
        for name, (low, high) in self.ranges.items():
            if low == high:
                fixed.append(f"{name} = {low:g}")
            elif self.equal[name]:
                fixed.append(f"{name} = {min(self.equal[name])}")
            else:
                varied[name] = f"{name} ({low:g} to {high:g})"
        return fixed, varied


@dataclass
class ImportReport:
    """Result of an import.

    Attributes:
        path: The tracer file.
        tracers: Tracers written.
        states: States of the longest tracer.
        species: Number of species.
        statistics: Counts of clipped or raised values, and of tracers left out.
        fixed: Quantities that were held fixed, such as "zeta = 1".
        split: Number of tracers in each part of the split, empty without a split.
        notes: Decisions of the import, one line each.
        warnings: Possible faults of the data, one line each.
    """

    path: Path
    tracers: int
    states: int
    species: int
    statistics: ImportStatistics
    fixed: list[str] = field(default_factory=list)
    split: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
