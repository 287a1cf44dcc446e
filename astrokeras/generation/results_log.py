"""A file of results in the order in which they come, whole after any interruption."""

import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RECORD = struct.Struct("<4sqfIqI")
"""Mark, row, seconds, states (0: it failed), bytes that follow, their checksum."""
MARK = b"\x8eakj"
SYNC = 5.0
"""Seconds between two writes that outlast a power failure, not only a kill."""


class Journal:
    """Solved tracers by their row, appended one at a time; memory does not grow.

    A record that was being written when its writer was killed is dropped by the next
    one that opens the file.

    Args:
        path: The file; it is made if it is not there.
        rows: Tracers there will be.
        species: Of the abundances.

    Attributes:
        done: Rows with a record, (rows,) bool.
        failed: Rows whose record says why they failed, (rows,) bool.
        seconds: What each took, (rows,).
    """

    def __init__(self, path: Path, rows: int, species: int):
        self.species = species
        self.failed = np.zeros(rows, bool)
        self.seconds = np.zeros(rows, np.float32)
        self._place = np.full(rows, -1)
        self._synced = time.monotonic()
        self._file = path.open("a+b", buffering=0)
        self._file.truncate(self._scan())
        self._file.seek(0, os.SEEK_END)

    @property
    def done(self) -> np.ndarray:
        return self._place >= 0

    def _scan(self) -> int:
        """Find the records that are there; return where the last whole one ends."""
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

    def _note(self, row: int, place: int, seconds: float, states: int) -> None:
        self._place[row], self.failed[row] = place, states == 0
        self.seconds[row] = seconds

    def add(
        self, row: int, seconds: float, abundances: np.ndarray | None, reason: str = ""
    ) -> None:
        """Append a tracer.

        Args:
            row: Its row among the tracks.
            seconds: What it took.
            abundances: Of its states, (T+1, S) float32; `None` if it failed.
            reason: Why it failed.
        """
        if abundances is None:
            states, content = 0, reason.encode()
        else:
            states = len(abundances)
            content = zlib.compress(abundances.astype("<f4").tobytes(), 1)
        head = MARK, row, seconds, states, len(content), zlib.crc32(content)
        place = self._file.tell()
        self._append(RECORD.pack(*head) + content, place)
        self._note(row, place, seconds, states)
        if time.monotonic() > self._synced + SYNC:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _append(self, record: bytes, place: int) -> None:
        """Write a whole record or, on a full disk, nothing."""
        left = memoryview(record)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(place)
            raise

    def _read(self, row: int) -> tuple[int, bytes]:
        place, handle = int(self._place[row]), self._file.fileno()
        fields = RECORD.unpack(os.pread(handle, RECORD.size, place))
        return fields[3], os.pread(handle, fields[4], place + RECORD.size)

    def abundances(self, row: int) -> np.ndarray:
        """Return the abundances of a tracer that was solved, (T+1, S) float32."""
        states, content = self._read(row)
        flat = np.frombuffer(zlib.decompress(content), "<f4")
        return flat.reshape(states, self.species)

    def failures(self) -> Iterator[tuple[int, str]]:
        """Iterate over the rows that failed and their reasons."""
        for row in np.flatnonzero(self.failed).tolist():
            yield row, self._read(row)[1].decode()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
