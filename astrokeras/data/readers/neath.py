"""Particles of NEATH: rows of tracers without a header, one particle after another.

The columns are those that UCLCHEM's examples of NEATH read (`NEATH_COLUMNS` beside
`neath_small_data.out` in its `examples/fortran_cli`): time [s], position [cm], density
of H nuclei [cm^-3], velocity [cm/s], gas temperature [K], abundances of H2 and CO in
the simulation, columns of H nuclei, H2 and CO [cm^-2], and possibly the temperature of
the dust [K]. A new particle begins where the time does not increase.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from astrokeras.data.readers.table import ROWS
from astrokeras.data.readers.text_table import TextTable, numbers
from astrokeras.system.text_files import text_lines

_READ = {
    "Time": 0,
    "Density": 4,
    "gasTemp": 8,
    "Av": 11,
    "N(H2)": 12,
    "N(CO)": 13,
    "dustTemp": 14,
}
_COLUMNS = 14
_UNITS = {
    "Time": "s",
    "Density": "H nuclei cm^-3",
    "gasTemp": "K",
    "dustTemp": "K",
    "Av": "cm^-2",
    "N(H2)": "cm^-2",
    "N(CO)": "cm^-2",
}


class NeathTable:
    """Tracers of NEATH, read sequentially.

    Position, velocity and the abundances of the simulation are left out. `Tracer`
    counts the particles from 0; the file is one simulation.

    Args:
        path: The file.

    Raises:
        InputError: For a row that does not hold the numbers of the format.
    """

    dataset = "neath"
    """Dataset whose parameters fit the columns."""

    def __init__(self, path: Path):
        self._table = TextTable(path)
        self.name, self.rows = self._table.name, self._table.rows
        found = {n: i for n, i in _READ.items() if i < len(self._table.columns)}
        self.columns = (*found, "Tracer", "Simulation")
        self._places = list(found.values())
        self.units = {name: unit for name, unit in _UNITS.items() if name in found}
        self._first: np.ndarray | None = None

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        wanted = list(columns)
        out = np.zeros((stop - start, len(wanted)))
        plain = [(k, c) for k, c in enumerate(wanted) if c < len(self._places)]
        if plain:
            places = [self._places[c] for _, c in plain]
            out[:, [k for k, _ in plain]] = self._table.read(start, stop, places)
        tracer = self.columns.index("Tracer")
        if tracer in wanted:
            particle = np.searchsorted(
                self._starts(), np.arange(start, stop), side="right"
            )
            out[:, wanted.index(tracer)] = particle - 1
        return out

    def _starts(self) -> np.ndarray:
        """Return the first row of each particle, found once."""
        if self._first is None:
            starts, last = [np.zeros(1, np.int64)], np.inf
            for row in range(0, self.rows, ROWS):
                time = self._table.read(row, min(row + ROWS, self.rows), [0])[:, 0]
                before = np.concatenate([[last], time[:-1]])
                starts.append(
                    row + np.flatnonzero((time <= before) & (before < np.inf))
                )
                last = time[-1]
            self._first = np.concatenate(starts)
        return self._first


def is_neath(path: Path) -> bool:
    """Return whether the first row of a text file has NEATH's numbers.

    Without a header only the values tell: H2 and CO are bound by the hydrogen and the
    carbon, and their columns by that of H nuclei.
    """
    for _, line in islice(text_lines(path), 1):
        row = numbers(line)
        if len(row) not in (_COLUMNS, _COLUMNS + 1) or row[0] < 0:
            return False
        density, temperature = row[4], row[8]
        h2, co = row[9:11]
        hydrogen, n_h2, n_co = row[11:14]
        return (
            density > 0
            and temperature > 0
            and 0 <= h2 <= 0.501
            and 0 <= co < 1e-2
            and hydrogen > 1e15
            and 0 <= n_h2 <= 0.501 * hydrogen
            and 0 <= n_co <= 1e-2 * hydrogen
        )
    return False
