"""The numbers a surrogate is judged by, accumulated block by block in NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.workflows.histogram import Histogram

FLOOR = 1e-20
SEEN = 1e-12  # abundances that can be observed
KEYS = (
    "dex",
    "dex_seen",
    "dex_final",
    "dex_species99",
    "dex_worst",
    "worst_species",
    "mre",
    "conservation",
    "conservation_max",
    "nonfinite",
    "tracers",
)

ENTRIES = 2_000_000  # abundances worked on at a time: some 100 MB of float64


@dataclass(frozen=True)
class Detail:
    """What the plots and tables need beyond the headline figures.

    A state's error is its mean over species. Step 0 is the given state: NaN.

    Attributes:
        species_dex: Mean error of each species, `(S,)`.
        species_p90: 90th percentile of each species over states, `(S,)`.
        species_mre: Mean relative error of each species, `(S,)`.
        species_swing: Mean over tracers of the decades that a species covers in
            time, `(S,)`.
        species_peak: Highest true abundance of each species, `(S,)`.
        step_dex: Mean error at each step, `(T+1,)`.
        step_median: Median over tracers of the state error, `(T+1,)`.
        step_p90: 90th percentile over tracers of the state error, `(T+1,)`.
        step_conservation: Mean |n - n0| / n0 of each element, `(T+1, E)`.
        elements: Names of the elements that the species contain.
        element_mean: Mean |n - n0| / n0 of each element, `(E,)`.
        element_max: The largest of each element, `(E,)`.
        starts: Figures by kind of start: name to `{"tracers", "dex", ...}`.
    """

    species_dex: np.ndarray
    species_p90: np.ndarray
    species_mre: np.ndarray
    species_swing: np.ndarray
    species_peak: np.ndarray
    step_dex: np.ndarray
    step_median: np.ndarray
    step_p90: np.ndarray
    step_conservation: np.ndarray
    elements: tuple[str, ...]
    element_mean: np.ndarray
    element_max: np.ndarray
    starts: dict[str, dict[str, float]]


class Figures:
    """Accumulates the error of predicted abundances over any number of tracers.

    With the error `|log10 p - log10 x|` floored at 1e-20, over states 1..T:
    `dex` is its mean, `dex_seen` that over x >= 1e-12, `dex_final` that at each
    tracer's last state, `dex_species99` and `dex_worst` the 99th percentile and
    maximum over species of the mean of each. `mre` is the mean of |p - x| / x,
    both clipped to [1e-20, 1]. `conservation` is the mean over states and
    elements of |n - n0| / n0, n0 the totals of state 0. `nonfinite` counts
    entries that are NaN, infinite or negative; they count as 1e-20 elsewhere.

    Memory is bounded: it grows with states and species, not with tracers.

    Args:
        species: Names, in column order.
        states: States of a tracer, T+1.
        stoichiometry: Atoms of each element in each species, `(S, E)`.
        elements: Names of the columns of `stoichiometry`.
    """

    def __init__(
        self,
        species: Sequence[str],
        states: int,
        stoichiometry: np.ndarray,
        elements: Sequence[str],
    ):
        matrix = np.asarray(stoichiometry, dtype=np.float64)
        if matrix.shape != (len(species), len(elements)):
            raise ValueError(
                "`stoichiometry` must have shape (species, elements) = "
                f"{(len(species), len(elements))}. Received: shape={matrix.shape}"
            )
        present = np.flatnonzero(matrix.any(0))
        self.species = tuple(species)
        self.states = states
        self.elements = tuple(np.array(elements)[present].tolist())
        self.matrix = matrix[:, present]
        size, kinds = len(self.species), len(self.elements)
        self.tracers = self.nonfinite = 0
        self.seen = np.zeros(2)  # entries, sum of errors
        self.final = 0.0
        self.species_error = np.zeros(size)
        self.species_relative = np.zeros(size)
        self.species_swing = np.zeros(size)
        self.species_peak = np.zeros(size)
        self.species_bins = Histogram(size)
        self.step_count = np.zeros(states, dtype=np.int64)
        self.step_error = np.zeros(states)
        self.step_bins = Histogram(states)
        self.step_off = np.zeros((states, kinds))
        self.element_max = np.zeros(kinds)
        self.starts: dict[str, np.ndarray] = {}

    def update(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        length: np.ndarray | None = None,
        start: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Add a block of tracers.

        Args:
            truth: Solved abundances, `(n, T+1, S)`.
            prediction: Predicted abundances, the same shape; state 0 is ignored.
            length: Valid states of each tracer, `(n,)`. Defaults to all.
            start: The kind of start of each tracer, for the figures by start.

        Returns:
            The mean error of each tracer in dex, `(n,)`.
        """
        shape = (len(truth), self.states, len(self.species))
        if truth.shape != shape or prediction.shape != shape:
            raise ValueError(
                f"`truth` and `prediction` must have shape {shape}. "
                f"Received: {truth.shape} and {prediction.shape}"
            )
        length = (
            np.full(shape[0], self.states) if length is None else np.asarray(length)
        )
        if shape[0] and (length.min() < 2 or length.max() > self.states):
            raise ValueError(
                f"`length` must be between 2 and {self.states}. Received: "
                f"{length.min()} to {length.max()}"
            )
        errors = [
            self._add(
                truth[part], prediction[part], length[part], start and start[part]
            )
            for part in self._parts(shape[0])
        ]
        return np.concatenate(errors) if errors else np.zeros(0)

    def _parts(self, tracers: int) -> Iterator[slice]:
        size = max(1, ENTRIES // (self.states * len(self.species)))
        return (slice(i, i + size) for i in range(0, tracers, size))

    def _add(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        length: np.ndarray,
        start: Sequence[str] | None,
    ) -> np.ndarray:
        tracers = np.arange(len(truth))
        valid = np.arange(self.states) < length[:, None]
        valid[:, 0] = False
        swing = self._swing(truth, valid)
        step = np.broadcast_to(np.arange(self.states), valid.shape)[valid]
        owner = np.broadcast_to(tracers[:, None], valid.shape)[valid]

        x = truth[valid].astype(np.float64)  # (rows, S) from here on
        p = prediction[valid].astype(np.float64)
        bad = ~np.isfinite(p) | (p < 0)
        p[bad] = FLOOR
        clipped = np.clip(x, FLOOR, 1.0)
        error = np.abs(np.log10(np.maximum(p, FLOOR)) - np.log10(clipped))
        relative = np.abs(np.clip(p, FLOOR, 1.0) - clipped) / clipped
        state = error.mean(1)
        seen = x >= SEEN
        rows = np.bincount(owner, minlength=len(truth))
        tracer_error = np.bincount(owner, state, len(truth)) / rows
        final = state[np.cumsum(rows) - 1]

        self.tracers += len(truth)
        self.nonfinite += int(bad.sum())
        tracer_seen = np.stack(
            [
                np.bincount(owner, seen.sum(1), len(truth)),
                np.bincount(owner, np.where(seen, error, 0.0).sum(1), len(truth)),
            ]
        )
        self.seen += tracer_seen.sum(1)
        self.final += final.sum()
        self.species_error += error.sum(0)
        self.species_relative += relative.sum(0)
        self.species_swing += swing
        self.species_peak = np.maximum(self.species_peak, x.max(0))
        self.species_bins.add(np.arange(len(self.species)), error)
        self.step_count += np.bincount(step, minlength=self.states)
        self.step_error += np.bincount(step, state, self.states)
        self.step_bins.add(step, state)
        self._conserve(truth[:, 0].astype(np.float64), p, owner, step)
        if start is not None:
            self._group(start, rows, tracer_error * rows, tracer_seen, final)
        return tracer_error

    def _swing(self, truth: np.ndarray, valid: np.ndarray) -> np.ndarray:
        inside = valid[:, :, None]
        high = np.where(inside, truth, 0.0).max(1)
        low = np.where(inside, truth, 1.0).min(1)
        floored = np.clip([high, low], FLOOR, 1.0)
        return (np.log10(floored[0]) - np.log10(floored[1])).sum(0)

    def _conserve(
        self, first: np.ndarray, p: np.ndarray, owner: np.ndarray, step: np.ndarray
    ) -> None:
        given = (first @ self.matrix)[owner]
        # An element without a single atom in state 0 has no relative error.
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.abs(p @ self.matrix - given) / given
        for column in range(len(self.elements)):
            sums = np.bincount(step, off[:, column], self.states)
            self.step_off[:, column] += sums
        self.element_max = np.maximum(self.element_max, off.max(0))

    def _group(
        self,
        start: Sequence[str],
        rows: np.ndarray,
        error: np.ndarray,
        seen: np.ndarray,
        final: np.ndarray,
    ) -> None:
        names = np.asarray(start)
        sums = np.stack([np.ones(len(rows)), rows, error, seen[0], seen[1], final])
        for name in np.unique(names):
            before = self.starts.get(str(name), np.zeros(len(sums)))
            self.starts[str(name)] = before + sums[:, names == name].sum(1)

    def result(self) -> dict[str, Any]:
        """The headline figures, by the names in `KEYS`.

        Raises:
            ValueError: if no tracer was added.
        """
        if not self.tracers:
            raise ValueError("no tracer was added, so there is nothing to report")
        states = int(self.step_count.sum())
        per_species = self.species_error / states
        worst = int(per_species.argmax())
        values = (
            float(per_species.mean()),
            _ratio(self.seen[1], self.seen[0]),
            float(self.final / self.tracers),
            float(np.percentile(per_species, 99)),
            float(per_species[worst]),
            self.species[worst],
            float(self.species_relative.mean() / states),
            float(self.step_off.sum() / (states * len(self.elements))),
            float(self.element_max.max()),
            self.nonfinite,
            self.tracers,
        )
        return dict(zip(KEYS, values, strict=True))

    def detail(self) -> Detail:
        """The figures by species, step, element and kind of start."""
        states = int(self.step_count.sum())
        with np.errstate(invalid="ignore"):
            step_dex = self.step_error / self.step_count
            step_off = self.step_off / self.step_count[:, None]
        starts = {
            name: {
                "tracers": int(tracers),
                "dex": _ratio(error, rows),
                "dex_seen": _ratio(seen_error, seen),
                "dex_final": _ratio(final, tracers),
            }
            for name, (tracers, rows, error, seen, seen_error, final) in sorted(
                self.starts.items()
            )
        }
        return Detail(
            species_dex=self.species_error / states,
            species_p90=self.species_bins.percentile(90),
            species_mre=self.species_relative / states,
            species_swing=self.species_swing / self.tracers,
            species_peak=self.species_peak,
            step_dex=step_dex,
            step_median=self.step_bins.percentile(50),
            step_p90=self.step_bins.percentile(90),
            step_conservation=step_off,
            elements=self.elements,
            element_mean=self.step_off.sum(0) / states,
            element_max=self.element_max,
            starts=starts,
        )


def _ratio(total: float, count: float) -> float:
    return float(total / count) if count else float("nan")
