"""Whitespace tables, as Fortran programs and KROME write them.

Comments begin with `#` or `!`. The names stand in a comment or a line of their own
above the numbers, a second such line may hold units; both may be missing. KROME's tests
write `#time` and the species of `krome_get_names_header` above rows of `999E12.3e3`;
Phantom's `.ev` files number their columns, `# [01  time] [02  ekin]`.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from astrokeras.data.readers.text_rows import SIZE, TextRows, plain_numbers
from astrokeras.data.tracers.units import is_unit
from astrokeras.errors import InputError
from astrokeras.system.text_files import (
    count_lines,
    find_separator,
    text_blocks,
    text_lines,
)

COMMENTS = ("#", "!", "%")
_HEAD = 200
"""Largest number of lines above the first row of numbers."""
# A line that is a comment, or the end of one after an exclamation mark.
_COMMENT = re.compile(r"^[ \t]*[#%].*$|!.*$", re.MULTILINE)
_BRACKETED = re.compile(r"\[\s*\d+\s+([^\]]+?)\s*\]")
_NUMBERED = re.compile(r"(?:col(?:umn)?s?\s*)?(\d+)\s*[:=)]\s*(\S+).*", re.IGNORECASE)
_WITH_UNIT = re.compile(r"(.+?)[\[(]([^\])]+)[\])]")


class TextTable(TextRows):
    """Table whose cells are separated by blanks, read sequentially.

    Columns without names are called `column1`, `column2` and so on.

    Args:
        path: The file.
        names: Names of the columns where the format fixes them, else those of the file.

    Attributes:
        units: Units of columns, by name, that the header states.

    Raises:
        InputError: If it holds no rows of at least two numbers, or not of one length.
    """

    def __init__(self, path: Path, names: tuple[str, ...] = ()):
        super().__init__(path, None)
        head, count = list[str](), 0
        for _, line in text_lines(path):
            if count := len(numbers(line)):
                break
            head.append(line.strip())
        self._above = len(head)
        self.rows = sum(count_lines(text) for _, text in self._blocks())
        if count < 2:
            raise InputError(
                f"{path}: holds no row of at least two numbers between blanks; give a "
                "table with a row for each tracer and time."
            )
        found, self.units = _header(head, count)
        self.has_names = bool(found)
        self.columns = names or found or tuple(f"column{i + 1}" for i in range(count))

    def _blocks(self) -> Iterator[tuple[int, str]]:
        for first, text in text_blocks(self._path, size=SIZE, skip=self._above):
            if any(sign in text for sign in COMMENTS):
                text = _COMMENT.sub("", text)
            yield first, text


def is_text_table(path: Path) -> bool:
    """Return whether a text file has rows of numbers between blanks."""
    for _, line in islice(text_lines(path), _HEAD):
        if len(numbers(line)) > 1:
            return True
        # Tabs below a plain header separate cells that may be empty: a CSV file.
        plain = not line.lstrip().startswith(COMMENTS)
        if plain and find_separator(path, line) in line.strip():
            return False
    return False


def numbers(line: str) -> list[float]:
    """Return the numbers of a row between blanks, none if any cell is no number."""
    try:
        return [float(plain_numbers(cell)) for cell in line.partition("!")[0].split()]
    except ValueError:
        return []


def _header(head: list[str], count: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names of the columns and the units that the lines above state."""
    listed = {}
    rows: list[list[str]] = []
    for line in head:
        bare = line.lstrip("".join(COMMENTS)).strip()
        found = _BRACKETED.findall(bare)
        cells = [name.split()[0] for name in found] if found else bare.split()
        if len(cells) == count and not numbers(" ".join(cells)):
            rows.append(cells)
        if match := _NUMBERED.fullmatch(bare):
            listed[int(match[1])] = match[2]
    if not rows and sorted(listed) == list(range(1, count + 1)):
        rows = [[listed[number + 1] for number in range(count)]]
    if not rows:
        return (), {}
    units = {}
    names = []
    for cell in rows[0]:
        match = _WITH_UNIT.fullmatch(cell)
        if match and is_unit(match[2]):
            cell = match[1]
            units[cell] = match[2]
        names.append(cell)
    for cells in rows[1:2]:
        stated = [cell.strip("()[]") for cell in cells]
        stated = [re.sub(r"^log(?:10)?[(]?(.+?)[)]?$", r"\1", unit) for unit in stated]
        units |= {n: u for n, u in zip(names, stated, strict=True) if is_unit(u)}
    return tuple(names), units
