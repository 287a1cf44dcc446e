"""Status of the states in a predicted file."""

import numpy as np

from astrokeras.data.tracers.block import Tracers
from astrokeras.models.metadata import LEAST_TRUST, SurrogateMetadata
from astrokeras.models.status import status_of_ranges

FINE, OUTSIDE, NOT_FINITE, LOW_TRUST = 0, 1, 2, 3
STATUS = (
    "0 fine; 1 this state or an earlier one lies outside the training range of "
    "parameters, initial abundances or time; 2 not finite, or beyond the tracer's "
    "length; 3 inside the ranges, with a trust score below 0.5"
)
"""Meaning of the dataset `status` of the file."""


def find_status(
    given: Tracers,
    predicted: np.ndarray,
    columns: np.ndarray,
    metadata: SurrogateMetadata,
    trust: np.ndarray,
) -> np.ndarray:
    """Return the status of each state, see `STATUS`, (n, T+1) uint8.

    Args:
        given: Tracers with state 0.
        predicted: Abundances, (n, T+1, S).
        columns: Columns of their parameters in the surrogate's order, (P,).
        metadata: Of the surrogate.
        trust: Trust scores, NaN if the surrogate is not calibrated, (n, T+1).
    """
    initial, physical = given.abundances[:, 0], given.physical[..., columns]
    bits = status_of_ranges(metadata, initial, physical, given.time)
    # A rollout carries its errors along, so the status never improves.
    status = np.maximum.accumulate(bits > 0, axis=1).astype(np.uint8) * OUTSIDE
    status[(status == FINE) & (trust < LEAST_TRUST)] = LOW_TRUST
    beyond = np.arange(given.time.shape[1]) >= given.length[:, None]
    bad = ~(np.isfinite(predicted) & (predicted >= 0)).all(-1)
    status[bad | beyond] = NOT_FINITE
    return status
