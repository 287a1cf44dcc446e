"""Tables of one row a tracer and time: CSV files and DataFrames."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from astrokeras.data.arrays import as_column
from astrokeras.errors import InputError

ROWS = 8192
"""Rows that are looked at together."""

# Fortran leaves out the E of an exponent of three digits: 1.00000-101.
_EXPONENT = re.compile(r"(?<=[0-9.])(?=[+-][0-9]{3}(?![0-9]))")


class Table(Protocol):
    """Rows of numbers with named columns.

    Attributes:
        name: The file, and the key in it, for messages.
        columns: Names without surrounding spaces.
        rows: Number of rows.
    """

    name: str
    columns: tuple[str, ...]
    rows: int

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        ...


class CsvTable:
    """A CSV file with a header, such as UCLCHEM's own output; read front to back.

    Args:
        path: The file.

    Raises:
        InputError: If it is missing, empty or no text.
    """

    def __init__(self, path: Path):
        self.name = str(path)
        self._path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the path.")
        try:
            with path.open(encoding="utf-8") as file:
                self.columns = tuple(name.strip() for name in _header(file))
                self.rows = sum(1 for line in file if line.strip())
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: is neither HDF5 nor text; check the path."
            ) from error
        if len(self.columns) < 2 or not self.rows:
            raise InputError(
                f"{path}: needs a header of comma-separated names and a row of "
                "numbers; write it with UCLCHEM's outputFile."
            )
        self._lines: Iterator[str] = iter(())
        self._line = 0
        self._position = self.rows + 1

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        if start < self._position:
            self._lines, self._position = self._open(), 0
        lines = itertools.islice(
            self._lines, start - self._position, stop - self._position
        )
        self._position = stop
        try:
            return np.loadtxt(lines, delimiter=",", usecols=list(columns), ndmin=2)
        except (ValueError, IndexError) as error:
            # NumPy counts rows from where it began, and columns that it was asked for.
            reason = re.sub(r" at row .*", "", " ".join(str(error).split()))
            raise InputError(
                f"{self.name}: line {self._line}: {reason}; every row needs "
                f"{len(self.columns)} numbers, correct the file."
            ) from error

    def _open(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8") as file:
            numbered = enumerate(file, start=1)
            lines = ((number, line) for number, line in numbered if line.strip())
            next(lines)  # The header.
            for self._line, line in lines:
                yield _EXPONENT.sub("E", line)


class FrameTable:
    """A DataFrame, or UCLCHEM's pair of frames, physics and abundances.

    Args:
        frame: One frame, or several whose columns belong side by side.
        name: For messages.

    Raises:
        InputError: If the frames differ in length.
    """

    def __init__(self, frame: Any, name: str):
        self.name = name
        self._frames = list(frame) if isinstance(frame, (tuple, list)) else [frame]
        lengths = {len(part) for part in self._frames}
        if len(lengths) != 1:
            raise InputError(
                f"{name}: its frames have {sorted(lengths)} rows, they must have one "
                "length; pass frames of the same run."
            )
        self.rows = lengths.pop()
        self._places = [
            (part, index)
            for part in range(len(self._frames))
            for index in range(self._frames[part].shape[1])
        ]
        self.columns = tuple(
            str(self._frames[part].columns[index]).strip()
            for part, index in self._places
        )

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        out = np.full((stop - start, len(columns)), np.nan)
        for place, column in enumerate(columns):
            part, index = self._places[column]
            values = self._frames[part].iloc[start:stop, index]
            try:
                out[:, place] = as_column(values)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{self.name}: column {self.columns[column]!r} must hold numbers "
                    f"({error}); convert it with `astype(float)`."
                ) from error
        return out


class ReorderedTable:
    """The rows of a table in another order; holds the table in memory.

    UCLCHEM writes a run of several points time by time, which has to be turned into
    point by point; a single run is small.

    Args:
        table: The table.
        order: Row numbers in the new order.
    """

    def __init__(self, table: Table, order: np.ndarray):
        self.name, self.columns, self.rows = table.name, table.columns, table.rows
        self._values = table.read(0, table.rows, range(len(table.columns)))[order]

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        return self._values[start:stop, list(columns)]


def _header(file: TextIO) -> list[str]:
    for line in file:
        if line.strip():
            return line.rstrip().rstrip(",").split(",")
    return []
