"""What a surrogate thinks of its own rollouts: expected errors and trust."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.models import status
from astrokeras.models.training_ranges import LEAST_TRUST


@dataclass
class TrustAssessment:
    """What is to be said of rollouts.

    Attributes:
        expected: Expected error of each state, mean over species, dex, (N, T+1); that
            of state 0, which is given, is 0.
        risks: What speaks against each state, by the names of `layers.trust.RISKS`,
            as a multiple of what is still trusted, (N, T+1, risks).
    """

    expected: np.ndarray
    risks: np.ndarray

    @property
    def trust(self) -> np.ndarray:
        """Trust score of each state, 1 to 0, (N, T+1)."""
        return 1.0 / (1.0 + self.risks.max(-1))

    @property
    def status(self) -> np.ndarray:
        """Status of each state, (N, T+1); one of little trust is not fine."""
        return status.of_risks(~(1.0 / (1.0 + self.risks) >= LEAST_TRUST))


def judge(
    surrogate: Any,
    initial: np.ndarray,
    physical: np.ndarray,
    years: np.ndarray,
    latents: np.ndarray,
    spread: np.ndarray,
    unrepaired: np.ndarray,
) -> TrustAssessment:
    """Judge rollouts of a calibrated surrogate.

    Args:
        surrogate: The `Surrogate`.
        initial: Abundances of state 0, (N, S).
        physical: Parameters, (N, T, P) or (N, T, 3, P).
        years: Length of the intervals, (N, T).
        latents: Of states 1 to T, (N, T, L).
        spread: Of an ensemble's members, mean over species, dex, (N, T).
        unrepaired: Largest relative error of a total that is conserved, (N, T).
    """
    trust, limits = surrogate.trust, surrogate.limits
    features, far_setting, far_state = trust.features(
        trust.positions(latents, scale_parameters(surrogate, physical)),
        np.cumsum(years, axis=1),
        spread,
    )
    expected = trust.expected_error(features)
    elapsed = np.cumsum(years, axis=1) / limits.t_max
    outside = limits.parameter_excess(physical)
    if outside.ndim == 4:
        outside = outside.max(2)
    risks = trust.risks(
        expected,
        far_setting,
        far_state,
        outside.max(-1),
        initial.astype("f8") @ surrogate.stoichiometry,
        reconstruction_error(surrogate, initial),
        np.where(elapsed > 1.001, elapsed, 0.0),
        unrepaired,
    )
    return TrustAssessment(np.pad(expected, ((0, 0), (1, 0))).astype("f4"), risks)


def scale_parameters(surrogate: Any, physical: np.ndarray) -> np.ndarray:
    """Return scaled means of parameters, (N, T, P)."""
    mean = physical if physical.ndim == 3 else physical[:, :, 0]
    offset, scale = surrogate.parameter_scaler.get_weights()
    return (np.log10(mean) - offset) / scale


def reconstruction_error(surrogate: Any, abundances: np.ndarray) -> np.ndarray:
    """Return the mean error of decoding encoded states, dex, (..., S) to (...)."""
    restored = surrogate.reconstruct(abundances)
    return np.abs(np.log10(restored) - np.log10(abundances)).mean(-1)
