"""Status of a predicted state: bits for the reasons to distrust it.

Keras is not imported here. 0 is fine; a state is reliable if no bit of `UNRELIABLE` is
set.
"""

from enum import IntFlag
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.models.metadata import SurrogateMetadata

LISTED = 5
"""Largest number of rejected tracers that a message lists."""


class Status(IntFlag):
    """Bits of a status.

    A state that follows an excursion keeps its bits for the rest of the rollout, since
    the rollout carries the error along.
    """

    FINE = 0
    PARAMETER = 1  # a parameter lies outside the trained range
    TIME = 2  # a time step or the age lies outside the trained range
    UNLIKE = 4  # the state or its parameters are unlike training
    ERROR = 8  # the expected error is above the threshold
    TOTALS = 16  # element totals could not be restored, or the state is unphysical
    INPUT = 32  # the input is invalid: not finite, negative, or a density of zero
    SOLVED = 64  # the fallback solved it


UNRELIABLE = 63
"""All bits that speak against a state."""
MEANINGS = {
    Status.PARAMETER: "a parameter lies outside the trained range",
    Status.TIME: "a time step or the age lies outside the trained range",
    Status.UNLIKE: "unlike training",
    Status.ERROR: "the expected error is above the threshold",
    Status.TOTALS: "element totals could not be restored, or unphysical",
    Status.INPUT: "invalid input",
    Status.SOLVED: "solved by the fallback",
}
"""What each bit says of a state."""

RISKS = {
    "expected_error": Status.ERROR,
    "parameters": Status.UNLIKE,
    "states": Status.UNLIKE,
    "parameter_ranges": Status.PARAMETER,
    "totals": Status.UNLIKE,
    "reconstruction": Status.UNLIKE,
    "t_max": Status.TIME,
    "conservation": Status.TOTALS,
}
"""The risks of a state, and the bit that each sets where it is too large."""


class RejectedTracers:
    """Rejects tracers with invalid input: by an error, or by a status for each.

    Args:
        count: Number of tracers.
        flag: Whether rejected tracers get a status; otherwise they raise an error.

    Attributes:
        status: Status bits of each tracer, (N,) uint8.
    """

    def __init__(self, count: int, flag: bool = False):
        self.flag = flag
        self.status = np.zeros(count, "u1")

    def reject(self, bad: Any, status: Status, reason: str) -> None:
        """Reject some tracers.

        Args:
            bad: Whether each tracer is rejected, (N,).
            status: Status bit that they get.
            reason: The first invalid value and its valid range.

        Raises:
            InputError: With the reason and the numbers of the tracers, unless `flag`.
        """
        if self.flag:
            self.status[bad] |= np.uint8(status)
            return
        rows = np.flatnonzero(bad)
        listed = ", ".join(map(str, rows[:LISTED])) + ", ..." * (len(rows) > LISTED)
        raise InputError(
            f"{reason} ({len(rows)} of {len(bad)} tracers are rejected: {listed}); "
            'correct them, or pass on_error="flag" to evolve the others.'
        )


def is_reliable(status: np.ndarray) -> np.ndarray:
    """Return where a status has no bit of `UNRELIABLE`, bool of the same shape."""
    return (status & np.uint8(UNRELIABLE)) == 0


def count_bits(status: np.ndarray) -> dict[str, int]:
    """Return how many states have each bit that occurs, by the bit's name."""
    counts = {bit.name: int((status & np.uint8(bit) > 0).sum()) for bit in MEANINGS}
    return {str(name).lower(): count for name, count in counts.items() if count}


def status_of_ranges(
    metadata: SurrogateMetadata,
    initial: np.ndarray,
    physical: np.ndarray,
    time: np.ndarray,
) -> np.ndarray:
    """Return the status that follows from the training ranges, (N, T+1) uint8.

    Args:
        metadata: Of the surrogate.
        initial: Abundances of state 0, (N, S).
        physical: Parameters, (N, T, P), or (N, T, 3, P).
        time: Years of the states, (N, T+1).
    """
    leaving = metadata.outside_parameters(physical).any(-1)
    if leaving.ndim == 3:
        leaving = leaving.any(-1)
    unlike = (metadata.initial_excess(initial) > 0).any(-1)
    status = np.zeros(time.shape, "u1")
    status[:, 1:] |= _bit(np.logical_or.accumulate(leaving, axis=1), Status.PARAMETER)
    status |= _bit(metadata.beyond_t_max(time), Status.TIME)
    return status | _bit(unlike, Status.UNLIKE)[:, None]


def status_of_risks(too_large: np.ndarray) -> np.ndarray:
    """Return the bits of risks that are too large, (..., risks) to (...) uint8."""
    bits = np.array([int(bit) for bit in RISKS.values()], "u1")
    return np.bitwise_or.reduce(np.where(too_large, bits, np.uint8(0)), axis=-1)


def _bit(where: Any, bit: Status) -> np.ndarray:
    return where.astype("u1") * np.uint8(bit)
