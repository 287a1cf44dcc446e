"""Spellings of species in other codes, and UCLCHEM's spelling of each.

KIDA and Nautilus write `He`, `Mg`, `e-`, and `J` and `K` for the surface and the bulk
of the ice (the names of Nautilus' `ab/*.ab`); MAGICKAL writes `g` and `b`, UMIST `G`
for ice; KROME writes `E` and `H2O_ICE`. An isomer, such as `l-C3H`, keeps its name:
which isomer the `C3H` of another network means is never guessed.
"""

import re
from collections.abc import Sequence

ELECTRONS = frozenset({"E-", "e-", "E", "ELECTR", "ELECTRON", "electron", "Electron"})
# Elements with two letters that networks of cold gas hold; `Co` would be doubtful.
_TOKEN = r"(?:He|Li|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Ti|Cr|Mn|Fe|Ni|[A-Z])\d*"
ISOMER = re.compile(r"(?:[a-z]|cis|trans|lin|cyc)-(?=[A-Z0-9])")
"""Prefix of an isomer or a spin state, such as l- (linear), c- (cyclic), o- or p-."""
_TITLED = re.compile(rf"(?:{ISOMER.pattern})?(?:{_TOKEN})+[+-]*")
_ICE = re.compile(r"(.+)_(?:ICE|ice|DUST|dust)")
# Signs of a letter for the surface, and of the bulk that comes with it.
_SURFACES = {"J": "K", "g": "b", "G": "B"}


def uclchem_names(names: Sequence[str]) -> dict[str, str]:
    """Return UCLCHEM's spelling of the species of a table that are spelled otherwise.

    A letter means ice only where the table also has the same species in the gas, so
    that `KCl` stays as it is. Names that are no species are left out.

    Args:
        names: Names of the columns of a table.

    Returns:
        UCLCHEM's spelling by name, only of names that change. No two names get the same
        spelling: then both are left out.
    """
    plain = {name: _capitals(name) for name in names}
    gas = set(plain.values()) | set(names)
    spelled = dict(plain)
    for surface, bulk in _SURFACES.items():
        bodies = {
            name: _capitals(name[1:])
            for name in names
            if name[:1] == surface and _capitals(name[1:]) in gas
        }
        # One name alone, such as GH beside H, is no proof of a spelling.
        if len(bodies) < 2 and surface != "J":
            continue
        spelled |= {name: f"#{body}" for name, body in bodies.items()}
        icy = set(bodies.values())
        spelled |= {
            name: f"@{_capitals(name[1:])}"
            for name in names
            if name[:1] == bulk and _capitals(name[1:]) in icy
        }
    for name in names:
        ice = _ICE.fullmatch(name)
        if ice and _capitals(ice[1]) in gas:
            spelled[name] = f"#{_capitals(ice[1])}"
    if sum(name in ELECTRONS for name in names) == 1:
        spelled |= {name: "E-" for name in names if name in ELECTRONS}
    taken = list(spelled.values())
    return {
        name: other
        for name, other in spelled.items()
        if other != name and taken.count(other) == 1
    }


def _capitals(name: str) -> str:
    """Return a formula in capitals, without its isomer's prefix being changed."""
    if not _TITLED.fullmatch(name):
        return name
    prefix = ISOMER.match(name)
    start = prefix.end() if prefix else 0
    return name[:start] + name[start:].upper()
