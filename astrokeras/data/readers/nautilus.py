"""Files of Nautilus: structures that evolve, and abundances.

- `structure_evolution.dat`, an input: time [yr] and log10 of extinction [mag], density
  of H nuclei [cm^-3] and temperature of the gas [K], possibly of the grains [K].
- A run, a folder with `ab/SPECIES.ab` and `struct/output.00001.struct` of each point,
  as `nautilus_outputs.f90` writes them: abundances relative to H nuclei.
- A list of abundances in blocks of ten columns under a line that says to what they are
  relative, as the older gas-grain codes of the same family write.
"""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from astrokeras.chemistry.species import parse_species
from astrokeras.chemistry.species_names import uclchem_names
from astrokeras.data.readers.table import ArrayTable
from astrokeras.data.readers.text_table import TextTable, numbers
from astrokeras.errors import InputError
from astrokeras.system.text_files import text_lines

_STRUCTURE = "structure_evolution.dat"
_NAMES = ("Time", "log(Av)", "log(Density)", "log(gasTemp)", "log(dustTemp)")
_LOGS = re.compile(r"[!#]\s*time\s+log\(av\)\s+log\(n\w*\)\s+log\(t", re.IGNORECASE)
_BLOCKS = re.compile(r".*ABUNDANCES.*\(/\s*(H2|H|NH)\s*\).*", re.IGNORECASE)
_LARGEST = 2**28
"""Largest number of characters of a list in blocks, which is held in memory."""
_GRAINS = re.compile(r"GRAIN.*|X[HC]?\d?|space")


def is_structure(path: Path) -> bool:
    """Return whether a text file is Nautilus' `structure_evolution.dat`."""
    lines = [line for _, line in islice(text_lines(path), 20)]
    if any(_LOGS.match(line.strip()) for line in lines):
        return True
    rows = [numbers(line) for line in lines if numbers(line)]
    return path.name == _STRUCTURE and bool(rows) and len(rows[0]) in (4, 5)


def open_structure(path: Path) -> TextTable:
    """Open `structure_evolution.dat` as a table.

    Raises:
        InputError: If its rows do not have four or five numbers.
    """
    found = TextTable(path)
    count = len(found.columns)
    if count not in (4, 5):
        raise InputError(
            f"{path}: has {count} columns; Nautilus' structures have time, log(Av), "
            "log(n), log(T) and possibly log(Tdust)."
        )
    return TextTable(path, _NAMES[:count])


def is_blocks(path: Path) -> bool:
    """Return whether a text file begins with the title of abundances in blocks."""
    return any(_BLOCKS.match(line) for _, line in islice(text_lines(path), 1))


def open_blocks(path: Path) -> ArrayTable:
    """Read abundances in blocks of columns, relative to H nuclei.

    Raises:
        InputError: If the blocks differ in their times, a row in its length, or the
            hydrogen does not add up to what the title says.
    """
    names: list[str] = []
    blocks: list[list[list[float]]] = []
    per = "H"
    for number, line in text_lines(path, _LARGEST):
        title = _BLOCKS.match(line)
        if title:
            per = title[1].upper()
            continue
        row, cells = numbers(line), line.split()
        if not row and cells[0].casefold() == "time":
            names += cells[1:]
            blocks.append([])
            width = len(cells)
        elif not blocks or len(row) != width:
            raise InputError(
                f"{path}: line {number}: must hold a number for each name of the line "
                "above that begins with TIME; correct the file."
            )
        else:
            blocks[-1].append(row)
    lengths = {len(block) for block in blocks}
    if len(lengths) != 1 or not lengths.pop():
        raise InputError(f"{path}: its blocks differ in their rows; write it again.")
    parts = [np.array(block) for block in blocks]
    if any((part[:, 0] != parts[0][:, 0]).any() for part in parts):
        raise InputError(f"{path}: its blocks differ in their times; write it again.")
    values = np.column_stack([part[:, 1:] for part in parts])
    notes = []
    if per == "H2":
        _check_per_h2(path, names, values)
        values = values / 2
        notes = [f"{path}: abundances relative to H2 are halved, to H nuclei"]
    return _table(path, names, parts[0][:, 0], values, notes)


def _check_per_h2(path: Path, names: Sequence[str], values: np.ndarray) -> None:
    """Raise InputError unless the first state has two H nuclei for each of n(H2).

    Later ones may have less, for such lists often leave out the ices.
    """
    spelled = uclchem_names(names)
    total = np.zeros(len(values))
    for name, column in zip(names, values.T, strict=True):
        try:
            total += (
                parse_species(spelled.get(name, name)).elements.get("H", 0) * column
            )
        except InputError:
            continue  # Species of other elements hold little hydrogen.
    if abs(total[0] / 2 - 1) > 0.05 or (total > 2.1).any():
        raise InputError(
            f"{path}: says that abundances are relative to H2, but the first state "
            f"holds {total[0]:.3g} H nuclei and at most there are {total.max():.3g}, "
            "not 2; make them relative to H nuclei, and change the title to (/H)."
        )


def is_run(path: Path) -> bool:
    """Return whether a folder holds the abundances of a run, or is its folder `ab`."""
    return bool(_abundance_files(path))


def _abundance_files(path: Path) -> list[Path]:
    for folder in (path / "ab", path):
        files = sorted(folder.glob("*.ab")) if folder.is_dir() else []
        if files:
            return [file for file in files if not _GRAINS.fullmatch(file.stem)]
    return []


def open_run(path: Path) -> ArrayTable:
    """Read the abundances of a run, and the structure of each point if there is one.

    Raises:
        InputError: If the files differ in their times or points.
    """
    files = _abundance_files(path)
    first = _matrix(files[0])
    points = first.shape[1] - 1
    abundances = np.empty((len(first), points, len(files)))
    for index, file in enumerate(files):
        matrix = _matrix(file)
        if matrix.shape != first.shape or (matrix[:, 0] != first[:, 0]).any():
            raise InputError(
                f"{file}: differs from {files[0].name} in its times or points; write "
                "the files again with `nautilus_outputs`."
            )
        abundances[:, :, index] = matrix[:, 1:]
    names = [file.stem for file in files]
    run = files[0].parent.parent
    structures = sorted(run.glob("struct/output.*.struct"))
    columns: tuple[str, ...] = ()
    physics = np.empty((len(first), points, 0))
    notes = [f"{path}: grains and their charge are left out"]
    if structures:
        columns = ("gasTemp", "dustTemp", "Density", "Av")
        found = [_structure(file, first[:, 0]) for file in structures]
        if len(found) != points:
            raise InputError(
                f"{run}: has structures of {len(found)} points, but abundances of "
                f"{points}; write the files again with `nautilus_outputs`."
            )
        physics = np.stack(found, axis=1)
    # Points one after another, each with all times.
    values = np.concatenate([physics, abundances], axis=2).transpose(1, 0, 2)
    point = np.repeat(np.arange(1, points + 1), len(first))
    return _table(
        path,
        [*columns, *names, "point"],
        np.tile(first[:, 0], points),
        np.column_stack([values.reshape(-1, values.shape[2]), point]),
        notes,
    )


def _structure(file: Path, time: np.ndarray) -> np.ndarray:
    """Return temperatures of gas and dust, density and extinction, (times, 4)."""
    matrix = _matrix(file)
    if matrix.shape[1] < 5 or len(matrix) != len(time):
        raise InputError(
            f"{file}: must hold time, two temperatures, density and extinction at the "
            f"{len(time)} times of the abundances; write it with `nautilus_outputs`."
        )
    values = matrix[:, 1:5]
    # The header says log10 in all versions; the values are so only in some.
    if (values[:, 2] < 20).all():
        values[:, 2] = 10 ** values[:, 2]
    return values


def _matrix(file: Path) -> np.ndarray:
    table = TextTable(file)
    return table.read(0, table.rows, range(len(table.columns)))


def _table(
    path: Path,
    names: Sequence[str],
    time: np.ndarray,
    values: np.ndarray,
    notes: Sequence[str],
) -> ArrayTable:
    kept = [i for i, name in enumerate(names) if not _GRAINS.fullmatch(name)]
    return ArrayTable(
        str(path),
        ["Time", *(names[i] for i in kept)],
        np.column_stack([time, values[:, kept]]),
        notes=notes,
    )
