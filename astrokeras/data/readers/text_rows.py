"""Rows of numbers in text files, read one after the other."""

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from astrokeras.data.readers.parsed_rows import parse_rows
from astrokeras.errors import InputError
from astrokeras.system.text_files import lines_of, not_a_number, split_cells

SIZE = 2**22
"""Number of characters that are parsed at a time."""

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
        self._parts: Generator[np.ndarray, None, None] | None = None
        self._wanted: tuple[int, ...] = ()
        self._position, self._rest = 0, np.empty((0, 0))
        self._fortran = False  # Whether numbers are not written as in C.

    @abstractmethod
    def _blocks(self) -> Iterator[tuple[int, str]]:
        """Yield the number of the first line and the text of blocks of rows."""

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        wanted = tuple(columns)
        if self._parts is None or start < self._position or wanted != self._wanted:
            self._parts, self._wanted = self._parsed(wanted), wanted
            self._position, self._rest = 0, np.empty((0, len(wanted)))
        held, count = [self._rest], len(self._rest)
        while count < stop - self._position:
            part = next(self._parts, None)
            if part is None:
                break
            held.append(part)
            count += len(part)
        values = np.concatenate(held) if len(held) > 1 else self._rest
        found = values[start - self._position : stop - self._position]
        self._rest = values[stop - self._position :]
        self._position = stop
        if stop >= self.rows:  # Closes the file.
            self._parts.close()
            self._parts = None
        return found.copy(order="K")

    def _parsed(self, columns: tuple[int, ...]) -> Generator[np.ndarray, None, None]:
        """Yield some columns of each block."""
        for first, text in self._blocks():
            if self._separator not in (None, ","):
                text = text.replace(",", ".")
            if self._fortran:
                text = plain_numbers(text)
            part = parse_rows(text, self._separator, len(self.columns), columns)
            yield self._parse_lines(first, text, columns) if part is None else part

    def _parse_lines(self, first: int, text: str, columns: Sequence[int]) -> np.ndarray:
        """Return some columns of a block that is checked line by line.

        Raises:
            InputError: For the first row of another length, or cell that is no number.
        """
        numbered = list(lines_of(first, text))
        for number, line in numbered:
            if not self._is_whole(line):
                found, wanted = len(self._cells(line)), len(self.columns)
                raise InputError(
                    f"{self.name}: line {number}: has {found} cells, but the header "
                    f"has {wanted} names; write {wanted} numbers without decimal "
                    "commas in every row."
                )
        if not self._fortran:
            with suppress(ValueError, IndexError):
                return self._parse([line for _, line in numbered], columns)
        self._fortran = True
        try:
            return self._parse([plain_numbers(line) for _, line in numbered], columns)
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
