"""Reader of reactions, a CSV file with UCLCHEM's columns, checked for balance."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astrokeras.chemistry.species import Species, find_elements, parse_species
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import LARGEST_TEXT
from astrokeras.system.text_files import read_table

TWO_BODY = "TWOBODY"
KINDS = {
    TWO_BODY: 2,
    "CRP": 1,
    "CRPHOT": 1,
    "PHOTON": 1,
    "H2FORM": 2,
    "FREEZE": 1,
    "THERM": 1,
    "DESCR": 1,
    "DEUVCR": 1,
}
"""Supported kinds of reactions, and their numbers of reactants."""
UNKNOWN = (
    *("LH", "LHDES", "ER", "ERDES", "DESOH2", "BULKSWAP", "SURFSWAP"),
    *("CRS", "EXRELAX", "EXSOLID", "GAR", "IONOPOL1", "IONOPOL2"),
)
"""Kinds of reactions of UCLCHEM that are not supported."""
REACTANTS = tuple(f"Reactant {i}" for i in (1, 2, 3))
PRODUCTS = tuple(f"Product {i}" for i in (1, 2, 3, 4))
COEFFICIENTS = ("Alpha", "Beta", "Gamma", "T_min", "T_max")
NOTHING = frozenset({"", "NAN", "PHOTON"})
"""Entries that denote no product; an emitted photon is not a product."""


@dataclass(frozen=True)
class Reaction:
    """Reaction as given in its file.

    Attributes:
        kind: One of `KINDS`.
        reactants: Species, one or two.
        products: Species, one to four.
        alpha: Coefficient, whose meaning and unit depend on the kind, see `rates`.
        beta: See `alpha`.
        gamma: See `alpha`.
        low: Lowest gas temperature at which the coefficients are valid, K.
        high: Highest gas temperature at which they are valid, K.
        extrapolate: Whether to use them at other temperatures too; otherwise the rate
            is 0 there.
        line: Line of the file, for messages.
    """

    kind: str
    reactants: tuple[str, ...]
    products: tuple[str, ...]
    alpha: float
    beta: float
    gamma: float
    low: float
    high: float
    extrapolate: bool
    line: int

    def __str__(self) -> str:
        kind = () if self.kind == TWO_BODY else (self.kind,)
        left, right = " + ".join(self.reactants + kind), " + ".join(self.products)
        return f"{left} -> {right}"


def read_reactions(path: Path) -> tuple[Reaction, ...]:
    """Read a network of reactions.

    Args:
        path: CSV with columns `Reactant 1` to `3`, `Product 1` to `4`, `Alpha`, `Beta`,
            `Gamma`, `T_min` and `T_max`; `extrapolate` is optional, False by default.
            The kind takes the place of a reactant; empty entries are `NAN`. Other
            columns are ignored.

    Returns:
        The reactions in the order of the file.

    Raises:
        InputError: If the file is missing or not such a table; for a reaction of
            another kind, a coefficient that is not a number, or unbalanced atoms or
            charge. The message names the line and the reaction.
    """
    reactions = tuple(_parse(path, line, row) for line, row in _rows(path))
    names = list_species(reactions)
    elements = find_elements(names)
    try:
        known = {name: parse_species(name, elements) for name in names}
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for reaction in reactions:
        _check_balance(path, reaction, known)
    return reactions


def list_species(reactions: Sequence[Reaction]) -> tuple[str, ...]:
    """Return the species of reactions in the order of their first occurrence."""
    named = (
        name
        for reaction in reactions
        for name in reaction.reactants + reaction.products
    )
    return tuple(dict.fromkeys(named))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the line number and the cells of each row."""
    table = read_table(path, LARGEST_TEXT, "file of reactions")
    header = table[0][1] if table else []
    rows = [
        (line, dict(itertools.zip_longest(header, cells[: len(header)], fillvalue="")))
        for line, cells in table[1:]
    ]
    lacking = [n for n in (*REACTANTS, *PRODUCTS, *COEFFICIENTS) if n not in header]
    if lacking or not rows:
        fault = f"lacks column {lacking[0]!r}" if lacking else "holds no reaction"
        raise InputError(f"{path}: {fault}; give a file with UCLCHEM's columns.")
    return rows


def _parse(path: Path, line: int, row: dict[str, str]) -> Reaction:
    words = [row[name].strip() for name in REACTANTS]
    kinds = [word for word in words if word in KINDS or word in UNKNOWN]
    reactants = tuple(w for w in words if w not in kinds and w not in NOTHING)
    products = tuple(w for n in PRODUCTS if (w := row[n].strip()) not in NOTHING)
    kind = kinds[0] if kinds else TWO_BODY
    written = f"{' + '.join((*reactants, *kinds))} -> {' + '.join(products)}"
    where = f"{path}: line {line}, {written}:"
    if len(kinds) > 1 or len(reactants) != KINDS.get(kind):
        raise InputError(
            f"{where} is not a reaction of a supported kind ({', '.join(KINDS)}, with "
            "one or two reactants); remove it, or use another solver."
        )
    numbers = (_number(where, name, row[name]) for name in COEFFICIENTS)
    alpha, beta, gamma, low, high = numbers
    extrapolate = row.get("extrapolate", "").strip().lower() == "true"
    return Reaction(
        kind, reactants, products, alpha, beta, gamma, low, high, extrapolate, line
    )


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{where} {name} is {text[:80]!r}, but must be a number; correct it."
        )
    return value


def _check_balance(path: Path, reaction: Reaction, known: dict[str, Species]) -> None:
    """Raise InputError if a reaction creates or destroys atoms or charge."""
    change: Counter[str] = Counter()
    for names, sign in ((reaction.products, 1), (reaction.reactants, -1)):
        for name in names:
            change["charge"] += sign * known[name].charge
            for element, atoms in known[name].elements.items():
                change[element] += sign * atoms
    unbalanced = [f"{name} by {by:+d}" for name, by in change.items() if by]
    if unbalanced:
        raise InputError(
            f"{path}: line {reaction.line}, {reaction}: changes "
            f"{' and '.join(unbalanced)}; correct its reactants or products."
        )
