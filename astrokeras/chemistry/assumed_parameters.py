"""Parameters that tracers lack, and the values that are assumed in their place.

The columns N(H2) and N(CO) between the gas and the source of light shield both
molecules from dissociation. Tracers without these columns have a fixed share of N(H),
the column of H nuclei that follows from the extinction.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

EXTINCTION = 5.348e-22
"""Extinction of a column density of one H nucleus per cm^2, mag."""
COLUMNS = {"NH2": 0.5, "NCO": 1e-5}
"""Assumed columns of H2 and CO, relative to N(H); the values of UCLCHEM's models."""
COLUMNS_TEXT = ("N(H2) = 0.5 N(H)", "N(CO) = 1e-5 N(H)")
"""The assumption on columns, as tracer files, surrogates and reports state it."""
ASSUMED: Mapping[str, float | str] = {"dustTemp": "gasTemp", "zeta": 1.0}
"""Further parameters that an import assumes: a value, or an equal parameter."""
UV_EXTINCTION = 3.02
"""Exponent of the extinction of UV light, exp(-3.02 Av), as UCLCHEM has it."""
DARK = 1e-4
"""Habing, the UV field that cosmic rays make inside a cloud.

They make some 1e4 photons cm^-2 s^-1 at a rate of 1.3e-17 s^-1 (Shen et al. 2004, A&A
415, 203), a Habing field has 1e8. Columns do not shield this light: only where more
than it comes through from outside do they change the chemistry. UCLCHEM agrees: in gas
of 1e4 cm^-3 and 15 K after 5e5 yr, columns ten times smaller change the abundances by
0.2 dex on average at 5e-2 Habing, 0.1 at 2e-3, 0.006 at 1e-4 and 1e-4 at 2e-5.
"""


@dataclass(frozen=True)
class Filling:
    """A parameter that is computed from those at hand.

    Attributes:
        name: Its name.
        source: Column of the parameter that it is proportional to; `None` for a
            constant.
        factor: The ratio to that parameter, or the constant.
        text: What it says, such as "zeta = 1".
        stated: Whether the file says so, or it is assumed.
    """

    name: str
    source: int | None
    factor: float
    text: str
    stated: bool

    def values(self, physical: np.ndarray) -> np.ndarray:
        """Return the parameter, (...), from the others, (..., P)."""
        if self.source is None:
            return np.full_like(physical[..., 0], self.factor)
        return physical[..., self.source] * physical.dtype.type(self.factor)


def find_fillings(
    parameters: Sequence[str],
    wanted: Iterable[str],
    held: Mapping[str, float | str],
    assumed: Mapping[str, float | str] = ASSUMED,
) -> list[Filling]:
    """Return how the wanted parameters that are missing can be computed.

    Args:
        parameters: Names at hand, (P,).
        wanted: Names; those that are neither held fixed nor assumed are left out.
        held: Quantities that were held fixed: a value, or the name of a parameter.
        assumed: The same for quantities about which nothing is known.
    """
    known = list(parameters)
    fillings = []
    for name in wanted:
        if name in known:
            continue
        value, stated = held.get(name, assumed.get(name)), name in held
        if name in COLUMNS and not stated and "Av" in known:
            text = COLUMNS_TEXT[list(COLUMNS).index(name)]
            filling = Filling(
                name, known.index("Av"), COLUMNS[name] / EXTINCTION, text, stated
            )
        elif isinstance(value, str) and value in known:
            text = f"{name} = {value}"
            filling = Filling(name, known.index(value), 1.0, text, stated)
        elif isinstance(value, (int, float)):
            filling = Filling(name, None, value, f"{name} = {value:g}", stated)
        else:
            continue
        known.append(name)
        fillings.append(filling)
    return fillings


def fill(physical: np.ndarray, fillings: Sequence[Filling]) -> np.ndarray:
    """Return parameters, (..., P), followed by those that are computed from them."""
    for filling in fillings:
        added = filling.values(physical)[..., None]
        physical = np.concatenate([physical, added], axis=-1)
    return physical


def lacks_columns(
    names: Sequence[str], physical: Any, given: Sequence[str] | None = None
) -> bool:
    """Return whether array-like parameters (..., P) lack just `NH2` and `NCO`.

    Args:
        names: Names of the required parameters.
        physical: The parameters.
        given: Names of these, if they have names: whether neither column is among them.
    """
    if not {*COLUMNS, "Av"} <= set(names):
        return False
    if given is not None:
        columns = {name.casefold() for name in COLUMNS}
        return not columns & {name.strip().casefold() for name in given}
    with contextlib.suppress(Exception):  # Callers refuse what has no shape.
        return bool(np.shape(physical)[-1] == len(names) - len(COLUMNS))
    return False


def insert_columns(physical: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return parameters with the assumed columns `NH2` and `NCO` at their places.

    Args:
        physical: Parameters, (..., P - 2), in the order of `names` without the columns.
        names: Names, (P,), with `Av`, `NH2` and `NCO`.
    """
    given = [name for name in names if name not in COLUMNS]
    filled = fill(physical, find_fillings(given, COLUMNS, {}))
    known = [*given, *COLUMNS]
    return filled[..., [known.index(name) for name in names]]


def with_columns(fixed: Sequence[str], parameters: Sequence[str]) -> tuple[str, ...]:
    """Return what was held fixed, with the assumption on columns that it implies.

    Args:
        fixed: Entries such as "zeta = 1".
        parameters: Names; gas without extinction or field needs no columns.
    """
    if not {"Av", "Radfield"} <= set(parameters):
        return tuple(fixed)
    known = {quantity(entry) for entry in fixed} | set(parameters)
    if known & set(COLUMNS):
        return tuple(fixed)
    return (*fixed, f"{', '.join(COLUMNS_TEXT)} assumed")


def quantity(entry: str) -> str:
    """Return the quantity of an entry such as "zeta = 1"; `NH2` for N(H2)."""
    return re.sub(r"^N\((\w+)\)$", r"N\1", entry.partition("=")[0].strip())


def light_comes_through(physical: np.ndarray, parameters: Sequence[str]) -> np.ndarray:
    """Return where columns matter: where outside light exceeds that of cosmic rays.

    This holds where the field times exp(-3.02 Av) exceeds 1e-4 Habing: below 3 mag in
    a field of 1 Habing, below 5.3 mag in one of 1000.

    Args:
        physical: Parameters, (..., P); the field is 1 Habing if it is none of them.
        parameters: Their names, (P,).
    """
    extinction = physical[..., parameters.index("Av")].astype("f8")
    field = np.ones(())
    if "Radfield" in parameters:
        field = physical[..., parameters.index("Radfield")].astype("f8")
    return field * np.exp(-UV_EXTINCTION * extinction) > DARK


def columns_warning(light: np.ndarray, steps: np.ndarray) -> str | None:
    """Return a line on tracers whose assumed columns matter, `None` if they do not.

    Args:
        light: Number of time steps in which light comes through, of each tracer, (N,).
        steps: Number of its time steps, (N,).
    """
    tracers = int((light > 0).sum())
    if not tracers:
        return None
    return (
        f"{' and '.join(COLUMNS)} are missing; {' and '.join(COLUMNS_TEXT)} are "
        f"assumed, which matters in {light.sum() / steps.sum():.0%} of the time steps "
        f"({tracers} of {len(light)} tracers), where the light that comes through, "
        f"Radfield exp(-{UV_EXTINCTION} Av), exceeds {DARK:g} Habing; give both columns"
    )
