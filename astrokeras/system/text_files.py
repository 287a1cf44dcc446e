"""Readers of text files in any encoding, compression, separator or decimal sign."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from astrokeras.errors import InputError
from astrokeras.system.input_paths import GZIP, check_input, content

LONGEST_LINE = 2**24
"""Most characters in a line; a compressed file may expand beyond the memory."""
_BLOCK, _END = 2**18, "\n"
_BLANK_FIRST, _BLANK_BETWEEN = re.compile(r"\s*(\n|$)"), re.compile(r"\n\s*\n")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def text_lines(
    path: Path, most: int | None = None, what: str = "file"
) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each non-blank line, without its ending.

    Args:
        path: The file, see `text_blocks`.
        most: Largest number of characters in the file.
        what: The expected kind of file, for the message.

    Raises:
        InputError: If it is not a file, not such text, or too long.
    """
    for first, block in text_blocks(path, most, what):
        yield from lines_of(first, block)


def text_blocks(
    path: Path,
    most: int | None = None,
    what: str = "file",
    size: int = _BLOCK,
    skip: int = 0,
) -> Iterator[tuple[int, str]]:
    """Yield the number of the first line and the text of blocks of whole lines.

    Reads UTF-8 with or without a byte-order mark and UTF-16 with one, compressed by
    gzip or not, with any line ending.

    Args:
        path: The file.
        most: Largest number of characters in the file.
        what: The expected kind of file, for the message.
        size: Characters that are read at a time.
        skip: Number of non-blank lines that are left out at the beginning.

    Raises:
        InputError: If it is not a file, not such text, or too long.
    """
    check_input(path, what)
    total, first = 0, 1
    with _readable(path), _opened(path) as file:
        # Blocks of whole lines are read several times faster than single lines.
        while block := file.read(size):
            rest = file.readline(LONGEST_LINE)
            block += rest
            total += len(block)
            if len(rest) == LONGEST_LINE or total > (most or total):
                last = first + block.count(_END)
                raise InputError(
                    f"{path}: line {last}: is too long, or the file is too large, for "
                    f"a {what}; check the path."
                )
            if "\0" in block:
                number = first + block[: block.index("\0")].count(_END)
                raise InputError(
                    f"{path}: line {number}: holds the byte 0, so the file is "
                    "UTF-16 without byte-order mark, or not text; save it as UTF-8."
                )
            following = first + block.count(_END)
            while skip and block:
                line, _, block = block.partition(_END)
                first += 1
                skip -= bool(line.strip())
            if block:
                yield first, block
            first = following


def lines_of(first: int, block: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each non-blank line of a block."""
    for number, line in enumerate(block.split(_END), start=first):
        if line and not line.isspace():
            yield number, line


def count_lines(block: str) -> int:
    """Return the number of non-blank lines of a block."""
    last = block[block.rfind(_END) + 1 :]
    if _BLANK_FIRST.match(block) or _BLANK_BETWEEN.search(block) or last.isspace():
        return sum(1 for _ in lines_of(1, block))
    return block.count(_END) + bool(last)


def read_table(
    path: Path, most: int, what: str = "file"
) -> list[tuple[int, list[str]]]:
    """Return the line number and the cells of each row of a small table.

    Args:
        path: The file, see `text_lines` and `find_separator`.
        most: Largest number of characters in the file.
        what: The expected kind of file, for the message.

    Raises:
        InputError: As for these functions.
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
    """Return the separator of the columns of a table: a comma, a semicolon or a tab.

    Raises:
        InputError: If the header has several of these.
    """
    # Blanks and tabs next to a comma only pad the columns.
    bare = re.sub(r"\s*([,;])\s*", r"\1", re.sub(r'"[^"]*"', "", header.strip()))
    found = [separator for separator in SEPARATORS if separator in bare]
    if len(found) > 1:
        names = " and ".join(SEPARATORS[separator] for separator in found)
        raise InputError(
            f"{path}: its header has {names} between names; use only one separator."
        )
    return found[0] if found else ","


def split_cells(path: Path, line: str, separator: str) -> list[str]:
    """Return the cells of a line without quotes, blanks and trailing empty cells.

    If the columns are not separated by commas, a comma is a decimal sign.
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
    """Return a fault if numbers have both commas and points, else an empty string.

    All lines are consumed.
    """
    comma = point = 0
    for number, line in lines:
        if separator != ",":
            comma = comma or number * ("," in line)
            point = point or number * ("." in line)
    if not (comma and point):
        return ""
    return (
        f"numbers have a comma in line {comma} and a point in line {point}, so one of "
        "them separates thousands; use one decimal sign, and no thousands separator."
    )


def not_a_number(cell: str) -> str:
    """Return the fault of a cell that should hold a number, and the remedy."""
    shown = repr(cell[:80])
    if cell.casefold() in {"", "-", "--", "n/a", "na", "#n/a", "null", "none", "."}:
        return (
            f"is {shown}, which denotes a missing value; give the value, or leave out "
            "the tracer"
        )
    if re.fullmatch(r"[+-]?[0-9.]+(,[0-9]+)+(\.[0-9]*)?([eE].*)?", cell):
        return (
            f"is {shown}, not a number: its comma is a decimal comma or separates "
            "thousands; use a decimal point, and no thousands separator"
        )
    return f"is {shown}, not a number; correct the file"


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    with open(path, "rb") as file:
        packed = file.peek(2).startswith(GZIP)
        raw = gzip.GzipFile(fileobj=file) if packed else file
        first = raw.peek(4)
        utf16 = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        kind = content(path)
        if kind and not (packed or utf16):
            raise InputError(f"{path}: is {kind}, not text; give a text file.")
        encoding = "utf-16" if utf16 else "utf-8-sig"
        yield io.TextIOWrapper(raw, encoding=encoding)  # type: ignore[arg-type]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Convert errors of decompression and decoding to an InputError of one line."""
    try:
        yield
    except UnicodeError as error:
        raise InputError(
            f"{path}: is neither HDF5 nor text in UTF-8 ({error}); save it as UTF-8, "
            "or check the path."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be decompressed by gzip, it is truncated or damaged "
            f"({error}); fetch or make it again."
        ) from error
