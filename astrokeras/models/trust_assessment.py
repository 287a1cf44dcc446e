"""Trust assessment: expected errors and status of a surrogate's rollouts."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from astrokeras.models.input_checks import TracerInputs
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.status import (
    Status,
    is_reliable,
    status_of_ranges,
    status_of_risks,
)


@dataclass
class TrustAssessment:
    """Expected errors and risks of the states of rollouts.

    Attributes:
        expected: Expected error of each state, mean over species, dex, (N, T+1); 0 for
            state 0, which is given.
        risks: Risks of each state in the order of `layers.trust_model.RISKS`, as
            multiples of the largest value that is still reliable, (N, T+1, risks).
    """

    expected: np.ndarray
    risks: np.ndarray

    @property
    def status(self) -> np.ndarray:
        """Status of each state, (N, T+1); not 0 where a risk is above 1, or NaN."""
        return status_of_risks(~(self.risks <= 1.0))


def assess_trust(
    surrogate: PhysicalEmulator,
    initial: np.ndarray,
    physical: np.ndarray,
    years: np.ndarray,
    features: np.ndarray,
    far: np.ndarray,
    unrepaired: np.ndarray,
) -> TrustAssessment:
    """Return the trust assessment of rollouts of a calibrated surrogate.

    Args:
        surrogate: The `Surrogate`.
        initial: Abundances of state 0, (N, S).
        physical: Parameters, (N, T, P) or (N, T, 3, P).
        years: Length of the intervals, (N, T).
        features: Of the expected error of states 1 to T, (N, T, F), see `Trust`.
        far: Their largest distances so far, (N, T, 2).
        unrepaired: Largest relative error of a conserved element total, (N, T).
    """
    trust, metadata = surrogate.trust, surrogate.metadata
    expected = ops.convert_to_numpy(trust.expected_error(features))
    elapsed = np.cumsum(years, axis=1) / metadata.t_max
    excess = metadata.parameter_excess(physical)
    if excess.ndim == 4:
        excess = excess.max(2)
    risks = trust.risks(
        expected,
        far[..., 0],
        far[..., 1],
        excess.max(-1),
        initial.astype("f8") @ metadata.stoichiometry,
        reconstruction_error(surrogate, initial),
        np.where(elapsed > 1.001, elapsed, 0.0),
        unrepaired,
    )
    return TrustAssessment(np.pad(expected, ((0, 0), (1, 0))).astype("f4"), risks)


def status_before_rollout(
    surrogate: PhysicalEmulator,
    initial: np.ndarray,
    physical: np.ndarray,
    time: np.ndarray,
    far: bool = True,
) -> np.ndarray:
    """Return the status that follows from the inputs alone, (N, T+1) uint8.

    Besides the training ranges it knows, with calibration, how far the parameters are
    from those of training, unless `far` is false. The other arguments are those of
    `status_of_ranges`.
    """
    status = status_of_ranges(surrogate.metadata, initial, physical, time)
    trust = surrogate.trust
    if trust is not None and far:
        mean = physical if physical.ndim == 3 else physical[:, :, 0]
        distance = surrogate.functions.distances(mean)
        largest = np.maximum.accumulate(distance, axis=1)
        status[:, 1:][largest > trust.value("largest")[0]] |= np.uint8(Status.UNLIKE)
    return status


def covered(surrogate: PhysicalEmulator, inputs: TracerInputs) -> np.ndarray:
    """Return which states `Surrogate.covers`, (N, T) bool."""
    status = np.repeat(inputs.rejected[:, None], inputs.time.shape[1], axis=1)
    good = np.flatnonzero(inputs.rejected == 0)
    with surrogate.functions.lock:
        status[good] = status_before_rollout(surrogate, *inputs.rows(good))
    return is_reliable(status)[:, 1:]


def scale_parameters(surrogate: PhysicalEmulator, physical: np.ndarray) -> np.ndarray:
    """Return scaled means of parameters, (N, T, P)."""
    mean = physical if physical.ndim == 3 else physical[:, :, 0]
    offset, scale = surrogate.parameter_scaler.get_weights()
    return (np.log10(mean) - offset) / scale


def reconstruction_error(
    surrogate: PhysicalEmulator, abundances: np.ndarray
) -> np.ndarray:
    """Return the mean error of `decode(encode(x))`, dex, (..., S) to (...)."""
    restored = surrogate.reconstruct(abundances)
    return np.abs(np.log10(restored) - np.log10(abundances)).mean(-1)
