"""The part of every batch that one of several processes makes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """Which part of each batch a process makes, of all that a batch is spread over.

    A batch is filled up to a multiple of the devices, with examples that do not count.
    Among several processes its examples are sorted by tracer and each process takes a
    consecutive part, so that it reads few other tracers than its own.

    Attributes:
        rank: Number of this process.
        processes: How many there are.
        devices: Of all processes, the same number of each.
    """

    rank: int = 0
    processes: int = 1
    devices: int = 1

    def whole(self, count: int) -> int:
        """Return a batch's size as it is when it is filled up."""
        return -(-count // self.devices) * self.devices

    def part(self, tracers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which examples this process takes, and which of these count.

        Args:
            tracers: That the examples of a batch are of, (n,).
        """
        count = len(tracers)
        order = np.arange(count)
        if self.processes > 1:
            order = np.argsort(tracers, kind="stable")
        # The last one again: its tracer is read anyway.
        order = np.pad(order, (0, self.whole(count) - count), "edge")
        size = len(order) // self.processes
        mine = slice(self.rank * size, (self.rank + 1) * size)
        return order[mine], (np.arange(len(order)) < count)[mine]
