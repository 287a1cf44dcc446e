"""What tracers ask of a surrogate beyond what it was trained on, in words."""

from dataclasses import dataclass, field

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.models.training_ranges import Limits


@dataclass
class _Range:
    """What was met outside of a range."""

    tracers: int = 0
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: np.ndarray, outside: np.ndarray) -> None:
        if outside.any():
            self.tracers += int(outside.any(1).sum())
            self.low = min(self.low, float(values[outside].min()))
            self.high = max(self.high, float(values[outside].max()))


@dataclass
class OutOfRangeReport:
    """Gathers what lies outside a surrogate's training ranges, block by block.

    Attributes:
        limits: The training ranges.
        tracers: Tracers seen.
        left: Those that leave the box of parameters or the duration at some state.
        starts: Those whose state 0 lies outside.
    """

    limits: Limits
    tracers: int = 0
    left: int = 0
    starts: int = 0
    ranges: list[_Range] = field(default_factory=list)
    longest: float = 0.0
    late: int = 0
    worst: tuple[float, int, float] = (0.0, 0, 0.0)  # excess, species, abundance

    def __post_init__(self) -> None:
        self.ranges = [_Range() for _ in self.limits.parameters]

    def add(self, given: Tracers, columns: np.ndarray) -> None:
        """Add tracers, `columns` those of their parameters in the limits' order."""
        valid = np.arange(given.time.shape[1]) < given.length[:, None]
        physical = given.physical[..., columns]
        outside = self.limits.outside_parameters(physical) & valid[:, 1:, None]
        for i, one in enumerate(self.ranges):
            one.add(physical[..., i], outside[..., i])
        late = self.limits.beyond_duration(given.time) & valid
        self.tracers += len(given)
        self.left += int((outside.any(-1) | late[:, 1:]).any(1).sum())
        if late.any():
            self.late += int(late.any(1).sum())
            passed = given.time - given.time[:, :1]
            self.longest = max(self.longest, float(passed[late].max()))
        initial = given.abundances[:, 0]
        excess = self.limits.start_excess(initial)
        self.starts += int((excess > 0).any(1).sum())
        row, column = np.unravel_index(int(excess.argmax()), excess.shape)
        found = float(excess[row, column]), int(column), float(initial[row, column])
        self.worst = max(self.worst, found)

    def lines(self) -> list[str]:
        """Describe each with its values, its range and how many tracers it concerns."""
        limits, tracers = self.limits, self.tracers
        lines = []
        for name, unit, one in zip(
            limits.parameters, limits.units, self.ranges, strict=True
        ):
            if not one.tracers:
                continue
            low, high = limits.parameter_ranges[name]
            found = f"{one.low:.6g}"
            if one.high > one.low:
                found += f" to {one.high:.6g}"
            lines.append(
                f"{name} = {found} {unit} lies outside the training range {low:.6g} to "
                f"{high:.6g} ({one.tracers} of {tracers} tracers)"
            )
        if self.late:
            lines.append(
                f"time reaches {self.longest:.6g} yr after state 0, training lasted "
                f"{limits.t_max:.6g} yr ({self.late} of {tracers} tracers)"
            )
        if self.starts:
            _, column, value = self.worst
            low, high = limits.species_ranges[:, column]
            lines.append(
                f"{limits.species[column]} = {value:.3g} in state 0 lies outside the "
                f"training range {low:.3g} to {high:.3g} ({self.starts} of {tracers} "
                "tracers have such a start)"
            )
        return lines
