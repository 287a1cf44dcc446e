"""Results log: solved tracers in the order in which they finish, safe from kills."""

import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np

RECORD = struct.Struct("<4sqfIqI")
"""Mark, row, seconds, states (0 for a failure), size and checksum of the content.

The content is the compressed abundances, if there are any, and the reason why there are
not more, if there is one.
"""
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
        states: Number of its solved states, (rows,); 0 for a failure.
        seconds: Wall time of the solver, (rows,).
    """

    def __init__(self, path: Path, rows: int, species: int):
        self.species = species
        self.failed = np.zeros(rows, bool)
        self.states = np.zeros(rows, np.int64)
        self.seconds = np.zeros(rows, np.float32)
        self._position = np.full(rows, -1)
        self._synced = time.monotonic()
        self._file = path.open("a+b", buffering=0)
        self._file.truncate(self._scan())
        self._file.seek(0, os.SEEK_END)

    @property
    def done(self) -> np.ndarray:
        return self._position >= 0

    def rate(self) -> dict[str, float]:
        """Return the solver's steps per second of wall time, as a file's attribute."""
        steps = float(np.maximum(self.states - 1, 0).sum())
        return {"solver_steps_per_second": steps / max(float(self.seconds.sum()), 1e-9)}

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
        self.states[row], self.seconds[row] = states, seconds

    def add(
        self, row: int, seconds: float, abundances: np.ndarray | None, reason: str = ""
    ) -> None:
        """Append a tracer.

        Args:
            row: Row number in the file of trajectories.
            seconds: Wall time of the solver.
            abundances: Solved states, (R, S) float32, R <= T+1; `None` if there are
                none.
            reason: Why the solver failed or stopped.
        """
        states, content = 0, reason.encode()
        if abundances is not None:
            states = len(abundances)
            content = zlib.compress(abundances.astype("<f4").tobytes(), 1) + content
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
        """Return the abundances of a solved tracer, (R, S) float32."""
        states, content = self._read(row)
        flat = np.frombuffer(zlib.decompressobj().decompress(content), "<f4")
        return flat.reshape(states, self.species)

    def reason(self, row: int) -> str:
        """Return the reason why the solver failed or stopped; empty if it did not."""
        states, content = self._read(row)
        if states:
            packed = zlib.decompressobj()
            packed.decompress(content)
            content = packed.unused_data
        return content.decode()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "ResultsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
