"""Initial abundances from a CSV file with species as columns."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system.atomic_files import LARGEST_TEXT


def read_initial(
    path: str | Path, species: Sequence[str], floor: float = 1e-20
) -> np.ndarray:
    """Read initial abundances: a header of species names and one row of values.

    Args:
        path: The CSV file.
        species: Names wanted, in the order wanted; columns beyond these are ignored
            unless they carry more than the floor.
        floor: Smaller abundances are raised to it.

    Returns:
        Abundances relative to H nuclei, `(S,)`, float64.

    Raises:
        InputError: If the file is missing, has another shape, lacks a species, or
            holds a value that is no abundance.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of initial abundances; check the path.")
    if path.stat().st_size > LARGEST_TEXT:
        raise InputError(
            f"{path}: has {path.stat().st_size} bytes, too many for one row of "
            "abundances; give the network's own file."
        )
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: is not a CSV file ({error}); give a row of species names and one "
            "of abundances."
        ) from error
    if len(rows) != 2 or len(rows[0]) != len(rows[1]):
        raise InputError(
            f"{path}: holds {len(rows)} rows; it must hold a row of species names and "
            "one of abundances, of the same length."
        )
    values: dict[str, float] = {}
    for name, text in zip((cell.strip() for cell in rows[0]), rows[1], strict=True):
        if name in values:
            raise InputError(f"{path}: holds {name!r} twice; remove one.")
        try:
            values[name] = float(text)
        except ValueError as error:
            raise InputError(
                f"{path}: {name} is {text[:80]!r}, not a number; correct the file."
            ) from error
        if not 0 <= values[name] <= 1:
            raise InputError(
                f"{path}: {name} is {values[name]:g}; an abundance lies in [0, 1], "
                "relative to H nuclei, correct the file."
            )
    missing = [name for name in species if name not in values]
    if missing:
        raise InputError(
            f"{path}: lacks {len(missing)} of {len(species)} species, first "
            f"{', '.join(missing[:3])}; add these columns."
        )
    others = {"SURFACE", "BULK", *species}
    extra = [name for name, x in values.items() if name not in others and x > floor]
    if extra:
        raise InputError(
            f"{path}: {extra[0]} = {values[extra[0]]:g} is not a species of the "
            "network; remove it or use the network's own file."
        )
    return np.maximum([values[name] for name in species], floor)
