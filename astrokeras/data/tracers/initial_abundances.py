"""Reader of initial abundances, a CSV file with one column for each species."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import LARGEST_TEXT
from astrokeras.system.close_names import suggest
from astrokeras.system.text_files import not_a_number, read_table


def read_initial(
    path: str | Path, species: Sequence[str], floor: float = FLOOR
) -> np.ndarray:
    """Read initial abundances from a header of species names and a row of values.

    Args:
        path: The CSV file.
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
    rows = [cells for _, cells in read_table(path, LARGEST_TEXT, "file of abundances")]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]):
        raise InputError(
            f"{path}: holds {len(rows)} rows; it must hold a row of species names and "
            "a row of abundances, of the same length."
        )
    values: dict[str, float] = {}
    for name, text in zip(*rows, strict=True):
        if name in values:
            raise InputError(f"{path}: holds {name!r} twice; remove one.")
        try:
            values[name] = float(text.replace("D", "E"))
        except ValueError as error:
            raise InputError(f"{path}: {name} {not_a_number(text)}.") from error
        if not 0 <= values[name] <= 1:
            raise InputError(
                f"{path}: {name} is {values[name]:g}, but an abundance lies in [0, 1], "
                "relative to H nuclei; correct the file."
            )
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
