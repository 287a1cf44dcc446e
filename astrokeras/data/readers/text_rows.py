"""Rows of numbers in text files, read one after the other."""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from astrokeras.errors import InputError
from astrokeras.system.text_files import not_a_number, split_cells

# Fortran omits the E before an exponent of three digits: 1.00000-101.
_EXPONENT = re.compile(r"(?<=[0-9.])(?=[+-][0-9]{3}(?![0-9]))")
# Fortran writes D instead of E in double precision.
_DOUBLE = re.compile(r"(?<=[0-9.])[dD](?=[+-]?[0-9])")


def plain_numbers(text: str) -> str:
    """Return numbers as C writes them, from Fortran's 1.0D+04 and 1.0-101."""
    return _DOUBLE.sub("E", _EXPONENT.sub("E", text))


class TextRows(ABC):
    """Table of a text file, read sequentially; a subclass finds the rows.

    Args:
        path: The file.
        separator: Separator of the cells; `None` for blanks.
    """

    columns: tuple[str, ...]
    rows: int

    def __init__(self, path: Path, separator: str | None):
        self.name = str(path)
        self._path, self._separator = path, separator
        self._lines: Iterator[str] = iter(())
        self._line, self._text, self._wanted = 0, "", list[int]()
        self._position: int | None = None

    @abstractmethod
    def _numbered(self) -> Iterator[tuple[int, str]]:
        """Yield the number of a line and the text of each row, from the first on."""

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        if self._position is None or start < self._position:
            self._lines, self._position = self._checked(), 0
        lines = itertools.islice(
            self._lines, start - self._position, stop - self._position
        )
        self._position = stop
        self._wanted = list(columns)
        try:
            return np.loadtxt(
                lines,
                delimiter=self._separator,
                usecols=self._wanted,
                ndmin=2,
                comments=None,
                quotechar='"' if self._separator else None,
            )
        except InputError:
            raise
        except (ValueError, IndexError) as error:
            raise self._row_error(self._text, " ".join(str(error).split())) from error

    def _cells(self, line: str) -> list[str]:
        if self._separator is None:
            return line.split()
        return split_cells(self._path, line, self._separator)

    def _is_whole(self, line: str) -> bool:
        """Return whether a row has a cell for each name.

        A row with an additional cell would be read with shifted columns.
        """
        plain = self._separator is not None and '"' not in line
        if plain and line.count(str(self._separator)) == len(self.columns) - 1:
            return True
        return len(self._cells(line)) == len(self.columns)

    def _checked(self) -> Iterator[str]:
        for number, line in self._numbered():
            self._line, self._text = number, line
            if not self._is_whole(line):
                raise self._row_error(line, "")
            if self._separator not in (None, ","):
                line = line.replace(",", ".")
            yield plain_numbers(line)

    def _row_error(self, line: str, reason: str) -> InputError:
        """Return the error for an invalid row, which names its first invalid cell."""
        cells = self._cells(line)
        where, wanted = f"{self.name}: line {self._line}:", len(self.columns)
        if len(cells) != wanted:
            return InputError(
                f"{where} has {len(cells)} cells, but the header has {wanted} names; "
                f"write {wanted} numbers without decimal commas in every row."
            )
        for column in self._wanted:
            try:
                float(plain_numbers(cells[column]))
            except ValueError:
                fault = not_a_number(cells[column])
                return InputError(f"{where} column {self.columns[column]!r} {fault}.")
        return InputError(f"{where} {reason}; correct the file.")
