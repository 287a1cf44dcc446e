"""Reader of initial abundances: a CSV file with a column a species, or Nautilus' file.

Nautilus' `abundances.in` has a line such as `C+ = 1.77D-04 ! comment` for each species
that it starts with.
"""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from astrokeras.chemistry.abundance_definitions import (
    DEFINITIONS,
    ELECTRON,
    Composition,
)
from astrokeras.chemistry.species_names import uclchem_names
from astrokeras.config import DatasetConfig
from astrokeras.config.typed_options import typed
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import LARGEST_TEXT
from astrokeras.system.close_names import suggest
from astrokeras.system.text_files import not_a_number, read_table, text_lines

_ASSIGNMENT = re.compile(r"([^\s=,!]+)\s*=\s*([-+0-9.DdEe]+)\s*(?:!.*)?")


def read_initial(
    path: str | Path,
    species: Sequence[str],
    floor: float = FLOOR,
    config: DatasetConfig | None = None,
    elements: Sequence[str] = (),
) -> np.ndarray:
    """Read initial abundances from a header of species names and a row of values.

    In Nautilus' `abundances.in`, species that are missing are at the floor, and
    electrons that are missing follow from the charge of all others, as in Nautilus.
    Names may have the spelling of other codes, see `chemistry.species_names`.

    Where the species hold all hydrogen, it must add up to 1; where they hold ions and
    electrons, their charges must add up to 0 within 1 % of those of the ions.

    Args:
        path: The CSV file, or Nautilus' file.
        species: Names of the required species, in the order of the result. Other
            columns must not exceed the floor.
        floor: Smaller abundances are raised to it.
        config: Its `abundances` and `electrons` say how the file is converted; by
            default it must be relative to H nuclei and neutral.
        elements: Elements of the species beside the usual ones and their atoms; those
            of `config` are added.

    Returns:
        Abundances relative to H nuclei, `(S,)`, float64.

    Raises:
        InputError: If the file is missing, has the wrong shape, lacks a species, or
            holds a value that is not an abundance, or has other sums.
    """
    definition = "per_h" if config is None else config.abundances
    neutral = config is not None and config.electrons == "neutral"
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
        if not 0 <= values[name] < float("inf"):
            raise _impossible(path, name, values[name])
    if listed:  # Nautilus starts species that are not listed at the floor.
        neutral = neutral or (ELECTRON in species and ELECTRON not in values)
        values = dict.fromkeys(species, 0.0) | values
    if neutral:
        values.setdefault(ELECTRON, 0.0)
    missing = [name for name in species if name not in values]
    if missing:
        remedy = suggest(
            missing[0], sorted(set(values) - set(species)), "; add these columns."
        )
        raise InputError(
            f"{path}: lacks {len(missing)} of {len(species)} species, first "
            f"{', '.join(missing[:3])}{remedy}"
        )
    others = {"SURFACE", "BULK", *species} | ({ELECTRON} if neutral else set())
    extra = [name for name, x in values.items() if name not in others and x > floor]
    if extra:
        raise InputError(
            f"{path}: {extra[0]} = {values[extra[0]]:g} is not a species of the "
            "network; remove it or use the network's own file."
        )
    composition = Composition.of(
        species, [*elements, *(config.elements if config else ())], whole=True
    )
    given = np.array([values[name] for name in species])
    _check_hydrogen(path, composition, given, definition, config is not None)
    found = composition.per_hydrogen(given, definition)
    if neutral:
        found = composition.set_electrons(found)
    for name, value in zip(species, found, strict=True):
        if value > 1:
            raise _impossible(path, name, value)
    if composition.unbalanced(found):
        raise InputError(
            f"{path}: {unbalanced(composition, found, config is not None)}."
        )
    return np.maximum(found, floor)


def _assignments(path: Path) -> list[list[str]]:
    """Return the species and the values of Nautilus' file, none of any other file."""
    lines = text_lines(path, LARGEST_TEXT, "file of abundances")
    bare = (line.strip() for _, line in islice(lines, 10_000))
    found = [_ASSIGNMENT.fullmatch(line) for line in bare if line[:1] != "!"]
    if not found or not all(found):
        return []
    return [[match[group] for match in found if match] for group in (1, 2)]


def unbalanced(composition: Composition, abundances: np.ndarray, option: bool) -> str:
    """Return what is wrong with the electrons of a state, (S,), and the remedy.

    Args:
        composition: The species.
        abundances: Relative to H nuclei.
        option: Whether the configuration of a dataset can set the electrons.
    """
    net = composition.ions(abundances)[0]
    found = abundances[composition.electron]
    return (
        f"{ELECTRON} is {found:.4g}, but the charges of the ions add up to {net:.4g}; "
        f"set {ELECTRON} to {net:.4g}"
        + f", or give {typed('dataset.electrons', 'neutral')}"
        * option
    )


def _check_hydrogen(
    path: Path,
    composition: Composition,
    given: np.ndarray,
    definition: str,
    option: bool,
) -> None:
    """Raise InputError if hydrogen does not add up as the definition says."""
    found = composition.other_definition(given[None], definition)
    if found is None or (found[1] is None and given.max() > 1):
        return  # A single value above 1 is refused by its name.
    total, fits = found
    remedy = "relative to H nuclei it is 1: correct the file"
    if fits == "per_h":
        remedy = "it is relative to H nuclei already: leave `dataset.abundances` out"
    elif fits is not None:
        remedy = f"these look like {DEFINITIONS[fits]}: "
        if option:
            remedy += f"give {typed('dataset.abundances', fits)}, which converts them"
        elif fits == "mass_fraction":
            remedy += "divide each by the mass of the species, and multiply all by 1.4"
        else:
            remedy += f"multiply all by {1 / total:.4g}"
    raise InputError(
        f"{path}: hydrogen adds up to {total:.4g} over all species; {remedy}."
    )


def _impossible(path: Path, name: str, value: float) -> InputError:
    return InputError(
        f"{path}: {name} is {value:g}, but an abundance lies in [0, 1], relative to H "
        "nuclei; correct the file."
    )
