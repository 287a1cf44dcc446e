"""Batched evolution of checked inputs: abundances, errors and status."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError, UnphysicalWarning, UnreliableWarning
from astrokeras.models.compiled_functions import equal_batches
from astrokeras.models.input_checks import TracerInputs
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.requested_outputs import RequestedOutputs
from astrokeras.models.status import (
    MEANINGS,
    Status,
    count_bits,
    is_reliable,
)
from astrokeras.models.trust_assessment import (
    TrustAssessment,
    assess_trust,
    status_before_rollout,
)

UNRELIABLE_SHARE = 0.05
"""Largest share of states that are not reliable without a warning."""
UNPHYSICAL = 1e-3
"""Largest relative error of a conserved element total in a physical state."""


@dataclass(frozen=True)
class EvolvedTracers:
    """Outputs of N tracers at K states.

    Tracers that were not evolved are NaN.

    Attributes:
        abundances: (N, K, requested species).
        sigma: Error bars, dex, of the same shape; of no size if not requested.
        expected_error: Expected errors, dex, (N, K); NaN if not computed.
        status: Status bits, (N, K).
        unphysical: Whether each state is unphysical, (N, K).
    """

    abundances: np.ndarray
    sigma: np.ndarray
    expected_error: np.ndarray
    status: np.ndarray
    unphysical: np.ndarray

    @classmethod
    def empty(
        cls, tracers: int, requested: RequestedOutputs, states: int, species: int
    ) -> "EvolvedTracers":
        """Return arrays for a number of tracers, not evolved yet."""
        shape = (tracers, states, len(requested.mixing) or species)
        return cls(
            np.full(shape, np.nan, "float32"),
            np.full(shape if requested.sigma else (tracers, 0, 0), np.nan, "float32"),
            np.full(shape[:2], np.nan, "float32"),
            np.zeros(shape[:2], "uint8"),
            np.zeros(shape[:2], bool),
        )

    def fill(self, first: int, other: "EvolvedTracers", count: int) -> None:
        """Copy the first `count` tracers of `other`, to row `first` and after."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[first : first + count] = getattr(other, name)[:count]

    def blank(self, rejected: np.ndarray) -> None:
        """Blank the rejected tracers, whose rows hold another tracer's evolution."""
        rows = rejected > 0
        for values in (self.abundances, self.sigma, self.expected_error):
            values[rows] = np.nan
        self.unphysical[rows] = False
        self.status[rows] = rejected[rows, None]

    def outputs(self) -> tuple[np.ndarray, ...]:
        """Return abundances, sigma, expected error, reliability and status."""
        reliable = is_reliable(self.status)
        return self.abundances, self.sigma, self.expected_error, reliable, self.status

    def warn_unreliable(self, stacklevel: int) -> None:
        """Warn if more than `UNRELIABLE_SHARE` of the states are not reliable."""
        bad = ~is_reliable(self.status)
        if not bad.size or bad.mean() <= UNRELIABLE_SHARE:
            return
        reasons = "; ".join(
            f"{count}: {MEANINGS[Status[name.upper()]]}"
            for name, count in count_bits(self.status[bad]).items()
        )
        line = (
            f"{int(bad.sum())} of {bad.size} states are not reliable ({reasons}); "
            "return_reliable=True says which, `covers` answers beforehand; solve them "
            "(fallback=), or train on tracers like these."
        )
        warnings.warn(line, UnreliableWarning, stacklevel=stacklevel + 1)

    def warn_unphysical(self, stacklevel: int) -> None:
        """Warn of unphysical states, if there are any."""
        if self.unphysical.any():
            line = (
                f"{int(self.unphysical.sum())} of {self.status.size} states are "
                "unphysical: not finite, not positive, or element totals are off by "
                f"more than {UNPHYSICAL:g}; see `return_status`."
            )
            warnings.warn(line, UnphysicalWarning, stacklevel=stacklevel + 1)


@np.errstate(all="ignore")  # values that are not finite are flagged in any case
def evolve(
    surrogate: PhysicalEmulator,
    inputs: TracerInputs,
    requested: RequestedOutputs,
    batch_size: int,
) -> EvolvedTracers:
    """Return the evolution of tracers, computed in batches of one shape.

    Args:
        surrogate: The `Surrogate`, calibrated if the reliability is requested.
        inputs: The checked tracers.
        requested: The outputs.
        batch_size: Tracers evolved at once.
    """
    states = requested.states
    if states is None:
        states = np.arange(inputs.time.shape[1])
    count, species = inputs.initial.shape
    evolved = EvolvedTracers.empty(count, requested, len(states), species)
    if not inputs.rejected.all():
        for first, batch in equal_batches(batch_size, *inputs.filled()):
            outputs = _evolve_batch(surrogate, batch, requested, states)
            # Copies of the last tracer may fill up the batch.
            evolved.fill(first, outputs, min(batch_size, count - first))
    evolved.blank(inputs.rejected)
    return evolved


def _evolve_batch(
    surrogate: PhysicalEmulator,
    batch: tuple[np.ndarray, ...],
    requested: RequestedOutputs,
    states: np.ndarray,
) -> EvolvedTracers:
    """Return the evolution of one batch.

    Args:
        surrogate: The `Surrogate`.
        batch: Abundances (n, S), parameters (n, T, ...) and years (n, T+1).
        requested: The outputs.
        states: Numbers of the requested states, (K,).
    """
    initial, physical, time = batch
    evolved = EvolvedTracers.empty(
        len(initial), requested, len(states), initial.shape[1]
    )
    later = states > 0
    evolved.abundances[:, ~later] = requested.select(initial)[:, None]
    evolved.sigma[:, ~later[: evolved.sigma.shape[1]]] = 0.0
    index = (states[later] - 1).astype("int32")
    years = np.diff(time).astype("float32")
    sigma = None
    # The trust model's weights, too, are read while no other thread runs the surrogate.
    # Values that are not finite are found below, whatever NumPy's error state is.
    with surrogate.functions.lock, np.errstate(all="ignore"):
        # The assessment measures the distances of parameters itself.
        known = status_before_rollout(
            surrogate, initial, physical, time, far=not requested.reliability
        )
        evolved.status[:] = known[:, states]
        abundances, violation, assessment = _roll_out(
            surrogate, (initial, physical, years), index, requested
        )
        if assessment is not None and requested.sigma:
            sigma = surrogate.trust.sigma(assessment.expected[:, states[later]])
    if assessment is not None:
        evolved.expected_error[:] = assessment.expected[:, states]
        evolved.status[:] |= assessment.status[:, states]
    if index.size:
        evolved.abundances[:, later], sigma = requested.add_up(abundances, sigma)
        if sigma is not None:
            evolved.sigma[:, later] = sigma
        evolved.unphysical[:, later] = ~(violation <= UNPHYSICAL)
        evolved.status[evolved.unphysical] |= np.uint8(Status.TOTALS)
    return evolved


def _roll_out(
    surrogate: PhysicalEmulator,
    inputs: tuple[np.ndarray, np.ndarray, np.ndarray],
    index: np.ndarray,
    requested: RequestedOutputs,
) -> tuple[Any, Any, TrustAssessment | None]:
    """Return abundances of later states, their violation, and the trust assessment.

    Args:
        surrogate: The `Surrogate`.
        inputs: Abundances (n, S), parameters (n, T, ...) and intervals (n, T), years.
        index: Requested later states, 0 for state 1, (K,).
        requested: The outputs.

    Returns:
        Decoded species (n, K, columns) and physical violation (n, K), `None` without
        later states, and the assessment of all states, `None` if not requested.
    """
    steps = inputs[2].shape[1]
    if not (index.size or (requested.reliability and steps)):
        if not requested.reliability:
            return None, None, None
        # There is nothing to roll out, but state 0 is assessed.
        latents = np.zeros((len(inputs[0]), 0, surrogate.emulator.latents), "float32")
        empty = np.zeros((len(latents), 0), "float32")
        return None, None, assess_trust(surrogate, *inputs, latents, empty, empty)
    # PyTorch cannot reduce an empty axis: for state 0 alone, state 1 is decoded too.
    decoded = index if index.size else np.zeros(1, "int32")
    abundances, *for_trust, violation = surrogate.functions.rollout(
        *inputs,
        None if requested.states is None else decoded,
        requested.columns,
        requested.conserve,
        requested.reliability,
    )
    if not requested.reliability:
        return abundances, violation, None
    latents, spread = for_trust
    unrepaired = np.zeros(inputs[2].shape, "float32")
    unrepaired[:, decoded] = violation
    assessment = assess_trust(surrogate, *inputs, latents, spread, unrepaired)
    return abundances[:, : index.size], violation[:, : index.size], assessment


def apply_fallback(
    evolved: EvolvedTracers,
    inputs: TracerInputs,
    requested: RequestedOutputs,
    fallback: Callable[..., Any],
    species: tuple[str, ...],
) -> None:
    """Replace the tracers that have an unreliable state by the caller's solver.

    Solved states have sigma and expected error 0. The solver does not receive tracers
    with invalid input.

    Raises:
        InputError: If it returns another shape or an impossible abundance.
    """
    solvable = inputs.rejected & np.uint8(Status.INPUT) == 0
    unreliable = ~is_reliable(evolved.status).all(1)
    rows = np.flatnonzero(unreliable & solvable)
    if not len(rows):
        return
    returned = fallback(*inputs.rows(rows))
    name = "the return value of fallback"
    solved = as_numbers(name, returned, None, columns=species, units=[""])
    shape = (len(rows), inputs.time.shape[1], inputs.initial.shape[1])
    if solved.shape != shape:
        raise InputError(
            f"fallback returned shape {solved.shape} for {len(rows)} tracers; "
            f"return abundances of all states and species, {shape}."
        )
    if not (np.isfinite(solved) & (solved >= 0)).all():
        raise InputError(
            "fallback returned abundances that are negative or not finite; return "
            "those relative to H nuclei."
        )
    states = slice(None) if requested.states is None else requested.states
    evolved.abundances[rows] = requested.select(solved[:, states])
    evolved.status[rows] = Status.SOLVED
    evolved.sigma[rows] = evolved.expected_error[rows] = 0.0
