"""Trust assessment: expected errors, risks and status of a surrogate's rollouts.

A state has `RISKS`, each a multiple of the largest value that is still reliable: the
expected error relative to `reliability_threshold`, the largest distances of parameters
and of states so far relative to those of the calibration, parameters outside their
ranges relative to 0.1 dex, element totals of the input outside the trained range
relative to 0.02 dex, the reconstruction error of state 0, time beyond `t_max`, and
element totals that conservation could not restore relative to 1e-5. A distance or an
excursion counts for the rest of the rollout. A state with a risk above 1 is not
reliable.
"""

from dataclasses import dataclass

import numpy as np

from astrokeras.layers.trust_model import Trust
from astrokeras.models.input_checks import TracerInputs
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.status import (
    RISKS,
    Status,
    is_reliable,
    status_of_ranges,
    status_of_risks,
)

PARAMETER_DEX = 0.1
"""Distance of a parameter from its range, dex, that is still reliable."""
TOTALS_DEX = 0.02
"""Distance of an element total from its trained range, dex, that is still reliable."""
UNREPAIRED = 1e-5
"""Relative error of a conserved element total that is still reliable."""


@dataclass
class TrustAssessment:
    """Expected errors and risks of the states of rollouts.

    Attributes:
        expected: Expected error of each state, mean over species, dex, (N, T+1); 0 for
            state 0, which is given.
        risks: Risks of each state in the order of `RISKS`, as multiples of the largest
            value that is still reliable, (N, T+1, risks).
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
    expected: np.ndarray,
    far: np.ndarray,
    unrepaired: np.ndarray,
) -> TrustAssessment:
    """Return the trust assessment of rollouts of a calibrated surrogate.

    Args:
        surrogate: The `Surrogate`.
        initial: Abundances of state 0, (N, S).
        physical: Parameters, (N, T, P) or (N, T, 3, P).
        years: Length of the intervals, (N, T).
        expected: Expected errors of states 1 to T, (N, T).
        far: Their largest distances so far, (N, T, 2).
        unrepaired: Largest relative error of a conserved element total, (N, T).
    """
    trust, metadata = surrogate.trust, surrogate.metadata
    elapsed = np.cumsum(years, axis=1) / metadata.t_max
    excess = metadata.parameter_excess(physical)
    if excess.ndim == 4:
        excess = excess.max(2)
    risks = measure_risks(
        trust,
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


def measure_risks(
    trust: Trust,
    expected: np.ndarray,
    far_setting: np.ndarray,
    far_state: np.ndarray,
    outside: np.ndarray,
    totals: np.ndarray,
    reconstruction: np.ndarray,
    late: np.ndarray,
    unrepaired: np.ndarray,
) -> np.ndarray:
    """Return the `RISKS` of states 0 to T, `(N, T+1, len(RISKS))`.

    Args:
        trust: The calibrated trust model.
        expected: Expected errors of states 1 to T, dex, `(N, T)`.
        far_setting: Largest distance so far in parameters, `(N, T)`.
        far_state: Largest distance so far in latents and parameters, `(N, T)`.
        outside: Distance of parameters from their ranges, dex, `(N, T)`.
        totals: Element totals of state 0, `(N, E)`.
        reconstruction: Reconstruction error of state 0, dex, `(N,)`.
        late: Elapsed time of states 1 to T in units of `t_max` if it is longer,
            otherwise 0, `(N, T)`.
        unrepaired: Largest relative error of a conserved element total, `(N, T)`; NaN
            counts as infinite.
    """
    setting, state, restored = trust.value("largest")
    low, high = trust.value("totals").astype("f8")
    logs = np.log10(np.maximum(totals, 1e-30))
    off = np.maximum(low - logs, logs - high).max(-1)
    found = np.zeros((len(expected), expected.shape[1] + 1, len(RISKS)), "f4")
    found[:, 1:, 0] = expected / trust.reliability_threshold
    found[:, 1:, 1] = far_setting / setting
    found[:, 1:, 2] = far_state / state
    found[:, 1:, 3] = np.maximum.accumulate(outside, axis=1) / PARAMETER_DEX
    found[..., 4] = np.maximum(off, 0.0)[:, None] / TOTALS_DEX
    found[..., 5] = reconstruction[:, None] / restored
    found[:, 1:, 6] = late
    found[:, 1:, 7] = np.where(np.isnan(unrepaired), np.inf, unrepaired) / UNREPAIRED
    return found


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
    inputs, states = inputs.split(surrogate.metadata)
    status = np.repeat(inputs.rejected[:, None], inputs.time.shape[1], axis=1)
    good = np.flatnonzero(inputs.rejected == 0)
    with surrogate.functions.lock:
        status[good] = status_before_rollout(surrogate, *inputs.rows(good))
    return is_reliable(np.take_along_axis(status, states, axis=1))[:, 1:]


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
