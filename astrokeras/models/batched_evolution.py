"""Batch by batch from checked arrays to abundances, error bars and trust."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.models import input_checks
from astrokeras.models.training_ranges import LEAST_TRUST
from astrokeras.models.trust_assessment import judge

UNPHYSICAL = 1e-3  # conserved totals of a state may be off by this much


@dataclass(frozen=True)
class Given:
    """Tracers to evolve: abundances (N, S), parameters (N, T, ...), years (N, T+1)."""

    initial: np.ndarray
    physical: np.ndarray
    time: np.ndarray

    def rows(self, rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some of them, as a solver takes them."""
        return self.initial[rows], self.physical[rows], self.time[rows]


@dataclass(frozen=True)
class Wanted:
    """What of the evolved tracers is asked for.

    Attributes:
        columns: Of the species that are decoded, all if `None`.
        mixing: How these add up to what is wanted, (wanted, columns).
        states: Numbers of the states, (K,), `None` for all T+1.
        conserve: Whether element totals are those of state 0.
        sigma: Whether error bars are wanted.
        trust: Whether trust scores are.
    """

    columns: tuple[int, ...] | None
    mixing: np.ndarray
    states: np.ndarray | None
    conserve: bool
    sigma: bool = False
    trust: bool = False

    def choose(self, abundances: np.ndarray) -> np.ndarray:
        """Return the species wanted of all, `(..., S)` to `(..., wanted)`."""
        if self.columns is None:
            return abundances
        return abundances[..., self.columns] @ self.mixing.T

    def add(
        self, decoded: np.ndarray, sigma: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return what decoded species add up to, and its error bars."""
        if self.columns is None:
            return decoded, sigma
        summed = decoded @ self.mixing.T
        if sigma is not None:
            # The parts of a sum are wrong together.
            parts = decoded * sigma[..., self.columns]
            sigma = (parts @ self.mixing.T) / summed
        return summed, sigma


@dataclass(frozen=True)
class Evolved:
    """Abundances and their error bars (N, K, wanted), trust scores (N, K).

    `unphysical` is the number of states that cannot be.
    """

    abundances: np.ndarray
    sigma: np.ndarray
    trust: np.ndarray
    unphysical: int = 0


@np.errstate(all="ignore")  # what is not finite is flagged, whatever NumPy is told
def evolve(surrogate: Any, given: Given, wanted: Wanted, batch_size: int) -> Evolved:
    """Evolve tracers in batches of one shape.

    Args:
        surrogate: The `Surrogate`, calibrated if error bars or trust are wanted.
        given: The tracers.
        wanted: What is asked for.
        batch_size: Tracers evolved at once.
    """
    states = np.arange(given.time.shape[1]) if wanted.states is None else wanted.states
    count, later = len(given.initial), states > 0
    start = wanted.choose(given.initial)
    abundances = np.empty((count, len(states), start.shape[-1]), "float32")
    abundances[:, ~later] = start[:, None]
    sigma = np.zeros(abundances.shape if wanted.sigma else (0,), "float32")
    trust = np.ones(abundances.shape[:2], "float32")
    judged = wanted.sigma or wanted.trust
    unphysical = 0
    index = (states[later] - 1).astype("int32")
    # State 0 alone is judged with a state that is dropped: PyTorch reduces no nothing.
    least = index if index.size else np.zeros(1, "int32")
    asked = None if wanted.states is None else least
    years = np.diff(given.time).astype("float32")
    inputs = (given.initial, given.physical, years)
    for first, (x, p, t) in input_checks.equal_batches(inputs, batch_size):
        if not index.size and not judged:
            break
        rows = slice(first, min(first + batch_size, count))
        kept = slice(rows.stop - first)  # the rest fills up the batch
        with surrogate.programs.lock:
            found = surrogate.programs.rollout(
                x, p, t, asked, wanted.columns, wanted.conserve, judged
            )
            found, *known, physical_violation = found
            bars, wrong = None, ~(physical_violation[kept, : index.size] <= UNPHYSICAL)
            if judged:
                latents, closeness = known
                found = found[:, : index.size]
                spread, off = np.zeros((2, *t.shape), "float32")
                spread[:, least], off[:, least] = closeness, physical_violation
                said = judge(surrogate, x, p, t, latents, spread, off)
                trust[rows] = np.nan_to_num(said.trust[kept, states])
                if wanted.sigma:
                    bars = surrogate.trust.sigma(said.expected[:, states[later]])
        found, bars = wanted.add(found, bars)
        abundances[rows, later] = found[kept]
        trust[rows, later] = np.where(wrong, 0.0, trust[rows, later])
        unphysical += int(wrong.sum())
        if bars is not None:
            sigma[rows, later] = bars[kept]
    return Evolved(abundances, sigma, trust, unphysical)


def solve_doubtful(
    evolved: Evolved, given: Given, wanted: Wanted, fallback: Callable[..., Any]
) -> None:
    """Let the caller's solver evolve the tracers that hold a state of little trust.

    What it says takes the place of what was predicted, with sigma 0 and trust 1.

    Raises:
        InputError: If it returns another shape or what no abundance can be.
    """
    doubtful = np.flatnonzero((evolved.trust < LEAST_TRUST).any(1))
    if not len(doubtful):
        return
    solved = np.asarray(fallback(*given.rows(doubtful)))
    shape = (len(doubtful), given.time.shape[1], given.initial.shape[1])
    if solved.shape != shape:
        raise InputError(
            f"fallback returned shape {solved.shape} for {len(doubtful)} tracers; "
            f"return abundances of all states and species, {shape}."
        )
    if not (np.isfinite(solved) & (solved >= 0)).all():
        raise InputError(
            "fallback returned abundances that are negative or not finite; return "
            "those relative to H nuclei."
        )
    states = slice(None) if wanted.states is None else wanted.states
    evolved.abundances[doubtful] = wanted.choose(solved[:, states])
    evolved.trust[doubtful] = 1.0
    if wanted.sigma:
        evolved.sigma[doubtful] = 0.0
