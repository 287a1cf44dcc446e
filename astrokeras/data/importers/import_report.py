"""What an import notices and reports."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class ImportStatistics:
    """What was noticed while raw tables were read.

    Attributes:
        raised: Abundances in [-1e-12, floor) that were raised to the floor.
        lowered: Abundances in (1, 1 + 1e-6] that were lowered to 1.
        floored: Values of each parameter that were raised to its minimum.
        short: Tracers left out because they have no step.
        ranges: Minimum and maximum of columns that were dropped.
        equal: Which parameters a dropped column equals so far.
    """

    raised: int = 0
    lowered: int = 0
    floored: dict[str, int] = field(default_factory=dict)
    short: int = 0
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    equal: dict[str, set[str]] = field(default_factory=dict)

    def fixed(self) -> tuple[list[str], list[str]]:
        """Return what was held fixed, and what varied although it was dropped."""
        fixed, varied = [], []
        for name, (low, high) in self.ranges.items():
            if low == high:
                fixed.append(f"{name} = {low:g}")
            elif self.equal[name]:
                fixed.append(f"{name} = {min(self.equal[name])}")
            else:
                varied.append(f"{name} ({low:g} to {high:g})")
        return fixed, varied


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        path: The tracer file.
        tracers: Tracers written.
        states: States of the longest tracer.
        species: Number of species.
        statistics: Counts of what was clipped, raised or left out.
        fixed: What was held fixed, such as "zeta = 1".
        split: Tracers of each split, empty without one.
        notes: What was decided on the way, one line each.
        warnings: What may be wrong, one line each.
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
