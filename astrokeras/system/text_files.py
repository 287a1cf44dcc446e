"""Text files of any make: their encoding, compression, separators and decimals."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from astrokeras.errors import InputError
from astrokeras.system.input_paths import check_input, content

LONGEST_LINE = 2**24
"""Characters of a line; a packed file may claim more than memory holds."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_GZIP = b"\x1f\x8b"


def text_lines(
    path: Path, most: int | None = None, what: str = "file"
) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank.

    Reads UTF-8 with or without a byte-order mark and UTF-16 with one, packed by gzip
    or not, whatever ends a line.

    Args:
        path: The file.
        most: Characters that it may have.
        what: What was expected there, for the message.

    Raises:
        InputError: If it is no file, no such text, or too long; it says which.
    """
    check_input(path, what)
    size = 0
    with _readable(path), _opened(path) as file:
        lines = iter(partial(file.readline, LONGEST_LINE), "")
        for number, line in enumerate(lines, start=1):
            size += len(line)
            if len(line) == LONGEST_LINE or size > (most or size):
                raise InputError(
                    f"{path}: line {number}: is too long, or the file too large, for "
                    f"a {what}; check the path."
                )
            if "\0" in line:
                raise InputError(
                    f"{path}: line {number}: holds the byte 0, which no text does: it "
                    "is UTF-16 without its mark, or binary; save it as UTF-8."
                )
            if line.strip():
                yield number, line


def read_table(
    path: Path, most: int, what: str = "file"
) -> list[tuple[int, list[str]]]:
    """Return the line number and the cells of each row of a small table.

    Args:
        path: The file, see `text_lines` and `find_separator`.
        most: Characters that it may have.
        what: What was expected there, for the message.

    Raises:
        InputError: As those do.
    """
    lines = list(text_lines(path, most, what))
    if not lines:
        return []
    separator = find_separator(path, lines[0][1])
    mixed = mixed_decimals(separator, lines[1:])
    if mixed:
        raise InputError(f"{path}: {mixed}")
    return [(number, split_cells(path, line, separator)) for number, line in lines]


def find_separator(path: Path, header: str) -> str:
    """Return what stands between the columns of a table: a comma, `;` or a tab.

    Raises:
        InputError: If several of these do.
    """
    # Blanks and tabs beside a comma only pad the columns.
    bare = re.sub(r"\s*([,;])\s*", r"\1", re.sub(r'"[^"]*"', "", header.strip()))
    found = [separator for separator in SEPARATORS if separator in bare]
    if len(found) > 1:
        names = " and ".join(SEPARATORS[one] for one in found)
        raise InputError(
            f"{path}: its header has {names} between names; separate columns by one of "
            "them."
        )
    return found[0] if found else ","


def split_cells(path: Path, line: str, separator: str) -> list[str]:
    """Return the cells of a line without quotes, blanks and empty ones at its end.

    Where columns are not separated by commas, a comma is that of a decimal.
    """
    try:
        (row,) = csv.reader(
            [line.strip(" \r\n")],
            delimiter=separator,
            strict=False,
            skipinitialspace=True,
        )
    except (csv.Error, ValueError) as error:
        raise InputError(f"{path}: is not a CSV file ({error}); correct it.") from error
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells if separator == "," else [cell.replace(",", ".") for cell in cells]


def mixed_decimals(separator: str, lines: Iterable[tuple[int, str]]) -> str:
    """Return what is wrong if numbers have both commas and points, else nothing.

    Every line is looked at.
    """
    comma = point = 0
    for number, line in lines:
        if separator != ",":
            comma = comma or number * ("," in line)
            point = point or number * ("." in line)
    if not (comma and point):
        return ""
    return (
        f"numbers have a comma in line {comma} and a point in line {point}, one of "
        "which separates thousands; write decimals alike, and no thousands."
    )


def not_a_number(cell: str) -> str:
    """Return what is wrong with a cell that should hold a number, and the remedy."""
    shown = repr(cell[:80])
    if cell.casefold() in {"", "-", "--", "n/a", "na", "#n/a", "null", "none", "."}:
        return (
            f"is {shown}, which stands for a value that is missing; give the value, or "
            "leave out the tracer"
        )
    if re.fullmatch(r"[+-]?[0-9.]+(,[0-9]+)+(\.[0-9]*)?([eE].*)?", cell):
        return (
            f"is {shown}, not a number: its comma is a decimal one or separates "
            "thousands; write a point, and no thousands"
        )
    return f"is {shown}, not a number; correct the file"


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with open(path, "rb") as file:
        packed = file.peek(2).startswith(_GZIP)
        raw = gzip.GzipFile(fileobj=file) if packed else file
        first = raw.peek(4)
        utf16 = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        kind = content(path)
        if kind and not (packed or utf16):
            raise InputError(f"{path}: is {kind}, no text; give a file of text.")
        encoding = "utf-16" if utf16 else "utf-8-sig"
        yield io.TextIOWrapper(raw, encoding=encoding)  # type: ignore[arg-type]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what unpacking and decoding raise into one line."""
    try:
        yield
    except UnicodeError as error:
        raise InputError(
            f"{path}: is neither HDF5 nor text in UTF-8 ({error}); save it as UTF-8, "
            "or check the path."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be unpacked by gzip, it is truncated or damaged "
            f"({error}); fetch or make it again."
        ) from error
