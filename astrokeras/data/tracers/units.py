"""Units of raw files and their conversion to the units of tracer files.

Densities count H nuclei, each with a mean gas mass of 1.4 hydrogen atoms including
helium. Column densities are converted to extinctions by 5.348e-22 mag cm^2 (N(H) =
5.8e21 E(B-V), Bohlin et al. 1978, ApJ 224, 132, and R_V = 3.1). A year has 365.25 days.
"""

import contextlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astrokeras.chemistry.assumed_parameters import EXTINCTION
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

HYDROGEN = 1.6735e-24  # g
MEAN_MASS = 1.4 * HYDROGEN
"""Mass of gas per H nucleus, including helium and metals, g."""
HABING_PER_DRAINE = 1.7
"""Draine's (1978) field in units of Habing's (1968)."""
YEAR = 3.15576e7  # s

_LOG = re.compile(r"log10\b", re.IGNORECASE)
TIME = {"yr": 1.0, "kyr": 1e3, "Myr": 1e6, "Gyr": 1e9, "s": 1 / YEAR}
# The first unit of each kind is that of tracer files.
_KINDS = (
    TIME,
    {
        "H nuclei cm^-3": 1.0,
        "cm^-3": 1.0,
        "H2 cm^-3": 2.0,
        "g/cm^3": 1 / MEAN_MASS,
        "kg/m^3": 1e-3 / MEAN_MASS,
        "m^-3": 1e-6,
    },
    {"Habing": 1.0, "G0": 1.0, "Draine": HABING_PER_DRAINE},
    {"mag": 1.0, "cm^-2": EXTINCTION, "m^-2": 1e-4 * EXTINCTION},
    {"K": 1.0},
    {"1.3e-17 s^-1": 1.0, "s^-1": 1 / 1.3e-17},
)
# Limits of possible values by unit of the tracer file: values outside suggest a wrong
# unit.
_SENSIBLE = {
    "yr": (1e-2, 1.4e10),
    "H nuclei cm^-3": (1e-4, 1e15),
    "cm^-3": (1e-4, 1e15),
    "Habing": (0.0, 1e9),
    "mag": (0.0, 1e6),
    "K": (2.0, 1e7),
    "1.3e-17 s^-1": (1e-9, 1e9),
    "cm^-2": (1e2, 1e30),
}
# Limits of usual values in clouds: a unit is suggested only if it leads into them.
_USUAL = {
    "yr": (10.0, 1e8),
    "H nuclei cm^-3": (0.1, 1e13),
    "cm^-3": (0.1, 1e13),
    "Habing": (1e-4, 1e7),
    "mag": (1e-3, 1e5),
    "K": (4.5, 1e6),
    "1.3e-17 s^-1": (1e-3, 1e5),
    "cm^-2": (1e8, 1e26),
}


def factor(name: str, unit: str, target: str) -> float:
    """Return the factor from the unit of a raw column to that of the tracer file.

    Args:
        name: Name of the parameter, or "Time".
        unit: Unit of the raw column, such as "g/cm^3", "g cm-3" or "Draine"; or a
            number, the factor itself.
        target: Unit of the parameter in the tracer file, such as "H nuclei cm^-3".

    Raises:
        InputError: If the unit cannot be converted to `target`.
    """
    with contextlib.suppress(ValueError):
        if 0 < float(unit) < float("inf"):
            return float(unit)
    if _plain(unit) == _plain(target):
        return 1.0
    kind = {_plain(known): value for known, value in kind_of(target).items()}
    if _plain(unit) not in kind:
        known = ", ".join(kind_of(target)) or "no other unit"
        remedy = "; or give a positive number to multiply by."
        raise InputError(
            f"dataset.raw_units.{name} is {unit!r}; {name} must be in "
            f"{target or 'no unit'!r}, and can be converted from: {known}"
            f"{suggest(unit, kind_of(target), remedy)}"
        )
    return kind[_plain(unit)] / kind[_plain(target)]


@dataclass(frozen=True)
class Conversion:
    """Conversion of a raw column to the unit of the tracer file.

    Attributes:
        factor: What values are multiplied by.
        log10: Whether the column holds decimal logarithms.
    """

    factor: float = 1.0
    log10: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return converted values."""
        if self.log10:
            with np.errstate(over="ignore"):  # Infinite values are refused elsewhere.
                values = 10.0**values
        return values * self.factor


def conversion(name: str, unit: str, target: str) -> Conversion:
    """Return the conversion from the unit of a raw column to that of the tracer file.

    Args:
        name: Name of the parameter, or "Time".
        unit: As for `factor`; "log10", or "log10 g/cm^3", for decimal logarithms.
        target: Unit of the parameter in the tracer file, such as "H nuclei cm^-3".

    Raises:
        InputError: If the unit cannot be converted to `target`.
    """
    match = _LOG.match(unit.strip())
    if match is None:
        return Conversion(factor(name, unit, target))
    inner = unit.strip()[match.end() :].strip(" ()")
    return Conversion(factor(name, inner, target) if inner else 1.0, log10=True)


def makes_sense(value: float, unit: str) -> bool:
    """Return whether a value of a tracer file is physically possible in a cloud."""
    return _is_within(value, unit, _SENSIBLE)


def is_usual(value: float, unit: str) -> bool:
    """Return whether a value is usual in clouds; 0 is always accepted."""
    return _is_within(value, unit, _USUAL)


def guess(values: Sequence[float], unit: str) -> str | None:
    """Return the unit that values seem to be in, `None` if there is no better guess.

    Args:
        values: Values such as the smallest and the largest of a column.
        unit: The unit that they should be in.

    Returns:
        A unit in which all of them would be usual in clouds, spelled as on a command
        line, or `None`.
    """
    if unit not in _USUAL or _all_usual(values, 1.0, unit):
        return None
    return next(iter(likely_units(values, unit)), None)


def likely_units(values: Sequence[float], unit: str, strict: bool = False) -> list[str]:
    """Return the other units in which all values would be usual in clouds.

    Args:
        values: Values such as the smallest and the largest of a column.
        unit: The unit that they should be in, of which multiples count as the same.
        strict: Whether units by which values change less than tenfold are left out.

    Returns:
        Units as on a command line, "log10" last, for decimal logarithms.
    """
    if unit not in _USUAL:
        return []
    kind = kind_of(unit)
    found = []
    for known, value in kind.items():
        change = value / kind.get(unit, 1.0)
        differs = change != 1.0 and (not strict or abs(math.log10(change)) >= 1)
        if differs and _all_usual(values, change, unit):
            found.append(known.replace("^", ""))
    if 0.3 < max(map(abs, values)) < 100 and _all_usual(
        [10.0**x for x in values], 1.0, unit
    ):
        found.append("log10")
    return found


def _all_usual(values: Sequence[float], change: float, unit: str) -> bool:
    low, high = _USUAL[unit]
    return all(low <= value * change <= high for value in values)


def _is_within(value: float, unit: str, ranges: dict[str, tuple[float, float]]) -> bool:
    low, high = ranges.get(unit, (float("-inf"), float("inf")))
    return value == 0 or low <= value <= high


def kind_of(unit: str) -> dict[str, float]:
    """Return the units of the same kind with their factors, empty if it is unknown.

    A value times its unit's factor is in the first unit of the kind.
    """
    for kind in _KINDS:
        if _plain(unit) in map(_plain, kind):
            return kind
    return {}


def is_unit(text: str) -> bool:
    """Return whether a text is a unit that is converted, in any spelling."""
    return any(_plain(text) == _plain(unit) for kind in _KINDS for unit in kind)


def _plain(unit: str) -> str:
    """Return the normalised spelling of a unit, equal for "g/cm^3" and "g cm-3"."""
    text = re.sub(r"[\s^*{}]", "", unit.casefold())
    text = re.sub(r"/(cm|m|s)(\d?)", lambda m: f"{m[1]}-{m[2] or 1}", text)
    years = {"year": "yr", "years": "yr", "a": "yr", "sec": "s", "seconds": "s"}
    return years.get(text, text)
