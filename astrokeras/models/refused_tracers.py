"""What becomes of tracers that cannot be evolved: an error, or a mark on each."""

from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.models.status import Status

NAMED = 5  # tracers whose numbers a message tells


class Refused:
    """Tracers whose input is refused.

    Args:
        count: Number of tracers.
        flagged: Whether they are marked; an error by default.

    Attributes:
        status: What speaks against each tracer, (N,) uint8.
    """

    def __init__(self, count: int, flagged: bool = False):
        self.flagged = flagged
        self.status = np.zeros(count, "u1")

    def add(self, bad: Any, status: Status, reason: str) -> None:
        """Refuse some tracers.

        Args:
            bad: Which, (N,).
            status: What speaks against them.
            reason: The first of their values, and what it must be.

        Raises:
            InputError: Unless they are marked, naming the tracers.
        """
        if self.flagged:
            self.status[bad] |= np.uint8(status)
            return
        rows = np.flatnonzero(bad)
        named = ", ".join(map(str, rows[:NAMED])) + ", ..." * (len(rows) > NAMED)
        raise InputError(
            f"{reason} ({len(rows)} of {len(bad)} tracers are refused: {named}); "
            'correct them, or pass on_error="flag" to have the others evolved.'
        )
