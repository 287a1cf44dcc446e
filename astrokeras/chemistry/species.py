"""Parser of UCLCHEM's species names, which returns elements, charge and phase."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from astrokeras.chemistry.species_names import ISOMER
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest

PHASES = {"": "gas", "#": "surface", "@": "bulk"}
DEFAULT_ELEMENTS = ("H", "HE", "C", "N", "O")
_TABLE = """
    H HE LI BE B C N O F NE NA MG AL SI P S CL AR K CA SC TI V CR MN FE CO NI CU ZN GA
    GE AS SE BR KR RB SR Y ZR NB MO TC RU RH PD AG CD IN SN SB TE I XE CS BA LA CE PR
    ND PM SM EU GD TB DY HO ER TM YB LU HF TA W RE OS IR PT AU HG TL PB BI PO AT RN FR
    RA AC TH PA U NP PU AM CM BK CF ES FM MD NO LR RF DB SG BH HS MT DS RG CN NH FL MC
    LV TS OG
"""
SYMBOLS = tuple(_TABLE.split())
"""Chemical symbols in UCLCHEM's capitals, in the order of the periodic table."""

# Rare isotopes: a count of 13 before C is doubtful, for it may be the isotope 13C.
_RARE = "13C 14C 15N 17O 18O 25MG 26MG 29SI 30SI 33S 34S 36S 35CL 37CL"
_ISOTOPES = tuple(_RARE.split())
# CS and HF are molecules even in a list without atomic sulphur and fluorine.
_MOLECULAR = frozenset({"S", "P", "F"})
_ELEMENT = re.compile(r"([0-9]*)([A-Z]{1,2})")
_LONGEST = 64


@dataclass(frozen=True)
class Species:
    """Chemical species.

    Attributes:
        name: Name in UCLCHEM's spelling, such as `#CH3OH`.
        elements: Number of atoms of each element; empty for the electron.
        charge: Charge in units of the elementary charge.
        phase: "gas", "surface" or "bulk".
    """

    name: str
    elements: Mapping[str, int]
    charge: int
    phase: str


def phase_of(name: str) -> str:
    """Return the phase of a species, gas, surface or bulk, by its first character."""
    return PHASES.get(name[:1], PHASES[""])


def parse_species(name: str, elements: Sequence[str] = DEFAULT_ELEMENTS) -> Species:
    """Return the species of a name.

    Only declared elements are recognised, and isotopes such as `13C` precede counts.
    `CO` is carbon and oxygen, but ambiguous if cobalt is declared; `Co` is cobalt.
    Isomers such as `l-C3H` and `c-C3H` are species of their own.

    Args:
        name: A name such as `H2O`, `#CH3OH`, `@HCOOH`, `HCO+` or `E-`.
        elements: Symbols of the elements and isotopes that may occur.

    Raises:
        InputError: If the name cannot be parsed or is ambiguous; the message quotes it.

    Example:
    >>> parse_species("#CH3OH").elements["H"]
    4
    """
    symbols = arguments.texts("elements", elements)
    return _parse(arguments.text("a species", name), tuple(map(canonical, symbols)))


def find_elements(
    names: Sequence[str], declared: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the elements of a list of species.

    These are H, He, C, N, O, the declared elements, and every species of the list that
    is a single atom. Two letters are an atom only if they are not a molecule: `CS` is
    carbon and sulphur, `MG` magnesium.

    Args:
        names: Species names.
        declared: Further elements and isotopes, such as `Fe`, `D` or `13C`.

    Raises:
        InputError: If a declared symbol is not an element.
    """
    names = arguments.texts("species", names)
    declared = arguments.texts("elements", declared)
    found = set(DEFAULT_ELEMENTS) | {canonical(element) for element in declared}
    bodies = {name.strip().lstrip("#@").rstrip("+-").upper() for name in names}
    bodies &= {body for body in bodies if _is_symbol(body)}
    # One-letter atoms come first, since they decide if two letters are a molecule.
    for body in sorted(bodies, key=lambda body: (len(body.lstrip("0123456789")), body)):
        if not _readings(body, tuple(found | _MOLECULAR)) or body in _MOLECULAR:
            found.add(body)
    return order_elements(found)


def order_elements(elements: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Return symbols in the order of the periodic table, isotopes after elements."""

    def key(element: str) -> tuple[int, int]:
        mass, symbol = _split_symbol(element)
        return SYMBOLS.index(symbol), mass

    return tuple(sorted(elements, key=key))


def canonical(element: str) -> str:
    """Return an element's symbol in UCLCHEM's capitals.

    Raises:
        InputError: If it is not the symbol of an element or isotope.
    """
    symbol = str(element).strip().upper()
    if not _is_symbol(symbol):
        raise InputError(
            f"`elements` must be chemical symbols such as Fe, D or 13C. "
            f"Received: {element!r}"
        )
    return symbol


def _is_symbol(text: str) -> bool:
    match = _ELEMENT.fullmatch(text)
    return match is not None and (match[2] in SYMBOLS or text == "D")


def _split_symbol(element: str) -> tuple[int, str]:
    """Return the mass number, 0 if it is not written, and the symbol; D is (2, H)."""
    if element == "D":
        return 2, "H"
    symbol = element.lstrip("0123456789")
    return int(element[: -len(symbol)] or 0), symbol


@lru_cache(maxsize=8192)
def _parse(name: str, elements: tuple[str, ...]) -> Species:
    if name == "E-":
        return Species(name, MappingProxyType({}), -1, PHASES[""])
    if name.startswith("$"):
        body = name[1 : _LONGEST + 1]
        raise InputError(
            f"species '${body}' is total ice, the sum of #{body} and @{body}, and not "
            "a separate species; leave it out."
        )
    sign = name[:1] if name[:1] in PHASES else ""
    body = name[len(sign) :].rstrip("+-")
    signs = name[len(sign) + len(body) :]
    body = ISOMER.sub("", body, count=1) if ISOMER.match(body) else body
    readings = _readings(body, elements) if len(name) <= _LONGEST else []
    if not readings or len(set(signs)) > 1:
        shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
        remedy = (
            "; declare missing elements in `dataset.elements`, or list the column in "
            "`dataset.drop` if it is not a species."
        )
        raise InputError(
            f"species {shown!r} cannot be read with the elements "
            f"{', '.join(elements)}{suggest(name, _spelled(name, elements), remedy)}"
        )
    if len(readings) == 1:
        # H13CO+ must not be read as thirteen hydrogen atoms if 13C is not declared.
        isotopes = tuple(i for i in _ISOTOPES if _split_symbol(i)[1] in elements)
        undeclared = _readings(body, tuple({*elements, *isotopes}))
        readings += [r for r in undeclared if _atoms(r) != _atoms(readings[0])]
    if len(readings) > 1:
        first, second = (_spell(reading) for reading in readings[:2])
        raise InputError(
            f"species {name!r} can be read as {first} or as {second}; change "
            "`dataset.elements` so that only one reading remains, or spell it as Co."
        )
    atoms = _atoms(readings[0])
    ordered = {element: atoms[element] for element in order_elements(set(atoms))}
    charge = len(signs) * (1 if "+" in signs else -1)
    return Species(name, MappingProxyType(ordered), charge, PHASES[sign])


def _spelled(name: str, elements: tuple[str, ...]) -> list[str]:
    """Return the name in capitals and without blanks, if it can be parsed."""
    plain = "".join(name.split()).upper()
    body = plain.lstrip("#@").rstrip("+-")
    readable = plain != name and len(name) <= _LONGEST and _readings(body, elements)
    return [plain] if readable or plain == "E-" else []


_Reading = list[tuple[str, int]]


def _readings(body: str, elements: tuple[str, ...]) -> list[_Reading]:
    """Return at most two readings of different atoms, as pairs of element and count.

    Parses from the end of the name. Two readings of each ending are enough to know
    whether the name is ambiguous, and limit the time for a malicious name.
    """
    spellings = _spellings(elements)
    endings: dict[int, list[_Reading]] = {len(body): [[]]}
    for start in range(len(body) - 1, -1, -1):
        found: list[_Reading] = []
        for spelling, element in spellings.items():
            if not body.startswith(spelling, start):
                continue
            count, end = _count(body, start + len(spelling), spellings)
            for rest in endings[end] if count else ():
                reading = [(element, count), *rest]
                if all(_atoms(reading) != _atoms(other) for other in found):
                    found.append(reading)
        endings[start] = found[:2]
    return endings[0] if body else []


def _spellings(elements: tuple[str, ...]) -> dict[str, str]:
    """Return the spellings of elements, such as `SI` and `Si`, the longest first."""
    spellings = {}
    for element in sorted(elements, key=len, reverse=True):
        symbol = element.lstrip("0123456789")
        spellings[element[: len(element) - len(symbol)] + symbol.capitalize()] = element
        spellings[element] = element
    return spellings


def _count(body: str, start: int, spellings: Mapping[str, str]) -> tuple[int, int]:
    """Return the count at `start`, 0 if it is invalid, and the index of its end."""
    end = start
    # Isotopes precede counts: H213CO is H2 13C O if 13C is declared.
    while body[end : end + 1].isdecimal() and not body.startswith(
        tuple(spellings), end
    ):
        end += 1
    digits = body[start:end]
    if not digits:
        return 1, end
    return (int(digits) if digits.isascii() and digits[0] != "0" else 0), end


def _spell(reading: _Reading) -> str:
    return " ".join(e if count == 1 else f"{e}{count}" for e, count in reading)


def _atoms(reading: _Reading) -> dict[str, int]:
    atoms: dict[str, int] = {}
    for element, count in reading:
        atoms[element] = atoms.get(element, 0) + count
    return atoms
