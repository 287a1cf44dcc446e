"""Check of rows: how much a parameter changes from one to the next."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.timestep_features import is_linear

LARGEST = 3.0
"""Largest factor by which a parameter usually changes from one row to the next.

A row's parameters hold for its whole interval. Up to this factor, they differ from the
mean of both ends by no more than a factor of 2.
"""


@dataclass
class _Jump:
    """Largest change of a parameter from a row to the next."""

    factor: float = 1.0
    tracer: int = 0
    row: int = 0
    first: float = 1.0
    last: float = 1.0


@dataclass
class RowCheck:
    """Collects the largest change of each parameter, block by block.

    Attributes:
        name: The file, for messages.
        parameters: Names, (P,).
        units: Their units, (P,).
        jumps: The largest change of each.
        coarse: Number of rows with a change above `LARGEST`, and of all rows.
    """

    name: str
    parameters: Sequence[str]
    units: Sequence[str]
    jumps: list[_Jump] = field(default_factory=list)
    coarse: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.jumps = [_Jump() for _ in self.parameters]

    def add(self, tracers: Tracers) -> None:
        """Add tracers; values beyond their length are NaN."""
        if tracers.physical.shape[1] < 2:
            return
        with np.errstate(all="ignore"):
            change = np.abs(np.diff(np.log10(tracers.physical.astype(float)), axis=1))
        change = np.nan_to_num(change, nan=0.0, posinf=0.0)
        steep = change.max(axis=-1) > np.log10(LARGEST)
        steps = int(np.maximum(tracers.length - 2, 0).sum())
        self.coarse = self.coarse[0] + int(steep.sum()), self.coarse[1] + steps
        for index, jump in enumerate(self.jumps):
            values = change[..., index]
            tracer, row = np.unravel_index(int(values.argmax()), values.shape)
            factor = float(10 ** values[tracer, row])
            if factor > jump.factor:
                first, last = tracers.physical[tracer, row : row + 2, index].tolist()
                number = int(tracers.tracer[tracer])
                self.jumps[index] = _Jump(factor, number, int(row), first, last)

    def warning(self) -> str | None:
        """Return a line on the parameter that changes most, `None` if it is fine."""
        index = int(np.argmax([jump.factor for jump in self.jumps] or [0.0]))
        if not self.jumps or self.jumps[index].factor <= LARGEST:
            return None
        jump, name, unit = self.jumps[index], self.parameters[index], self.units[index]
        if is_linear([name], [unit])[0]:
            mean, kind = (jump.first + jump.last) / 2, "arithmetic"
        else:
            mean, kind = float(np.sqrt(jump.first * jump.last)), "geometric"
        others = [
            f"{other} {found.factor:.3g} times"
            for other, found in zip(self.parameters, self.jumps, strict=True)
            if found.factor > LARGEST and other != name
        ]
        also = f" ({', '.join(others)} at most)" if others else ""
        where = f"{self.name}: " if self.name else ""
        return (
            f"{where}{name} changes {jump.factor:.3g} times, from {jump.first:.3g} to "
            f"{jump.last:.3g}, in tracer {jump.tracer} from row {jump.row} to row "
            f"{jump.row + 1}{also}, and {self.coarse[0]} of {self.coarse[1]} rows "
            f"change by more than {LARGEST:g} times. A row's value holds for its whole "
            f"interval; interpolation would take the {kind} mean of both rows, "
            f"{mean:.3g}. Write rows closer in time, if the gas changes smoothly there"
        )
