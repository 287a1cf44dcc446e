"""Other readings of a tracer file: the mistakes that are commonly made with one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from astrokeras.data.tracers.units import HABING_PER_DRAINE, YEAR
from astrokeras.generation.solver_inputs import Tracks

AV_FACTORS = (0.5, 0.85, 1.17, 2.0)
"""Both sides of a slab for one, 1.6e21, 1.87e21 or 2.2e21 cm^-2 for a magnitude."""
YEARS = (YEAR, 3.16e7)
"""Seconds that solvers take for a year."""
FACTORS = (0.1, 0.3, 3.0, 10.0)
"""Of constants that the file does not hold."""
TEMPERATURES = (10.0, 20.0)
"""Of dust, where the file has none, K."""


@dataclass(frozen=True)
class Hypothesis:
    """How the numbers of a file are meant.

    Attributes:
        name: What is supposed, for people.
        remedy: What to do if it is so.
        shift: The row that drives an interval, less the interval's own.
        factors: Of parameters, by name.
        values: Of parameters that are held constant, by name.
        pace: Of time.
    """

    name: str
    remedy: str = ""
    shift: int = 0
    factors: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    pace: float = 1.0

    def read(
        self, tracks: Tracks, time: np.ndarray, physical: np.ndarray, first: int, n: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return time and parameters of some intervals, as a solver takes them.

        Args:
            tracks: The file.
            time: Of a tracer, years, (T+1,).
            physical: Of the tracer, (T, P).
            first: The first interval.
            n: How many.

        Returns:
            Years from 0 on, (n+1,), and each of the solver's parameters, (n,).
        """
        begin = first + self.shift
        columns = tracks.physical(physical[begin : begin + n])
        for name, factor in self.factors.items():
            columns[name] = columns[name] * factor
        for name, value in self.values.items():
            columns[name] = np.full(n, value)
        years = time[first : first + n + 1] - time[first]
        return years * self.pace, columns


AS_IS = Hypothesis("as the file says")


def suppose(tracks: Tracks) -> tuple[Hypothesis, ...]:
    """Return what to try of a file, `AS_IS` first."""
    return (
        AS_IS,
        *_alignments(),
        *_units(tracks),
        *_years(),
        *_constants(tracks),
    )


def _alignments() -> list[Hypothesis]:
    raw = "import the raw files with dataset.alignment="
    return [
        Hypothesis("parameters of the row before", f"{raw}next", shift=-1),
        Hypothesis("parameters of the row after", f"{raw}this", shift=1),
    ]


def _units(tracks: Tracks) -> list[Hypothesis]:
    found = []
    if "Radfield" in tracks.store.parameters:
        for factor, fault in (
            (
                HABING_PER_DRAINE,
                "the file counts in Draine's fields; multiply it by 1.7",
            ),
            (
                1 / HABING_PER_DRAINE,
                "the file's solver counted in Draine's; divide it by 1.7",
            ),
        ):
            name = f"Radfield times {factor:.3g}"
            found.append(Hypothesis(name, fault, factors={"Radfield": factor}))
    if "Av" in tracks.store.parameters:
        for factor in AV_FACTORS:
            remedy = (
                f"multiply it by about {factor:g}, or take columns of gas as it did"
            )
            name = f"Av times {factor:g}"
            found.append(Hypothesis(name, remedy, factors={"Av": factor}))
    return found


def _years() -> list[Hypothesis]:
    found = []
    for theirs, ours in (YEARS, YEARS[::-1]):
        name = f"years of {theirs:g} s where the solver's have {ours:g} s"
        remedy = f"multiply time by {theirs / ours:.5f}"
        found.append(Hypothesis(name, remedy, pace=theirs / ours))
    return found


def _constants(tracks: Tracks) -> list[Hypothesis]:
    """What the file lacks may have been anything when it was solved."""
    tried = [
        (name, value * factor)
        for name, value in tracks.constant.items()
        for factor in FACTORS
        if value
    ]
    if "dustTemp" in tracks.equal:
        tried += [("dustTemp", value) for value in TEMPERATURES]
    return [
        Hypothesis(
            f"{name} = {value:g}",
            f"give solver.constants.{name}={value:g}, or what it was",
            values={name: value},
        )
        for name, value in tried
    ]
