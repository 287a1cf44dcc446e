"""Results log: solved tracers in the order in which they finish, safe from kills."""

import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RECORD = struct.Struct("<4sqfIqI")
"""Mark, row, seconds, states (0 for a failure), size and checksum of the content."""
MARK = b"\x8eakj"
SYNC = 5.0
"""Seconds between two writes that also survive a power failure."""


class ResultsLog:
    """Solved and failed tracers, appended to a file one at a time.

    Memory does not grow with the abundances. A record whose writer was killed is
    dropped when the file is opened again.

    Args:
        path: The file; it is created if it does not exist.
        rows: Number of tracers.
        species: Number of species.

    Attributes:
        done: Whether a tracer has a record, (rows,) bool.
        failed: Whether its record is a failure, (rows,) bool.
        seconds: Wall time of the solver, (rows,).
    """

    def __init__(self, path: Path, rows: int, species: int):
        self.species = species
        self.failed = np.zeros(rows, bool)
        self.seconds = np.zeros(rows, np.float32)
        self._position = np.full(rows, -1)
        self._synced = time.monotonic()
        self._file = path.open("a+b", buffering=0)
        self._file.truncate(self._scan())
        self._file.seek(0, os.SEEK_END)

    @property
    def done(self) -> np.ndarray:
        return self._position >= 0

    def _scan(self) -> int:
        """Read the positions of all records, and return the end of the last one."""
        size, end = os.fstat(self._file.fileno()).st_size, 0
        while end + RECORD.size <= size:
            head = os.pread(self._file.fileno(), RECORD.size, end)
            mark, row, seconds, states, count, checksum = RECORD.unpack(head)
            if mark != MARK or end + RECORD.size + count > size:
                break
            content = os.pread(self._file.fileno(), count, end + RECORD.size)
            if checksum != zlib.crc32(content):
                break
            self._note(row, end, seconds, states)
            end += RECORD.size + count
        return end

    def _note(self, row: int, position: int, seconds: float, states: int) -> None:
        self._position[row], self.failed[row] = position, states == 0
        self.seconds[row] = seconds

    def add(
        self, row: int, seconds: float, abundances: np.ndarray | None, reason: str = ""
    ) -> None:
        """Append a tracer.

        Args:
            row: Row number in the file of trajectories.
            seconds: Wall time of the solver.
            abundances: Solved states, (T+1, S) float32; `None` if the solver failed.
            reason: Why the solver failed.
        """
        if abundances is None:
            states, content = 0, reason.encode()
        else:
            states = len(abundances)
            content = zlib.compress(abundances.astype("<f4").tobytes(), 1)
        head = MARK, row, seconds, states, len(content), zlib.crc32(content)
        position = self._file.tell()
        self._append(RECORD.pack(*head) + content, position)
        self._note(row, position, seconds, states)
        if time.monotonic() > self._synced + SYNC:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _append(self, record: bytes, position: int) -> None:
        """Write a complete record or, on a full disk, nothing."""
        rest = memoryview(record)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(position)
            raise

    def _read(self, row: int) -> tuple[int, bytes]:
        position, handle = int(self._position[row]), self._file.fileno()
        fields = RECORD.unpack(os.pread(handle, RECORD.size, position))
        return fields[3], os.pread(handle, fields[4], position + RECORD.size)

    def abundances(self, row: int) -> np.ndarray:
        """Return the abundances of a solved tracer, (T+1, S) float32."""
        states, content = self._read(row)
        flat = np.frombuffer(zlib.decompress(content), "<f4")
        return flat.reshape(states, self.species)

    def failures(self) -> Iterator[tuple[int, str]]:
        """Yield the row and the reason of each failure."""
        for row in np.flatnonzero(self.failed).tolist():
            yield row, self._read(row)[1].decode()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "ResultsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
