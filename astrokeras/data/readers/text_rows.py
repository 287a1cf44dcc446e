"""Rows of numbers in text files, read one after the other."""

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
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
        self._lines: Generator[tuple[int, str], None, None]
        self._position: int | None = None
        self._fortran = False  # Whether numbers are not written as in C.

    @abstractmethod
    def _numbered(self) -> Iterator[tuple[int, str]]:
        """Yield the number of a line and the text of each row, from the first on."""

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        if self._position is None or start < self._position:
            self._lines, self._position = self._checked(), 0
        numbered = list(
            itertools.islice(self._lines, start - self._position, stop - self._position)
        )
        self._position = stop
        if stop >= self.rows:  # Closes the file.
            self._lines.close()
            self._position = None
        lines = [line for _, line in numbered]
        if not self._fortran:
            with suppress(ValueError, IndexError):
                return self._parse(lines, columns)
        self._fortran = True
        try:
            return self._parse([plain_numbers(line) for line in lines], columns)
        except (ValueError, IndexError) as error:
            reason = " ".join(str(error).split())
            raise self._bad_cell(numbered, columns, reason) from error

    def _parse(self, lines: list[str], columns: Sequence[int]) -> np.ndarray:
        return np.loadtxt(
            lines,
            delimiter=self._separator,
            usecols=list(columns),
            ndmin=2,
            comments=None,
            quotechar='"' if self._separator else None,
        )

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

    def _checked(self) -> Generator[tuple[int, str], None, None]:
        for number, line in self._numbered():
            if not self._is_whole(line):
                found, wanted = len(self._cells(line)), len(self.columns)
                raise InputError(
                    f"{self.name}: line {number}: has {found} cells, but the header "
                    f"has {wanted} names; write {wanted} numbers without decimal "
                    "commas in every row."
                )
            if self._separator not in (None, ","):
                line = line.replace(",", ".")
            yield number, line

    def _bad_cell(
        self, numbered: Sequence[tuple[int, str]], columns: Sequence[int], reason: str
    ) -> InputError:
        """Return the error for the first cell of a block of rows that is no number."""
        for number, line in numbered:
            cells = self._cells(line)
            for column in columns:
                try:
                    float(plain_numbers(cells[column]))
                except ValueError:
                    where = (
                        f"{self.name}: line {number}: column {self.columns[column]!r}"
                    )
                    return InputError(f"{where} {not_a_number(cells[column])}.")
        where = f"{self.name}: lines {numbered[0][0]} to {numbered[-1][0]}"
        return InputError(f"{where}: {reason}; correct the file.")
