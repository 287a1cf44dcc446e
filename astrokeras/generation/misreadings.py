"""Common misreadings of a tracer file: shifted rows, other units, other constants."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from astrokeras.data.tracers.units import HABING_PER_DRAINE, YEAR
from astrokeras.generation.solver_inputs import SolverInputs

AV_FACTORS = (0.5, 0.85, 1.17, 2.0)
"""Av to both sides of a slab or to one; 1.6e21, 1.87e21 or 2.2e21 cm^-2 per mag."""
YEARS = (YEAR, 3.16e7)
"""Lengths of a year in solvers, s."""
FACTORS = (0.1, 0.3, 3.0, 10.0)
"""Factors tried for constants that the file does not hold."""
TEMPERATURES = (10.0, 20.0)
"""Dust temperatures tried where the file has none, K."""


@dataclass(frozen=True)
class Reading:
    """An interpretation of the numbers in a tracer file.

    Attributes:
        name: Description of the interpretation.
        remedy: What to do if it is the right one.
        shift: Rows by which the parameters are shifted against the states.
        factors: Factors of parameters, by name.
        values: Values of constant parameters, by name.
        time_factor: Factor of time.
    """

    name: str
    remedy: str = ""
    shift: int = 0
    factors: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    time_factor: float = 1.0

    def read(
        self,
        inputs: SolverInputs,
        time: np.ndarray,
        physical: np.ndarray,
        first: int,
        n: int,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return time and parameters of a few steps in this interpretation.

        Args:
            inputs: The tracer file.
            time: Years of a tracer, (T+1,).
            physical: Parameters of the tracer, (T, P).
            first: The first step.
            n: Number of steps.

        Returns:
            Years since the first state, (n+1,), and each parameter of the solver, (n,).
        """
        begin = first + self.shift
        columns = inputs.physical(physical[begin : begin + n], self.factors)
        for name, value in self.values.items():
            columns[name] = np.full(n, value)
        years = time[first : first + n + 1] - time[first]
        return years * self.time_factor, columns


AS_STATED = Reading("as the file says")


def candidate_readings(inputs: SolverInputs) -> tuple[Reading, ...]:
    """Return the readings to try of a file, `AS_STATED` first."""
    return (
        AS_STATED,
        *_alignments(),
        *_units(inputs),
        *_years(),
        *_constants(inputs),
    )


def _alignments() -> list[Reading]:
    raw = "import the raw files with dataset.alignment="
    return [
        Reading("parameters of the row before", f"{raw}next", shift=-1),
        Reading("parameters of the row after", f"{raw}this", shift=1),
    ]


def _units(inputs: SolverInputs) -> list[Reading]:
    readings = []
    if "Radfield" in inputs.store.parameters:
        for factor, remedy in (
            (
                HABING_PER_DRAINE,
                "the file gives it in Draine's fields; multiply it by 1.7",
            ),
            (
                1 / HABING_PER_DRAINE,
                "the file's solver took Draine's fields; divide it by 1.7",
            ),
        ):
            name = f"Radfield times {factor:.3g}"
            readings.append(Reading(name, remedy, factors={"Radfield": factor}))
    if "Av" in inputs.store.parameters:
        for factor in AV_FACTORS:
            remedy = (
                f"multiply it by about {factor:g}, or derive Av from columns as it did"
            )
            name = f"Av times {factor:g}"
            readings.append(Reading(name, remedy, factors={"Av": factor}))
    return readings


def _years() -> list[Reading]:
    readings = []
    for theirs, ours in (YEARS, YEARS[::-1]):
        name = f"years of {theirs:g} s where the solver's have {ours:g} s"
        remedy = f"multiply time by {theirs / ours:.5f}"
        readings.append(Reading(name, remedy, time_factor=theirs / ours))
    return readings


def _constants(inputs: SolverInputs) -> list[Reading]:
    """Return other values of the parameters that the file does not hold."""
    tried = [
        (name, value * factor)
        for name, value in inputs.constant.items()
        for factor in FACTORS
        if value
    ]
    if "dustTemp" in inputs.equal:
        tried += [("dustTemp", value) for value in TEMPERATURES]
    return [
        Reading(
            f"{name} = {value:g}",
            f"give solver.constants.{name}={value:g}, or its true value",
            values={name: value},
        )
        for name, value in tried
    ]
