"""Error metrics of predicted abundances, accumulated block by block in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.data.tracers.reader import Tracers
from astrokeras.evaluation.context import Prediction
from astrokeras.evaluation.result import ErrorDetail, ErrorSummary
from astrokeras.evaluation.streaming_percentiles import StreamingPercentiles
from astrokeras.plotting.parity_plot import ParityCounts
from astrokeras.prediction.tracer_rollout import name_initial_conditions

SEEN = 1e-12  # smallest abundance that can be observed
KEYS = tuple(field.name for field in fields(ErrorSummary))
PERCENTS = (50, 90, 99, 99.9)
ENTRIES = 2_000_000  # abundances processed at a time: some 100 MB of float64


class ParityTest:
    """Counts solved against predicted abundances, after state 0."""

    def __init__(self) -> None:
        self.counts = ParityCounts()

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction."""
        valid = np.arange(1, block.time.shape[1]) < block.length[:, None]
        both = (block.abundances, prediction.abundances)
        self.counts.add(*(x[:, 1:][valid] for x in both))

    def result(self) -> ParityCounts:
        """Return the counts of all tracers added."""
        return self.counts


class ErrorMetrics:
    """Accumulates the error of predicted abundances over any number of tracers.

    With the error `|log10 p - log10 x|` floored at 1e-20, over states 1..T:
    `dex` is its mean, `dex_seen` its mean over x >= 1e-12, `dex_final` its mean at each
    tracer's last state, `dex_species99` and `dex_worst` the 99th percentile and
    maximum over species of the mean of each. `mre` is the mean of |p - x| / x,
    both clipped to [1e-20, 1]. `conservation` is the mean over states and
    elements of |n - n0| / n0, n0 the totals of state 0. `nonfinite` counts
    entries that are NaN, infinite or negative; they count as 1e-20 elsewhere.

    Memory grows with states and species, and by one number for each tracer.

    Args:
        species: Names, in column order.
        states: States of a tracer, T+1.
        stoichiometry: Atoms of each element in each species, `(S, E)`.
        elements: Names of the columns of `stoichiometry`.
        starts: Named initial abundances, (S,) each: `update` groups the errors by the
            name of a tracer's state 0. `None` for no groups.
    """

    def __init__(
        self,
        species: Sequence[str],
        states: int,
        stoichiometry: np.ndarray,
        elements: Sequence[str],
        starts: dict[str, np.ndarray] | None = None,
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
        self.named_starts = starts
        size, kinds = len(self.species), len(self.elements)
        self.tracers = self.nonfinite = 0
        self.blocks: list[np.ndarray] = []  # mean error of each tracer
        self.seen = np.zeros(2)  # entries, sum of errors
        self.final = 0.0
        self.species_error, self.species_relative = np.zeros((2, size))
        self.species_swing, self.species_peak = np.zeros((2, size))
        self.species_bins = StreamingPercentiles(size)
        self.step_count = np.zeros(states, dtype=np.int64)
        self.step_error = np.zeros(states)
        self.step_bins = StreamingPercentiles(states)
        self.step_off = np.zeros((states, kinds))
        self.element_max = np.zeros(kinds)
        self.starts: dict[str, np.ndarray] = {}

    @property
    def tracer_dex(self) -> np.ndarray:
        """Mean error of each tracer in dex, `(n,)`."""
        return np.concatenate([np.zeros(0), *self.blocks])

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction."""
        named = self.named_starts
        start = (
            None
            if named is None
            else name_initial_conditions(block.abundances[:, 0], named)
        )
        self.add(block.abundances, prediction.abundances, block.length, start)

    def add(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        length: np.ndarray | None = None,
        start: Sequence[str] | None = None,
    ) -> None:
        """Add a block of tracers.

        Args:
            truth: Solved abundances, `(n, T+1, S)`.
            prediction: Predicted abundances, the same shape; state 0 is ignored.
            length: Valid states of each tracer, `(n,)`. Defaults to all.
            start: Name of each tracer's initial state, for the figures by start.
        """
        shape = (len(truth), self.states, len(self.species))
        if truth.shape != shape or prediction.shape != shape:
            raise ValueError(
                f"`truth` and `prediction` must have shape {shape}. "
                f"Received: {truth.shape} and {prediction.shape}"
            )
        length = np.asarray([self.states] * shape[0] if length is None else length)
        if shape[0] and (length.min() < 2 or length.max() > self.states):
            raise ValueError(
                f"`length` must be between 2 and {self.states}. Received: "
                f"{length.min()} to {length.max()}"
            )
        size = max(1, ENTRIES // (self.states * len(self.species)))
        for i in range(0, shape[0], size):
            part = slice(i, i + size)
            names = None if start is None else np.asarray(start)[part]
            self._add(truth[part], prediction[part], length[part], names)

    def _add(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        length: np.ndarray,
        start: np.ndarray | None,
    ) -> None:
        valid = np.arange(self.states) < length[:, None]
        valid[:, 0] = False
        owner, step = np.nonzero(valid)

        x = truth[valid].astype(np.float64)  # (rows, S) from here on
        p = prediction[valid].astype(np.float64)
        bad = ~np.isfinite(p) | (p < 0)
        p[bad] = FLOOR
        clipped = np.clip(x, FLOOR, 1.0)
        error = np.abs(log10_abundances(p) - np.log10(clipped))
        relative = np.abs(np.clip(p, FLOOR, 1.0) - clipped) / clipped
        state = error.mean(1)
        seen = x >= SEEN
        rows = np.bincount(owner, minlength=len(truth))
        tracer_error = np.bincount(owner, state, len(truth)) / rows
        final = state[np.cumsum(rows) - 1]

        self.tracers += len(truth)
        self.nonfinite += int(bad.sum())
        state_seen = seen.sum(1), np.where(seen, error, 0.0).sum(1)
        tracer_seen = np.stack([np.bincount(owner, s, len(truth)) for s in state_seen])
        self.seen += tracer_seen.sum(1)
        self.final += final.sum()
        self.species_error += error.sum(0)
        self.species_relative += relative.sum(0)
        self.species_swing += _swing(truth, valid)
        self.species_peak = np.maximum(self.species_peak, x.max(0))
        self.species_bins.add(np.arange(len(self.species)), error)
        self.step_count += np.bincount(step, minlength=self.states)
        self.step_error += np.bincount(step, state, self.states)
        self.step_bins.add(step, state)
        self._add_conservation(truth[:, 0].astype(np.float64), p, owner, step)
        self.blocks.append(tracer_error)
        if start is not None:
            sums = [np.ones(len(rows)), rows, tracer_error * rows, *tracer_seen, final]
            self._add_starts(start, np.stack(sums))

    def _add_conservation(
        self, first: np.ndarray, p: np.ndarray, owner: np.ndarray, step: np.ndarray
    ) -> None:
        given = (first @ self.matrix)[owner]
        # The relative error of an element without atoms in state 0 is undefined.
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.abs(p @ self.matrix - given) / given
        for column in range(len(self.elements)):
            self.step_off[:, column] += np.bincount(step, off[:, column], self.states)
        self.element_max = np.maximum(self.element_max, off.max(0))

    def _add_starts(self, names: np.ndarray, sums: np.ndarray) -> None:
        for name in np.unique(names):
            before = self.starts.get(str(name), np.zeros(len(sums)))
            self.starts[str(name)] = before + sums[:, names == name].sum(1)

    def result(self) -> ErrorSummary:
        """Return the headline figures.

        Raises:
            ValueError: If no tracer was added.
        """
        if not self.tracers:
            raise ValueError("no tracer was added, so there is nothing to report")
        states = int(self.step_count.sum())
        per_species = self.species_error / states
        worst = int(per_species.argmax())
        return ErrorSummary(
            dex=float(per_species.mean()),
            dex_seen=_ratio(self.seen[1], self.seen[0]),
            dex_final=float(self.final / self.tracers),
            dex_species99=float(np.percentile(per_species, 99)),
            dex_worst=float(per_species[worst]),
            worst_species=self.species[worst],
            mre=float(self.species_relative.mean() / states),
            conservation=float(self.step_off.sum() / (states * len(self.elements))),
            conservation_max=float(self.element_max.max()),
            nonfinite=self.nonfinite,
            tracers=self.tracers,
        )

    def detail(self) -> ErrorDetail:
        """Return the errors by species, step, element and kind of initial state."""
        states, pooled = int(self.step_count.sum()), self.species_bins.pooled()
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
        return ErrorDetail(
            species_dex=self.species_error / states,
            species_p90=self.species_bins.percentile(90),
            species_mre=self.species_relative / states,
            species_swing=self.species_swing / self.tracers,
            species_peak=self.species_peak,
            percentiles={
                f"{percent:g}": float(pooled.percentile(percent)[0])
                for percent in PERCENTS
            },
            exceeded=pooled.exceeded(),
            step_dex=step_dex,
            step_median=self.step_bins.percentile(50),
            step_p90=self.step_bins.percentile(90),
            step_conservation=step_off,
            elements=self.elements,
            element_mean=self.step_off.sum(0) / states,
            element_max=self.element_max,
            starts=starts,
        )


def _swing(truth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    inside = valid[:, :, None]
    high = np.where(inside, truth, 0.0).max(1)
    low = np.where(inside, truth, 1.0).min(1)
    return np.diff(log10_abundances([low, high], highest=1.0), axis=0)[0].sum(0)


def _ratio(total: float, count: float) -> float:
    return float(total / count) if count else float("nan")
