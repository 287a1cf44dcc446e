"""Batched evolution of checked inputs, and the fallback to a solver."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.models.input_checks import TracerInputs
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.requested_outputs import (
    UNPHYSICAL,
    EvolvedTracers,
    RequestedOutputs,
)
from astrokeras.models.status import Status, is_reliable
from astrokeras.models.trust_assessment import (
    TrustAssessment,
    assess_trust,
    status_before_rollout,
)


@dataclass(frozen=True)
class FallbackCost:
    """Cost of the tracers that the fallback solved.

    Attributes:
        tracers: Number of tracers with valid input.
        returned: Number of tracers that went back to the solver.
        solver_seconds: Wall time of the solver for those that went back.
        surrogate_seconds: Wall time of the surrogate for all tracers.
        compiled: Whether the surrogate's time includes a compilation, which a later
            call of the same shape does not repeat.
    """

    tracers: int
    returned: int
    solver_seconds: float
    surrogate_seconds: float
    compiled: bool

    @property
    def solver_seconds_for_all(self) -> float:
        """Estimated wall time of the solver for all tracers; NaN if none went back.

        All tracers are taken to last as long as those that went back, which tend to be
        the harder ones.
        """
        if not self.returned:
            return np.nan
        return self.solver_seconds * self.tracers / self.returned

    @property
    def solver_seconds_saved(self) -> float:
        """Estimated wall time of the solver for the tracers that did not go back."""
        return self.solver_seconds_for_all - self.solver_seconds

    @property
    def effective_speedup(self) -> float:
        """Time of the solver for all over that of surrogate and fallback together."""
        spent = self.surrogate_seconds + self.solver_seconds
        return self.solver_seconds_for_all / spent

    def __str__(self) -> str:
        compilation = ", compilation included," * self.compiled
        return (
            f"fallback: {self.returned} of {self.tracers} tracers went back to the "
            f"solver, which took {self.solver_seconds:.3g} s for them, the surrogate "
            f"{self.surrogate_seconds:.3g} s for all{compilation or ';'} "
            f"{self.solver_seconds_saved:.3g} s of the solver were saved: effective "
            f"speed-up {self.effective_speedup:.2g} (estimated as if all tracers took "
            "as long as those that went back)"
        )


def evolve(
    surrogate: PhysicalEmulator,
    inputs: TracerInputs,
    requested: RequestedOutputs,
    batch_size: int,
    fallback: Callable[..., Any] | None = None,
    substep: bool = False,
) -> tuple[EvolvedTracers, FallbackCost | None]:
    """Return the evolution of tracers, and the cost of the fallback if there is one.

    Args:
        surrogate: The `Surrogate`, calibrated if the reliability is requested.
        inputs: The checked tracers.
        requested: The outputs.
        batch_size: Tracers evolved at once.
        fallback: Solver of the tracers that have an unreliable state.
        substep: Whether intervals that are longer than trained are split.

    Raises:
        InputError: If the solver returns another shape or an impossible abundance.
    """
    began, shapes = perf_counter(), len(surrogate.functions.shapes)
    given = _split(surrogate, inputs, requested) if substep else (inputs, requested)
    evolved = _evolve_batches(surrogate, *given, batch_size)
    seconds = perf_counter() - began
    if fallback is None:
        return evolved, None
    compiled = len(surrogate.functions.shapes) > shapes
    solved = apply_fallback(evolved, inputs, requested, fallback, surrogate.species)
    return evolved, FallbackCost(*solved, seconds, compiled)


def _split(
    surrogate: PhysicalEmulator, inputs: TracerInputs, requested: RequestedOutputs
) -> tuple[TracerInputs, RequestedOutputs]:
    """Return tracers with intervals of trained lengths, and the same states of them."""
    split, numbers = inputs.split(surrogate.metadata)
    if split is inputs:
        return inputs, requested
    if requested.states is not None:
        numbers = numbers[:, requested.states]
    alike = (numbers == numbers[0]).all()
    return split, replace(requested, states=numbers[0] if alike else numbers)


@np.errstate(all="ignore")  # values that are not finite are flagged in any case
def _evolve_batches(
    surrogate: PhysicalEmulator,
    inputs: TracerInputs,
    requested: RequestedOutputs,
    batch_size: int,
) -> EvolvedTracers:
    """Return the evolution of tracers, computed in batches."""
    states = requested.states
    if states is None:
        states = np.arange(inputs.time.shape[1])
    count, species = inputs.initial.shape
    evolved = EvolvedTracers.empty(count, requested, states.shape[-1], species)
    own = (states,) if states.ndim == 2 else ()
    if not inputs.rejected.all():
        given = (*inputs.filled(), *own)
        for first in range(0, count, batch_size):
            batch = tuple(array[first : first + batch_size] for array in given)
            states = batch[-1] if own else states
            outputs = _evolve_batch(surrogate, batch[:3], requested, states)
            evolved.fill(first, outputs)
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
        states: Numbers of the requested states, (K,), or of each tracer's, (n, K).
    """
    initial, physical, time = batch
    evolved = EvolvedTracers.empty(
        len(initial), requested, states.shape[-1], initial.shape[1]
    )
    later = np.atleast_2d(states)[0] > 0  # State 0 is that of all tracers.
    evolved.abundances[:, ~later] = requested.select(initial)[:, None]
    evolved.sigma[:, ~later[: evolved.sigma.shape[1]]] = 0.0
    index = (states[..., later] - 1).astype("int32")
    years = np.diff(time).astype("float32")
    sigma = None
    # The trust model's weights, too, are read while no other thread runs the surrogate.
    # Values that are not finite are found below, whatever NumPy's error state is.
    with surrogate.functions.lock, np.errstate(all="ignore"):
        # The assessment measures the distances of parameters itself.
        known = status_before_rollout(
            surrogate, initial, physical, time, far=not requested.reliability
        )
        evolved.status[:] = _take(known, states)
        abundances, violation, assessment = _roll_out(
            surrogate, (initial, physical, years), index, requested
        )
        if assessment is not None and requested.sigma:
            expected = _take(assessment.expected, states[..., later])
            sigma = surrogate.trust.sigma(expected)
    if assessment is not None:
        evolved.expected_error[:] = _take(assessment.expected, states)
        evolved.status[:] |= _take(assessment.status, states)
    if index.size:
        evolved.abundances[:, later], sigma = requested.add_up(abundances, sigma)
        if sigma is not None:
            evolved.sigma[:, later] = sigma
        evolved.unphysical[:, later] = ~(violation <= UNPHYSICAL)
        evolved.status[evolved.unphysical] |= np.uint8(Status.TOTALS)
    return evolved


def _take(values: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return values (n, T+1) of some states, (K,) or of each tracer's, (n, K)."""
    if states.ndim == 1:
        return values[:, states]
    return np.take_along_axis(values, states, axis=1)


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
        index: Requested later states, 0 for state 1, (K,) or (n, K).
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
        none = np.zeros((len(inputs[0]), 0), "float32")
        far = np.zeros((*none.shape, 2), "float32")
        return None, None, assess_trust(surrogate, *inputs, none, far, none)
    # PyTorch cannot reduce an empty axis: for state 0 alone, state 1 is decoded too.
    decoded = index if index.size else np.zeros(1, "int32")
    abundances, violation, *known = surrogate.functions.rollout(
        *inputs,
        None if requested.states is None else decoded,
        requested.columns,
        requested.conserve,
        ("expected_error", "far") if requested.reliability else (),
    )
    if not requested.reliability:
        return abundances, violation, None
    unrepaired = np.zeros(inputs[2].shape, "float32")
    np.put_along_axis(
        unrepaired, np.broadcast_to(decoded, violation.shape), violation, 1
    )
    expected, far = known
    assessment = assess_trust(surrogate, *inputs, expected, far, unrepaired)
    return abundances[:, : index.size], violation[:, : index.size], assessment


def apply_fallback(
    evolved: EvolvedTracers,
    inputs: TracerInputs,
    requested: RequestedOutputs,
    fallback: Callable[..., Any],
    species: tuple[str, ...],
) -> tuple[int, int, float]:
    """Replace the tracers that have an unreliable state by the caller's solver.

    Solved states have sigma and expected error 0. The solver does not receive tracers
    with invalid input.

    Returns:
        Numbers of tracers with valid input and of those solved, and the seconds that
        the solver took.

    Raises:
        InputError: If it returns another shape or an impossible abundance.
    """
    solvable = inputs.rejected & np.uint8(Status.INPUT) == 0
    unreliable = ~is_reliable(evolved.status).all(1)
    rows = np.flatnonzero(unreliable & solvable)
    count = int(solvable.sum())
    if not len(rows):
        return count, 0, 0.0
    given = inputs.rows(rows)
    began = perf_counter()
    returned = fallback(*given)
    seconds = perf_counter() - began
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
    return count, len(rows), seconds
