"""CSV files: a header of names, and rows separated by commas, semicolons or tabs."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from astrokeras.data.readers.text_rows import TextRows
from astrokeras.errors import InputError
from astrokeras.system.text_files import (
    find_separator,
    mixed_decimals,
    split_cells,
    text_lines,
)


class CsvTable(TextRows):
    """CSV file with a header, such as UCLCHEM's own output, read sequentially.

    Columns are separated by commas, semicolons or tabs; see `text_files.text_lines` for
    encodings and compression. Names may be quoted. Decimals may have a comma if the
    separator is not a comma.

    Args:
        path: The file.

    Raises:
        InputError: If it is missing, empty, ambiguous, or not text.
    """

    def __init__(self, path: Path):
        numbered = text_lines(path)
        _, header = next(numbered, (0, ""))
        separator = find_separator(path, header)
        super().__init__(path, separator)
        self.columns = _names(split_cells(path, header, separator))
        self.rows = 0
        mixed = mixed_decimals(separator, self._counted(numbered))
        if len(self.columns) < 2 or not self.rows:
            raise InputError(
                f"{path}: must have a header of comma-separated names and a row of "
                f"numbers, but begins with {header.strip()[:80]!r}; write it with "
                "UCLCHEM's outputFile."
            )
        if mixed:
            raise InputError(f"{path}: {mixed}")

    def _counted(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        for numbered in lines:
            self.rows += 1
            yield numbered

    def _numbered(self) -> Iterator[tuple[int, str]]:
        lines = text_lines(self._path)
        next(lines)  # The header.
        return lines


def _names(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a header, without a comment sign at its beginning."""
    if not cells:
        return ()
    first = cells[0]
    # A name such as #H2O is a surface species.
    if first.startswith("# ") or first.casefold() == "#time":
        first = first[1:].strip().strip('"')
    return (first, *cells[1:])
