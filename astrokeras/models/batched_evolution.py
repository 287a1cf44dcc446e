"""Batch by batch from checked arrays to abundances, error bars and trust."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.models import input_checks
from astrokeras.models.status import Status, outside
from astrokeras.models.training_ranges import LEAST_TRUST
from astrokeras.models.trust_assessment import TrustAssessment, judge

UNPHYSICAL = 1e-3  # conserved totals of a state may be off by this much


@dataclass(frozen=True)
class Given:
    """Tracers to evolve: abundances (N, S), parameters (N, T, ...), years (N, T+1).

    `refused` is what speaks against the input of each, (N,), 0 for those that are
    evolved.
    """

    initial: np.ndarray
    physical: np.ndarray
    time: np.ndarray
    refused: np.ndarray

    def rows(self, rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return some of them, as a solver takes them."""
        return self.initial[rows], self.physical[rows], self.time[rows]

    def sound(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all of them, with the first good one in place of each refused one."""
        stand_in = int((self.refused == 0).argmax())
        return self.rows(np.where(self.refused, stand_in, np.arange(len(self.refused))))


@dataclass(frozen=True)
class Wanted:
    """What of the evolved tracers is asked for.

    Attributes:
        columns: Of the species that are decoded, all if `None`.
        mixing: How these add up to what is wanted, (wanted, columns).
        states: Numbers of the states, (K,), `None` for all T+1.
        conserve: Whether element totals are those of state 0.
        sigma: Whether error bars are wanted.
        judged: Whether what the surrogate thinks of its rollouts is wanted.
        status: Whether the status is.
    """

    columns: tuple[int, ...] | None
    mixing: np.ndarray
    states: np.ndarray | None
    conserve: bool
    sigma: bool = False
    judged: bool = False
    status: bool = False

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
    """Abundances and their error bars (N, K, wanted), trust and status (N, K).

    What was not evolved is NaN and has trust 0. `unphysical` are the states that cannot
    be, (N, K).
    """

    abundances: np.ndarray
    sigma: np.ndarray
    trust: np.ndarray
    status: np.ndarray
    unphysical: np.ndarray

    @classmethod
    def nothing(cls, tracers: int, wanted: Wanted, states: int, species: int) -> Any:
        """Return room for so many tracers."""
        shape = (tracers, states, len(wanted.mixing) or species)
        return cls(
            np.full(shape, np.nan, "float32"),
            np.full(shape if wanted.sigma else (tracers, 0, 0), np.nan, "float32"),
            np.zeros(shape[:2], "float32"),
            np.zeros(shape[:2], "uint8"),
            np.zeros(shape[:2], bool),
        )

    def fill(self, first: int, other: Any, count: int) -> None:
        """Take over the first so many tracers of another one."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[first : first + count] = getattr(other, name)[:count]

    def blank(self, refused: np.ndarray) -> None:
        """Forget what was evolved in place of refused tracers, (N,)."""
        rows = refused > 0
        self.abundances[rows] = self.sigma[rows] = np.nan
        self.trust[rows] = self.unphysical[rows] = 0
        self.status[rows] = refused[rows, None]


@np.errstate(all="ignore")  # what is not finite is flagged, whatever NumPy is told
def evolve(surrogate: Any, given: Given, wanted: Wanted, batch_size: int) -> Evolved:
    """Evolve tracers in batches of one shape.

    Args:
        surrogate: The `Surrogate`, calibrated if it is to be judged.
        given: The tracers.
        wanted: What is asked for.
        batch_size: Tracers evolved at once.
    """
    states = np.arange(given.time.shape[1]) if wanted.states is None else wanted.states
    count, species = given.initial.shape
    evolved = Evolved.nothing(count, wanted, len(states), species)
    if not given.refused.all():
        for first, batch in input_checks.equal_batches(given.sound(), batch_size):
            found = evolve_batch(surrogate, batch, wanted, states)
            # The rest fills up the batch.
            evolved.fill(first, found, min(batch_size, count - first))
    evolved.blank(given.refused)
    return evolved


def evolve_batch(
    surrogate: Any,
    batch: tuple[np.ndarray, ...],
    wanted: Wanted,
    states: np.ndarray,
) -> Evolved:
    """Evolve some tracers, all at once, and judge them if that is wanted.

    Args:
        surrogate: The `Surrogate`.
        batch: Abundances (n, S), parameters (n, T, ...) and years (n, T+1).
        wanted: What is asked for.
        states: Numbers of the states wanted, (K,).
    """
    x, p, t = batch
    evolved = Evolved.nothing(len(x), wanted, len(states), x.shape[1])
    later = states > 0
    evolved.abundances[:, ~later] = wanted.choose(x)[:, None]
    evolved.sigma[:, ~later[: evolved.sigma.shape[1]]] = 0.0
    evolved.trust[:] = 1.0
    if wanted.status:
        evolved.status[:] = outside(surrogate.limits, x, p, t)[:, states]
    index = (states[later] - 1).astype("int32")
    years = np.diff(t).astype("float32")
    # What is not finite is looked for, whatever NumPy is told to say of it.
    with surrogate.programs.lock, np.errstate(all="ignore"):
        found, physical_violation, said = roll(surrogate, (x, p, years), index, wanted)
    if said is not None:
        evolved.trust[:] = np.nan_to_num(said.trust[:, states])
        evolved.status[:] |= said.status[:, states]
    if index.size:
        bars = None
        if said is not None and wanted.sigma:
            bars = surrogate.trust.sigma(said.expected[:, states[later]])
        evolved.abundances[:, later], bars = wanted.add(found, bars)
        if bars is not None:
            evolved.sigma[:, later] = bars
        evolved.unphysical[:, later] = ~(physical_violation <= UNPHYSICAL)
        evolved.trust[evolved.unphysical] = 0.0
        evolved.status[evolved.unphysical] |= np.uint8(Status.TOTALS)
    return evolved


def roll(
    surrogate: Any,
    inputs: tuple[np.ndarray, np.ndarray, np.ndarray],
    index: np.ndarray,
    wanted: Wanted,
) -> tuple[Any, Any, TrustAssessment | None]:
    """Return abundances of later states and their flaw, and what is to be said of all.

    Args:
        surrogate: The `Surrogate`.
        inputs: Abundances (n, S), parameters (n, T, ...) and intervals (n, T), years.
        index: Later states wanted, 0 for state 1, (K,).
        wanted: What is asked for.

    Returns:
        Decoded species (n, K, columns) and flaw (n, K), `None` if no state is wanted,
        and the judgement, `None` if it is not.
    """
    steps = inputs[2].shape[1]
    if not (index.size or (wanted.judged and steps)):
        if not wanted.judged:
            return None, None, None
        # Nothing is to be rolled; state 0 is judged all the same.
        latents = np.zeros((len(inputs[0]), 0, surrogate.emulator.latents), "float32")
        nothing = np.zeros((len(latents), 0), "float32")
        return None, None, judge(surrogate, *inputs, latents, nothing, nothing)
    # State 0 alone is judged with a state that is dropped: PyTorch reduces no nothing.
    least = index if index.size else np.zeros(1, "int32")
    asked = None if wanted.states is None else least
    found, *known, physical_violation = surrogate.programs.rollout(
        *inputs, asked, wanted.columns, wanted.conserve, wanted.judged
    )
    if not wanted.judged:
        return found, physical_violation, None
    latents, closeness = known
    spread, off = np.zeros((2, *inputs[2].shape), "float32")
    spread[:, least], off[:, least] = closeness, physical_violation
    said = judge(surrogate, *inputs, latents, spread, off)
    return found[:, : index.size], physical_violation[:, : index.size], said


def solve_doubtful(
    evolved: Evolved,
    given: Given,
    wanted: Wanted,
    fallback: Callable[..., Any],
    species: Sequence[str],
) -> None:
    """Let the caller's solver evolve the tracers that hold a state of little trust.

    What it says takes the place of what was predicted, with sigma 0 and trust 1. It is
    not asked for tracers whose input is bad.

    Raises:
        InputError: If it returns another shape or what no abundance can be.
    """
    known = given.refused & np.uint8(Status.INPUT) == 0
    doubtful = np.flatnonzero((evolved.trust < LEAST_TRUST).any(1) & known)
    if not len(doubtful):
        return
    returned = fallback(*given.rows(doubtful))
    name = "what fallback returned"
    solved = as_numbers(name, returned, None, columns=species, units=[""])
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
    evolved.status[doubtful] = Status.SOLVED
    evolved.sigma[doubtful] = 0.0
