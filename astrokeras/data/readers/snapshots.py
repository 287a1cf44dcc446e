"""Sets of HDF5 snapshots with numbered particles, read particle by particle.

Each snapshot holds all particles at one time, in any order. They are sorted by number
into scratch files, a column each, so that a range of particles is one piece of every
file: memory holds one column of one snapshot, and a byte for each particle and time.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from astrokeras.data.readers.snapshot_layouts import (
    STANDARD,
    Snapshot,
    common,
    find_snapshot,
)
from astrokeras.data.tracers.hdf5 import open_hdf5
from astrokeras.data.tracers.hdf5_sandbox import is_hdf5
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import check_space

SUFFIXES = (".hdf5", ".h5", ".hdf", ".phdf")
_WINDOW = 65536
"""Number of rows that are kept once read."""
_COARSE = 1024
"""Particles between two stored sums of the particles before them."""


class SnapshotTable:
    """Particles of a set of snapshots as tracers, sorted by number and time.

    A particle that leaves the simulation and returns becomes a tracer for each stay;
    the first keeps its number.

    Args:
        paths: The files of the set in any order; files of one time are its parts.
        stack: Stack that removes the scratch files.

    Raises:
        InputError: If a file is no snapshot, has a particle twice, or another unit of
            time than the others.
    """

    aliases = STANDARD
    """Names of parameters, by those of the codes in small letters."""
    loose = True
    """Whether columns that are neither parameters nor species are left out."""
    must_state = ("Time", "Density")
    """Quantities whose units differ from run to run, and are never guessed."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack):
        self.name = str(paths[0]) + f" and {len(paths) - 1} more" * (len(paths) > 1)
        headers = [(path, _header(path)) for path in paths]
        first = headers[0][1]
        for path, header in headers:
            if header.time_unit != first.time_unit:
                raise InputError(
                    f"{path}: states its time in {header.time_unit or 'no unit'}, but "
                    f"{paths[0]} in {first.time_unit or 'no unit'}; give one set of "
                    "snapshots."
                )
        headers.sort(key=lambda pair: pair[1].time)
        self._names = common([header for _, header in headers])
        self.columns = ("Time", *self._names, "Tracer", "Simulation")
        self.units = {n: u for n, u in first.units.items() if n in self._names}
        if first.time_unit:
            self.units["Time"] = first.time_unit
        self._scratch = Path(
            stack.enter_context(TemporaryDirectory(prefix="astrokeras-"))
        )
        times: list[float] = []
        numbers: list[np.ndarray] = []
        for time, group in groupby(headers, key=lambda pair: pair[1].time):
            numbers.append(self._sort(len(times), [path for path, _ in group]))
            times.append(time)
        self._times = np.array(times)
        self._place(numbers)
        self._held: tuple[tuple[int, ...], int, np.ndarray] | None = None

    def _sort(self, number: int, paths: Sequence[Path]) -> np.ndarray:
        """Write the sorted columns of one time, and return the sorted numbers."""
        with ExitStack() as stack:
            files = [stack.enter_context(open_hdf5(path)) for path in paths]
            parts = [snapshot for file in files if (snapshot := find_snapshot(file))]
            ids = np.concatenate(
                [_whole(path, p.ids()) for path, p in zip(paths, parts, strict=True)]
            )
            order = np.argsort(ids, kind="stable")
            ids = ids[order]
            double = ids[1:][ids[1:] == ids[:-1]]
            if len(double):
                raise InputError(
                    f"{paths[0]}: holds particle {double[0]} twice at one time; number "
                    "particles uniquely."
                )
            for index, name in enumerate(self._names):
                column = np.concatenate([part.columns[name]() for part in parts])
                if len(column) != len(ids):
                    raise InputError(
                        f"{paths[0]}: {name} has {len(column)} values for {len(ids)} "
                        "particles; the file is damaged, write it again."
                    )
                column = column.astype("f8")
                check_space(self._scratch / "column", column.nbytes)
                column[order].tofile(self._scratch / f"{number}-{index}")
        return ids

    def _place(self, numbers: list[np.ndarray]) -> None:
        """Find the rows of all particles."""
        ids = numbers[0]
        for other in numbers[1:]:
            if len(other) != len(ids) or (other != ids).any():
                ids = np.union1d(ids, other)
        present = np.zeros((len(ids), len(numbers)), bool)
        for index, own in enumerate(numbers):
            present[np.searchsorted(ids, own), index] = True
        self._present = present
        self._offsets = np.concatenate([[0], np.cumsum(present.sum(1))])
        self.rows = int(self._offsets[-1])
        coarse = np.add.reduceat(
            present, np.arange(0, len(ids), _COARSE), axis=0, dtype="i8"
        )
        self._before = np.concatenate(
            [np.zeros((1, len(numbers)), "i8"), coarse.cumsum(0)]
        )
        stays = present[:, 0] + (present[:, 1:] & ~present[:, :-1]).sum(1)
        self._extra = np.concatenate([[0], np.cumsum(stays - 1)])
        self.notes = []
        if len(ids) and (ids[0] < 0 or ids[-1] >= 2**52):
            self.notes.append(f"{self.name}: particles are numbered anew, from 0 on")
            ids = np.arange(len(ids))
        self._ids = ids
        returned = int((stays > 1).sum())
        if returned:
            which = ", ".join(map(str, ids[stays > 1][:3].tolist()))
            self.notes.append(
                f"{self.name}: particles leave and return: {returned}, first {which}; "
                f"each stay is a tracer, the later ones numbered from {self._next} on"
            )

    @property
    def _next(self) -> int:
        """Number of the first tracer that is a later stay."""
        return int(self._ids[-1]) + 1 if len(self._ids) else 0

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        wanted = tuple(columns)
        if self._held is not None:
            known, first, values = self._held
            if known == wanted and first <= start and stop <= first + len(values):
                return values[start - first : stop - first].copy()
        last = min(max(stop, start + _WINDOW), self.rows)
        values = self._window(start, last, wanted)
        self._held = (wanted, start, values)
        return values[: stop - start].copy()

    def _window(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        first = int(np.searchsorted(self._offsets, start, side="right")) - 1
        last = int(np.searchsorted(self._offsets, stop, side="left"))
        present = self._present[first:last]
        particle, time = np.nonzero(present)
        values = np.empty((len(particle), len(columns)))
        names = {index + 1: index for index in range(len(self._names))}
        for place, column in enumerate(columns):
            if column == 0:
                values[:, place] = self._times[time]
            elif column in names:
                self._fill(values[:, place], names[column], first, last, time)
            elif column == len(self._names) + 1:
                values[:, place] = self._tracers(first, present, particle, time)
            else:
                values[:, place] = 0
        skipped = start - int(self._offsets[first])
        return values[skipped : skipped + stop - start]

    def _fill(
        self, out: np.ndarray, column: int, first: int, last: int, time: np.ndarray
    ) -> None:
        """Read a column of particles `first` to `last` from the files of all times."""
        begin, end = self._count(first), self._count(last)
        for number in range(len(self._times)):
            count = int(end[number] - begin[number])
            if count:
                out[time == number] = np.fromfile(
                    self._scratch / f"{number}-{column}",
                    count=count,
                    offset=8 * int(begin[number]),
                )

    def _count(self, particle: int) -> np.ndarray:
        """Return how many particles before one are present at each time, (times,)."""
        block = particle // _COARSE
        rest = self._present[block * _COARSE : particle]
        return self._before[block] + rest.sum(0)

    def _tracers(
        self, first: int, present: np.ndarray, particle: np.ndarray, time: np.ndarray
    ) -> np.ndarray:
        begins = present.copy()
        begins[:, 1:] &= ~present[:, :-1]
        stay = np.cumsum(begins, axis=1)[particle, time]
        later = self._next + self._extra[first + particle] + stay - 2
        return np.where(stay == 1, self._ids[first + particle], later)


def snapshots_of(path: Path, layout: str = "snapshots") -> list[Path]:
    """Return the snapshots that a path leads to: itself, or those in a folder.

    Args:
        path: A file or a folder.
        layout: With "snapshots" a file is one in any case, with "auto" by its content.

    Returns:
        Paths, none if there is no snapshot.

    Raises:
        InputError: If a file is not safe to read, or its particles cannot be read.
    """
    if layout not in ("auto", "snapshots"):
        return []
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        return [p for p in inside if _is_snapshot(p)]
    return [path] if layout == "snapshots" or _is_snapshot(path) else []


def _is_snapshot(path: Path) -> bool:
    if not is_hdf5(path):
        return False
    with open_hdf5(path) as file:
        return find_snapshot(file) is not None


def _header(path: Path) -> Snapshot:
    """Return time, units and columns of a file, whose values are not read.

    Raises:
        InputError: If it is no snapshot.
    """
    with open_hdf5(path) as file:
        snapshot = find_snapshot(file)
    if snapshot is None:
        raise InputError(
            f"{path}: holds no numbered particles of GADGET, AREPO, SWIFT, FLASH, "
            "Parthenon or Phantom; give snapshots alone."
        )
    return snapshot


def _whole(path: Path, ids: np.ndarray) -> np.ndarray:
    """Return numbers of particles as 64-bit integers."""
    whole = ids.astype("i8")
    if ids.dtype.kind == "f" and (whole != ids).any():
        raise InputError(f"{path}: particles are not numbered by whole numbers.")
    return whole
