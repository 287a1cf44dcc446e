"""Maps of the error: expected of static gas, and found in the evaluated states."""

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.reader import Tracers
from astrokeras.evaluation.context import EvaluationContext, Prediction
from astrokeras.models.status import UNRELIABLE, Status, is_reliable
from astrokeras.plotting.error_map_plot import ErrorMap

PAIRS = (("Density", "gasTemp"), ("Av", "Radfield"))
CELLS = 24
"""Cells of a map along each parameter."""
SAMPLED = 8
"""States of a tracer that stand for the parameters of its gas."""
NEAREST = 25
"""States whose median gives the parameters that a map does not show."""
STEPS = 200
"""Most time steps of the static gas."""


class ErrorMapTest:
    """Adds up errors in cells of two parameters, and samples the parameters.

    Args:
        context: The calibrated surrogate.
    """

    def __init__(self, context: EvaluationContext):
        self.context, metadata = context, context.limits
        names = metadata.parameters
        self.pairs: list[tuple[int, int]] = []
        self.edges: list[tuple[np.ndarray, np.ndarray]] = []
        for pair in PAIRS:
            ranges = [metadata.parameter_ranges.get(name, (1, 1)) for name in pair]
            if all(high > low for low, high in ranges):
                x, y = (np.geomspace(*bounds, CELLS + 1) for bounds in ranges)
                self.pairs.append((names.index(pair[0]), names.index(pair[1])))
                self.edges.append((x, y))
        self.sums = np.zeros((len(self.pairs), 2, CELLS, CELLS))
        self.sampled: list[np.ndarray] = []

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction."""
        physical = block.physical[..., self.context.columns]
        if physical.ndim == 4:
            physical = physical[:, :, 0]  # the means of the intervals
        steps = physical.shape[1]
        valid = np.arange(1, steps + 1) < block.length[:, None]
        logs = [
            log10_abundances(x[:, 1:][valid])
            for x in (prediction.abundances, block.abundances)
        ]
        error = np.abs(logs[0] - logs[1]).mean(-1)
        for sums, (x, y), edges in zip(self.sums, self.pairs, self.edges, strict=True):
            horizontal, vertical = physical[valid][:, [x, y]].T
            for total, weights in zip(sums, (error, None), strict=True):
                found = np.histogram2d(
                    horizontal, vertical, bins=list(edges), weights=weights
                )
                total += found[0]
        some = np.unique(np.linspace(0, steps - 1, SAMPLED).astype(int))
        self.sampled.append(physical[:, some][valid[:, some]])

    def result(self) -> list[ErrorMap]:
        """Return a map for each pair of parameters, none without a named start."""
        metadata = self.context.limits
        if not (self.pairs and metadata.initial_conditions):
            return []
        start, initial = next(iter(metadata.initial_conditions.items()))
        step = min(max(metadata.t_max / STEPS, metadata.dt_range[0]), metadata.t_max)
        if metadata.dt_range[1] > metadata.dt_range[0]:
            # A few steps suffice where their length is free.
            step = min(max(metadata.t_max / 8, step), metadata.dt_range[1])
        count = min(max(int(metadata.t_max / step * 1.0001), 1), STEPS)
        maps = []
        sampled = np.concatenate(self.sampled)
        for (x, y), edges, (errors, counted) in zip(
            self.pairs, self.edges, self.sums, strict=True
        ):
            physical = static_gas(sampled, (x, y), edges)
            expected, reliable = self._end(initial, physical, step, count)
            labels = [f"{metadata.parameters[i]} ({metadata.units[i]})" for i in (x, y)]
            with np.errstate(invalid="ignore"):
                actual = errors / counted
            maps.append(
                ErrorMap(
                    labels=(labels[0], labels[1]),
                    edges=edges,
                    expected=expected.reshape(CELLS, CELLS),
                    reliable=reliable.reshape(CELLS, CELLS),
                    actual=actual,
                    start=start,
                    years=step * count,
                )
            )
        return maps

    def _end(
        self, initial: np.ndarray, physical: np.ndarray, step: float, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return expected error and reliability of the last states, (n,).

        The expected error is NaN if more than its size speaks against a state.
        """
        tracers = len(physical)
        _, expected, status = self.context.emulate(
            np.repeat(initial[None], tracers, axis=0).astype("float32"),
            np.repeat(physical[:, None], count, axis=1).astype("float32"),
            np.tile(step * np.arange(count + 1.0), (tracers, 1)),
            state_indices=[count],
            return_expected_error=True,
            return_status=True,
        )
        expected, status = expected[:, 0], status[:, 0]
        unlike = status & np.uint8(UNRELIABLE & ~Status.ERROR) > 0
        return np.where(unlike, np.nan, expected), is_reliable(status)


def static_gas(
    sampled: np.ndarray, pair: tuple[int, int], edges: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the parameters of static gas at the centres of the cells.

    Parameters other than the pair are the medians of the sampled states that are
    nearest in the logarithms of the pair.

    Args:
        sampled: Parameters of states, (M, P).
        pair: Columns of the two parameters of the map.
        edges: Edges of the cells along each, (G+1,).

    Returns:
        Parameters, (G * G, P); the second of the pair varies fastest.
    """
    centres = [np.sqrt(x[1:] * x[:-1]) for x in edges]
    grid = np.stack(np.meshgrid(*centres, indexing="ij"), -1).reshape(-1, 2)
    logs = np.log10(sampled[:, pair])
    physical = np.empty((len(grid), sampled.shape[1]))
    for row, place in zip(physical, np.log10(grid), strict=True):
        distance = np.square(logs - place).sum(1)
        row[:] = np.median(sampled[np.argsort(distance)[:NEAREST]], axis=0)
    physical[:, pair] = grid
    return physical
