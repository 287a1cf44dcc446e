"""Full output of UCLCHEM before its version 2: a page of text for each time.

The subroutine `output` of UCLCHEM 1.3 writes eleven lines of the form `visual
extinction av = 2.0 mags` and then all species, four in a line, `H = 1.000E+00`. A page
is a row of the table; the depth points become the column `point`.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from astrokeras.data.readers.text_rows import TextRows
from astrokeras.errors import InputError
from astrokeras.system.text_files import text_lines

_BEGIN = "age of cloud"
_NUMBER = r"\s*=\s*([-+]?[0-9.]+(?:[DdEe]?[-+]?[0-9]+)?)"
_PHYSICS = {
    _BEGIN: "Time",
    "total hydrogen density": "Density",
    "cloud temperature": "gasTemp",
    "visual extinction": "Av",
    "radiation field": "radfield",
    "cosmic ray ioniz. rate": "zeta",
}
_VALUE = re.compile(_NUMBER)
_DEPTH = re.compile("depth" + _NUMBER)
_SPECIES = re.compile(r"(\S+)" + _NUMBER)
_IGNORED = ("h2 formation rate", "c / htot", "mg / htot", "fh2")


class UclchemPages(TextRows):
    """Full output of UCLCHEM before version 2, read sequentially.

    Args:
        path: The file.

    Raises:
        InputError: If a page lacks a number or differs from the first in its species.
    """

    def __init__(self, path: Path):
        super().__init__(path, None)
        self.rows = 0
        for _, line in text_lines(path):
            self.rows += line.lstrip().startswith(_BEGIN)
        self.columns = next(self._pages())[1]

    def _pages(self) -> Iterator[tuple[int, tuple[str, ...], list[str]]]:
        """Yield the first line, the names and the numbers of each page."""
        begin, names, values = 0, list[str](), list[str]()
        for number, line in text_lines(self._path):
            text = line.strip()
            known = next((key for key in _PHYSICS if text.startswith(key)), None)
            depth = _DEPTH.search(text)
            if known == _BEGIN and names:
                yield begin, tuple(names), values
                names, values = [], []
            if known is not None:
                begin = number if known == _BEGIN else begin
                match = _VALUE.search(text)
                if match is None:
                    raise InputError(
                        f"{self._path}: line {number}: {known} has no number; the file "
                        "is damaged, write it again."
                    )
                names.append(_PHYSICS[known])
                values.append(match[1])
            elif text.startswith(_IGNORED) or depth:
                if depth:
                    names.append("point")
                    values.append(depth[1])
            else:
                for name, value in _SPECIES.findall(text):
                    names.append(name)
                    values.append(value)
        yield begin, tuple(names), values

    def _blocks(self) -> Iterator[tuple[int, str]]:
        for number, names, values in self._pages():
            if names != self.columns:
                raise InputError(
                    f"{self._path}: the page of line {number} has other quantities "
                    "than the first; the file is cut off, write it again."
                )
            yield number, " ".join(values)


def is_uclchem_pages(path: Path) -> bool:
    """Return whether a text file begins with a page of UCLCHEM's output."""
    return any(
        line.lstrip().startswith(_BEGIN) for _, line in islice(text_lines(path), 1)
    )
