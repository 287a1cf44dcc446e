"""Report of an import: counts of changed values, warnings and notes."""

from dataclasses import dataclass, field
from pathlib import Path


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
