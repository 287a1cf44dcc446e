"""The status of a predicted state: bits that say what speaks against it.

Without Keras. 0 is fine; a state is reliable if no bit of `UNRELIABLE` is set.
"""

from enum import IntFlag
from typing import Any

import numpy as np


class Status(IntFlag):
    """Bits of a status.

    What lies outside or is unlike training stays so for the rest of the rollout, which
    carries on what it went through.
    """

    FINE = 0
    PARAMETER = 1  # a parameter lies outside the trained range
    TIME = 2  # an interval or the age does
    UNLIKE = 4  # a state or a setting is unlike training
    ERROR = 8  # the expected error is above the threshold
    TOTALS = 16  # element totals could not be restored, or the state cannot be
    INPUT = 32  # the input is bad: not finite, negative, or a density of zero
    SOLVED = 64  # the fallback solved it


UNRELIABLE = 63
"""All bits that speak against a state."""

RISKS = {
    "expected_error": Status.ERROR,
    "parameters": Status.UNLIKE,
    "states": Status.UNLIKE,
    "box": Status.PARAMETER,
    "totals": Status.UNLIKE,
    "reconstruction": Status.UNLIKE,
    "duration": Status.TIME,
    "conservation": Status.TOTALS,
}
"""Which bit each of `layers.trust.RISKS` sets where it is too large."""


def outside(
    limits: Any, initial: np.ndarray, physical: np.ndarray, time: np.ndarray
) -> np.ndarray:
    """Return what the training ranges alone say of rollouts, (N, T+1) uint8.

    Args:
        limits: `Limits` of the surrogate.
        initial: Abundances of state 0, (N, S).
        physical: Parameters, (N, T, P), or (N, T, 3, P).
        time: Years of the states, (N, T+1).
    """
    leaving = limits.outside_parameters(physical).any(-1)
    if leaving.ndim == 3:
        leaving = leaving.any(-1)
    unlike = (limits.start_excess(initial) > 0).any(-1)
    status = np.zeros(time.shape, "u1")
    status[:, 1:] |= _bit(np.logical_or.accumulate(leaving, axis=1), Status.PARAMETER)
    status |= _bit(limits.beyond_duration(time), Status.TIME)
    return status | _bit(unlike, Status.UNLIKE)[:, None]


def of_risks(too_large: np.ndarray) -> np.ndarray:
    """Return the bits of risks that are too large, (..., risks) to (...) uint8."""
    bits = np.array([int(bit) for bit in RISKS.values()], "u1")
    return np.bitwise_or.reduce(np.where(too_large, bits, np.uint8(0)), axis=-1)


def _bit(where: Any, bit: Status) -> np.ndarray:
    return where.astype("u1") * np.uint8(bit)
