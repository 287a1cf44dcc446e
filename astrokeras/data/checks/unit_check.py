"""Check of units by values: medians and ranges that no cloud has, or that are unusual.

Density, temperature and extinction are also checked together: gas of some pressure has
some size. A density in m^-3 is one that clouds have in cm^-3, but its gas would be a
million times smaller than its extinction makes it.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from astrokeras.chemistry.assumed_parameters import EXTINCTION
from astrokeras.config.typed_options import typed
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.units import is_usual, likely_units, makes_sense
from astrokeras.errors import InputError

PRESSURE = (300.0, 1e16)
"""Usual medians of density times temperature, K cm^-3."""
SIZE = (1e12, 1e24)
"""Usual medians of the column of H nuclei over their density, cm."""
NEGATIVE = 0.1
"""Share of negative values from which on a column may hold logarithms."""
TIME = "Time"
BLOCK = 256
_LOGARITHM = re.compile(r"(log10|log|lg)([ _(\[]|(?=[A-Z]))")
_DRAINE = re.compile(r"(^|_)(chi|draine)(_|$)", re.IGNORECASE)


class UnitCheck:
    """Check of the values of parameters and times, block by block.

    Args:
        where: The file, for messages.
        parameters: Names, (P,).
        units: Units of the values, (P,).
        columns: Raw column of each parameter, for a table; `None` for a tracer file.
        stated: Parameters whose unit the user has stated, or "Time": only values that
            no cloud has are refused then.

    Raises:
        InputError: If the name of a column says that it holds logarithms.
    """

    def __init__(
        self,
        where: str,
        parameters: Sequence[str],
        units: Sequence[str],
        columns: Mapping[str, str] | None = None,
        stated: Collection[str] = (),
    ):
        self.where, self.stated = where, set(stated)
        self.columns = columns
        self.names = (TIME, *parameters)
        self.units = ("yr", *units)
        self.medians: list[np.ndarray] = []
        self.low = np.full(len(self.names), np.inf)
        self.high = -self.low
        for name, column in (columns or {}).items():
            if name not in self.stated and _LOGARITHM.match(column):
                raise InputError(
                    f"{where}: column {column} holds logarithms by its name; give "
                    f"{self._option(name, 'log10')}, or its unit if it does not."
                )

    def add(self, physical: np.ndarray, lasting: np.ndarray) -> None:
        """Add values.

        Args:
            physical: Parameters, (rows, P), before smaller values are raised to limits.
            lasting: Years from the first to the last state of each tracer, (n,).

        Raises:
            InputError: For a median that no cloud has, or logarithms; the message names
                the option that helps.
        """
        values = [lasting, *physical.T]
        if not len(lasting) or not len(physical):
            return
        medians = np.full(len(values), np.nan)
        for i, (name, unit, found) in enumerate(
            zip(self.names, self.units, values, strict=True)
        ):
            found = found[np.isfinite(found)]
            if not len(found):
                continue
            median, low, high = np.median(found), found.min(), found.max()
            medians[i] = median
            self.low[i], self.high[i] = min(self.low[i], low), max(self.high[i], high)
            likely = likely_units([low, median, high], unit)
            # Fewer negative values are faults of their own.
            negative = (found < 0).mean() > NEGATIVE and "log10" in likely
            if negative or not makes_sense(float(median), unit):
                fault = "with negative values" if negative else "which no cloud has"
                raise InputError(
                    f"{self._describe(name, median, unit)}, {fault}"
                    f"{self._remedy(name, likely)}."
                )
        self.medians.append(medians)

    def warnings(self) -> list[str]:
        """Return a line for each quantity whose values are unusual in clouds."""
        if not self.medians:
            return []
        with np.errstate(all="ignore"):
            medians = np.nanmedian(self.medians, axis=0)
        lines = []
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            if name in self.stated or not np.isfinite(medians[i]):
                continue
            median, ends = float(medians[i]), (float(self.low[i]), float(self.high[i]))
            likely = likely_units([ends[0], median, ends[1]], unit)
            if not is_usual(median, unit):
                lines.append(
                    f"{self._describe(name, median, unit)}, which is unusual in clouds"
                    f"{self._remedy(name, likely)}"
                )
            elif not all(makes_sense(end, unit) for end in ends):
                lines.append(
                    f"{self.where}: {name} is {ends[0]:.3g} to {ends[1]:.3g} {unit}, "
                    "with values that no cloud has; correct them"
                )
            elif name == "Density":
                lines += self._inconsistent(dict(zip(self.names, medians, strict=True)))
            elif name == "Radfield":
                lines += self._draine()
        return lines

    def _inconsistent(self, medians: Mapping[str, float]) -> list[str]:
        """Return a line if density does not go with temperature or extinction."""
        density, faults = medians["Density"], []
        units = dict(zip(self.names, self.units, strict=True))
        if "gasTemp" in medians and is_usual(medians["gasTemp"], units["gasTemp"]):
            pressure = density * medians["gasTemp"]
            if not PRESSURE[0] <= pressure <= PRESSURE[1]:
                faults.append(f"a pressure of {pressure:.2g} K cm^-3")
        if "Av" in medians and is_usual(medians["Av"], "mag"):
            size = medians["Av"] / EXTINCTION / density
            if not SIZE[0] <= size <= SIZE[1]:
                faults.append(f"a size of {size:.2g} cm, N(H) over density,")
        if not faults:
            return []
        index = self.names.index("Density")
        unit = self.units[index]
        range_ = [self.low[index], density, self.high[index]]
        likely = likely_units([float(x) for x in range_], unit, strict=True)
        return [
            f"{self._describe('Density', density, unit)}; its gas has "
            f"{' and '.join(faults)} which is unusual in clouds"
            f"{self._remedy('Density', likely)}"
        ]

    def _draine(self) -> list[str]:
        column = (self.columns or {}).get("Radfield", "")
        if not _DRAINE.search(column):
            return []
        return [
            f"{self.where}: column {column} is often in Draine's fields, 1.7 Habing; "
            f"give {self._option('Radfield', 'Draine')} or "
            f"{self._option('Radfield', 'Habing')}"
        ]

    def _describe(self, name: str, median: float, unit: str) -> str:
        what = "Time lasts" if name == TIME else f"{name} is"
        return f"{self.where}: {what} {median:.3g} {unit} (median)"

    def _remedy(self, name: str, likely: list[str]) -> str:
        """Return what to do, with the units that the values seem to be in."""
        again = "" if self.columns is not None else "import the raw file again with "
        if not likely:
            return f"; {again or 'give '}its unit in `dataset.raw_units.{name}`"
        options = " or ".join(self._option(name, unit) for unit in likely)
        return f"; it looks like {' or '.join(likely)}: {again or 'give '}{options}"

    def _option(self, name: str, unit: str) -> str:
        return typed(f"dataset.raw_units.{name}", unit)


def check_units(store: TracerStore, where: str) -> list[str]:
    """Return a line for each quantity of a tracer file that is unusual in clouds.

    Args:
        store: The open file.
        where: Its name, for messages.

    Raises:
        InputError: For values that no cloud has.
    """
    check = UnitCheck(where, store.parameters, store.units)
    for block in store.blocks(size=BLOCK, check=False, abundances=False):
        valid = np.arange(store.states - 1) < block.length[:, None] - 1
        last = block.time[np.arange(len(block)), block.length - 1]
        check.add(block.physical.astype(float)[valid], last - block.time[:, 0])
    return check.warnings()
