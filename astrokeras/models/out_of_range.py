"""Out-of-range report: inputs outside a surrogate's training ranges, in words."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from astrokeras.errors import InputError, OutsideBoxWarning
from astrokeras.models.input_checks import TracerInputs
from astrokeras.models.metadata import SurrogateMetadata


@dataclass
class _Excursion:
    """Values of one parameter outside its range."""

    tracers: int = 0
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: np.ndarray, outside: np.ndarray) -> None:
        if outside.any():
            self.tracers += int(outside.any(tuple(range(1, outside.ndim))).sum())
            self.low = min(self.low, float(values[outside].min()))
            self.high = max(self.high, float(values[outside].max()))


@dataclass
class OutOfRangeReport:
    """Collects the inputs that lie outside the training ranges, block by block.

    Attributes:
        metadata: Of the surrogate, with its training ranges.
        tracers: Number of tracers.
        left: Tracers that leave the range of a parameter or of time at some state.
        initial_outside: Tracers whose state 0 lies outside.
    """

    metadata: SurrogateMetadata
    tracers: int = 0
    left: int = 0
    initial_outside: int = 0
    excursions: list[_Excursion] = field(default_factory=list)
    longest: float = 0.0
    late: int = 0
    worst: tuple[float, int, float] = (0.0, 0, 0.0)  # excess, species, abundance

    def __post_init__(self) -> None:
        self.excursions = [_Excursion() for _ in self.metadata.parameters]

    def add(
        self,
        initial: np.ndarray,
        physical: np.ndarray,
        time: np.ndarray,
        length: np.ndarray | None = None,
    ) -> None:
        """Add tracers.

        Args:
            initial: Abundances of state 0, (N, S).
            physical: Parameters in the surrogate's order, (N, T, P) or (N, T, 3, P).
            time: Years of the states, (N, T+1).
            length: Valid states of each tracer, (N,); by default all.
        """
        if not len(time):
            return
        if length is None:
            length = np.full(len(time), time.shape[1])
        valid = np.arange(time.shape[1]) < length[:, None]
        late = self.metadata.beyond_t_max(time) & valid
        steps = np.expand_dims(valid[:, 1:], tuple(range(2, physical.ndim)))
        outside = self.metadata.outside_parameters(physical) & steps
        for i, excursion in enumerate(self.excursions):
            excursion.add(physical[..., i], outside[..., i])
        self.tracers += len(time)
        left = outside.any(tuple(range(1, outside.ndim))) | late.any(1)
        self.left += int(left.sum())
        if late.any():
            self.late += int(late.any(1).sum())
            passed = time - time[:, :1]
            self.longest = max(self.longest, float(passed[late].max()))
        excess = self.metadata.initial_excess(initial)
        self.initial_outside += int((excess > 0).any(1).sum())
        row, column = np.unravel_index(int(excess.argmax()), excess.shape)
        worst = float(excess[row, column]), int(column), float(initial[row, column])
        self.worst = max(self.worst, worst)

    def lines(self) -> list[str]:
        """Return a line for each range that is left: values, range and tracers."""
        metadata, tracers = self.metadata, self.tracers
        lines = []
        for name, unit, excursion in zip(
            metadata.parameters, metadata.units, self.excursions, strict=True
        ):
            if not excursion.tracers:
                continue
            low, high = metadata.parameter_ranges[name]
            values = f"{excursion.low:.6g}"
            if excursion.high > excursion.low:
                values += f" to {excursion.high:.6g}"
            lines.append(
                f"{name} = {values} {unit} lies outside the training range {low:.6g} "
                f"to {high:.6g} ({excursion.tracers} of {tracers} tracers)"
            )
        if self.late:
            lines.append(
                f"time reaches {self.longest:.6g} yr after state 0, training lasted "
                f"{metadata.t_max:.6g} yr ({self.late} of {tracers} tracers)"
            )
        if self.initial_outside:
            _, column, value = self.worst
            low, high = metadata.species_ranges[:, column]
            lines.append(
                f"{metadata.species[column]} = {value:.3g} in state 0 lies outside the "
                f"training range {low:.3g} to {high:.3g} ({self.initial_outside} of "
                f"{tracers} tracers start outside)"
            )
        return lines


def warn_of_inputs(
    metadata: SurrogateMetadata, inputs: TracerInputs, strict: bool, stacklevel: int
) -> None:
    """Warn of assumed columns, and of inputs outside the training ranges.

    Raises:
        InputError: For the first input outside, if `strict`.
    """
    if inputs.assumed:
        line = f"physical: {inputs.assumed}."
        warnings.warn(line, UserWarning, stacklevel=stacklevel + 1)
    report = OutOfRangeReport(metadata)
    report.add(*inputs.valid())
    for line in report.lines():
        if strict:
            raise InputError(f"{line}; stay inside or pass strict=False.")
        warnings.warn(line, OutsideBoxWarning, stacklevel=stacklevel + 1)
