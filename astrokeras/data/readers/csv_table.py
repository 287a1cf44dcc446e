"""CSV files: a header of names, and rows separated by commas, semicolons or tabs."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from astrokeras.data.readers.text_rows import SIZE, TextRows, plain_numbers
from astrokeras.errors import InputError
from astrokeras.system.text_files import (
    count_lines,
    find_separator,
    mixed_decimals,
    split_cells,
    text_blocks,
    text_lines,
)

_CONSTANT = re.compile(r"(Radfield|Zeta)\s+([-+.0-9E]+)")


class CsvTable(TextRows):
    """CSV file with a header, such as UCLCHEM's own output, read sequentially.

    Columns are separated by commas, semicolons or tabs; see `text_files.text_lines` for
    encodings and compression. Names may be quoted. Decimals may have a comma if the
    separator is not a comma.

    Args:
        path: The file.

    Attributes:
        constants: Values of columns that stand above the header, by name.

    Raises:
        InputError: If it is missing, empty, ambiguous, or not text.
    """

    def __init__(self, path: Path):
        above, header, self.constants = _header(path)
        separator = find_separator(path, header)
        super().__init__(path, separator)
        self.columns = _names(split_cells(path, header, separator))
        self.rows, self._above = 0, above
        commas = points = False
        for _, text in self._blocks():
            self.rows += count_lines(text)
            commas, points = commas or "," in text, points or "." in text
        if len(self.columns) < 2 or not self.rows:
            raise InputError(
                f"{path}: must have a header of comma-separated names and a row of "
                f"numbers, but begins with {header.strip()[:80]!r}; write it with "
                "UCLCHEM's outputFile."
            )
        if separator != "," and commas and points:
            rows = islice(text_lines(path), above, None)
            raise InputError(f"{path}: {mixed_decimals(separator, rows)}")

    def _blocks(self) -> Iterator[tuple[int, str]]:
        return text_blocks(self._path, size=SIZE, skip=self._above)


def _header(path: Path) -> tuple[int, str, dict[str, float]]:
    """Return the number of lines above the rows, the header, and constants above it.

    Versions 2 and 3 of UCLCHEM write `Elemental abundances, C: ...` and ` Radfield`,
    possibly ` Zeta`, with their values above the header (`fileSetup` of `io.f90`).
    """
    lines = [line for _, line in islice(text_lines(path), 3)] or [""]
    if not lines[0].startswith("Elemental abundances") or len(lines) < 3:
        return 1, lines[0], {}
    pairs = _CONSTANT.findall(plain_numbers(lines[1]))
    return 3, lines[2], {name.casefold(): float(value) for name, value in pairs}


def _names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a header, without a comment sign at its beginning."""
    if not cells:
        return ()
    first = cells[0]
    # A name such as #H2O is a surface species.
    if first.startswith("# ") or first.casefold() == "#time":
        first = first[1:].strip().strip('"')
    return (first, *cells[1:])
