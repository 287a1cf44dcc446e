"""Reader of initial abundances: a CSV file with a column a species, or Nautilus' file.

Nautilus' `abundances.in` has a line such as `C+ = 1.77D-04 ! comment` for each species
that it starts with.
"""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.chemistry.species_names import uclchem_names
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import LARGEST_TEXT
from astrokeras.system.close_names import suggest
from astrokeras.system.text_files import not_a_number, read_table, text_lines

_ASSIGNMENT = re.compile(r"([^\s=,!]+)\s*=\s*([-+0-9.DdEe]+)\s*(?:!.*)?")


def read_initial(
    path: str | Path, species: Sequence[str], floor: float = FLOOR
) -> np.ndarray:
    """Read initial abundances from a header of species names and a row of values.

    In Nautilus' `abundances.in`, species that are missing are at the floor, and
    electrons that are missing follow from the charge of all others, as in Nautilus.
    Names may have the spelling of other codes, see `chemistry.species_names`.

    Args:
        path: The CSV file, or Nautilus' file.
        species: Names of the required species, in the order of the result. Other
            columns must not exceed the floor.
        floor: Smaller abundances are raised to it.

    Returns:
        Abundances relative to H nuclei, `(S,)`, float64.

    Raises:
        InputError: If the file is missing, has the wrong shape, lacks a species, or
            holds a value that is not an abundance.
    """
    path = Path(path)
    listed = _assignments(path)
    rows = listed or [
        cells for _, cells in read_table(path, LARGEST_TEXT, "file of abundances")
    ]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]):
        raise InputError(
            f"{path}: holds {len(rows)} rows; it must hold a row of species names and "
            "a row of abundances, of the same length."
        )
    values: dict[str, float] = {}
    spelled = uclchem_names(rows[0])
    for given, text in zip(*rows, strict=True):
        name = given if given in species else spelled.get(given, given)
        if name in values:
            raise InputError(f"{path}: holds {name!r} twice; remove one.")
        try:
            values[name] = float(text.replace("D", "E").replace("d", "e"))
        except ValueError as error:
            raise InputError(f"{path}: {name} {not_a_number(text)}.") from error
        if not 0 <= values[name] <= 1:
            raise InputError(
                f"{path}: {name} is {values[name]:g}, but an abundance lies in [0, 1], "
                "relative to H nuclei; correct the file."
            )
    if listed:
        values = dict.fromkeys(species, 0.0) | _neutral(values)
    missing = [name for name in species if name not in values]
    if missing:
        remedy = suggest(
            missing[0], sorted(set(values) - set(species)), "; add these columns."
        )
        raise InputError(
            f"{path}: lacks {len(missing)} of {len(species)} species, first "
            f"{', '.join(missing[:3])}{remedy}"
        )
    others = {"SURFACE", "BULK", *species}
    extra = [name for name, x in values.items() if name not in others and x > floor]
    if extra:
        raise InputError(
            f"{path}: {extra[0]} = {values[extra[0]]:g} is not a species of the "
            "network; remove it or use the network's own file."
        )
    return np.maximum([values[name] for name in species], floor)


def _assignments(path: Path) -> list[list[str]]:
    """Return the species and the values of Nautilus' file, none of any other file."""
    lines = text_lines(path, LARGEST_TEXT, "file of abundances")
    bare = (line.strip() for _, line in islice(lines, 10_000))
    found = [_ASSIGNMENT.fullmatch(line) for line in bare if line[:1] != "!"]
    if not found or not all(found):
        return []
    return [[match[group] for match in found if match] for group in (1, 2)]


def _neutral(values: dict[str, float]) -> dict[str, float]:
    """Return abundances, with the electrons that make them neutral if they lack any."""
    if "E-" in values:
        return values
    elements = find_elements(list(values))
    charge = sum(parse_species(name, elements).charge * x for name, x in values.items())
    return values | {"E-": max(charge, 0.0)}
