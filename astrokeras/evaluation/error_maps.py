"""Maps of the error: expected of static gas, and found in the evaluated states."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.reader import Tracers
from astrokeras.errors import InputError
from astrokeras.evaluation.context import EvaluationContext, Prediction
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.status import UNRELIABLE, Status, is_reliable
from astrokeras.plotting.error_map_plot import ErrorMap
from astrokeras.system import arguments

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
        self.context = context
        names = context.limits.parameters
        self.edges = {
            (names.index(pair[0]), names.index(pair[1])): edges
            for pair in PAIRS
            if (edges := cell_edges(context.limits, pair)) is not None
        }
        self.sums = np.zeros((len(self.edges), 2, CELLS, CELLS))
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
        for sums, (pair, edges) in zip(self.sums, self.edges.items(), strict=True):
            horizontal, vertical = physical[valid][:, pair].T
            for total, weights in zip(sums, (error, None), strict=True):
                found = np.histogram2d(
                    horizontal, vertical, bins=list(edges), weights=weights
                )
                total += found[0]
        some = np.unique(np.linspace(0, steps - 1, SAMPLED).astype(int))
        self.sampled.append(physical[:, some][valid[:, some]])

    def result(self) -> list[ErrorMap]:
        """Return a map for each pair of parameters, none without a named start."""
        context, maps = self.context, []
        if not (self.edges and context.limits.initial_conditions):
            return []
        sampled = np.concatenate(self.sampled)
        for (pair, edges), (errors, counted) in zip(
            self.edges.items(), self.sums, strict=True
        ):
            found = _expect(context.emulate, context.limits, sampled, pair, edges)
            with np.errstate(invalid="ignore"):
                maps.append(replace(found, actual=errors / counted))
        return maps


def map_expected_error(
    surrogate: Any, sampled: Any, pair: tuple[str, str] = PAIRS[0]
) -> ErrorMap:
    """Return the expected error of static gas over two parameters.

    Gas of the surrogate's first named initial abundances evolves at constant parameters
    for the trained time. `plotting.plot_expected_error` draws the map.

    Args:
        surrogate: A calibrated `Surrogate`.
        sampled: Parameters of gas like yours in the surrogate's order, (..., P), such
            as `physical` of a few tracers: parameters that are not in the pair are the
            medians of the 25 states nearest in the pair.
        pair: Names of the two parameters.

    Raises:
        InputError: If the surrogate is not calibrated or has no named initial
            abundances, or if its training did not vary one of the parameters.
    """
    metadata = surrogate.metadata
    for name in pair:
        if name not in metadata.parameters:
            raise InputError(
                f"parameter {arguments.shown(name)} is not one of this surrogate; name "
                f"two of {', '.join(metadata.parameters)}."
            )
    edges = cell_edges(metadata, pair)
    if edges is None or not metadata.initial_conditions:
        raise InputError(
            f"there is no map over {pair[0]} and {pair[1]}: the surrogate was trained "
            "at one value of one of them, or has no named initial abundances."
        )
    states = as_numbers(
        "sampled",
        sampled,
        "float64",
        columns=metadata.parameters,
        units=metadata.units,
    )
    width = len(metadata.parameters)
    if not states.size or states.shape[-1] != width or not (states > 0).all():
        raise InputError(
            f"`sampled` has shape {states.shape}; give (..., {width}), the parameters "
            "of some states, finite and positive."
        )
    flat = states.reshape(-1, width)
    x, y = (metadata.parameters.index(name) for name in pair)
    with warnings.catch_warnings():
        # Gas unlike training is what the map shows.
        warnings.simplefilter("ignore", UserWarning)
        return _expect(surrogate.emulate, metadata, flat, (x, y), edges)


def cell_edges(
    metadata: SurrogateMetadata, pair: tuple[str, str]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return edges of cells over the trained ranges of two parameters, (G+1,) each.

    `None` if a parameter is none of the surrogate's or was the same everywhere.
    """
    ranges = [metadata.parameter_ranges.get(name, (1, 1)) for name in pair]
    if not all(high > low for low, high in ranges):
        return None
    x, y = (np.geomspace(*bounds, CELLS + 1) for bounds in ranges)
    return x, y


def _expect(
    emulate: Callable[..., Any],
    metadata: SurrogateMetadata,
    sampled: np.ndarray,
    pair: tuple[int, int],
    edges: tuple[np.ndarray, np.ndarray],
) -> ErrorMap:
    """Return the expected error of static gas.

    The expected error is NaN if more than its size speaks against a state.

    Args:
        emulate: `Surrogate.emulate`.
        metadata: Metadata of the surrogate, with named initial abundances.
        sampled: Parameters of states, (M, P).
        pair: Columns of the two parameters.
        edges: Edges of the cells along each, (G+1,).
    """
    start, initial = next(iter(metadata.initial_conditions.items()))
    step = min(max(metadata.t_max / STEPS, metadata.dt_range[0]), metadata.t_max)
    if metadata.dt_range[1] > metadata.dt_range[0]:
        # A few steps suffice where their length is free.
        step = min(max(metadata.t_max / 8, step), metadata.dt_range[1])
    count = min(max(int(metadata.t_max / step * 1.0001), 1), STEPS)
    physical = static_gas(sampled, pair, edges)
    tracers = len(physical)
    _, expected, status = emulate(
        np.repeat(initial[None], tracers, axis=0).astype("float32"),
        np.repeat(physical[:, None], count, axis=1).astype("float32"),
        np.tile(step * np.arange(count + 1.0), (tracers, 1)),
        state_indices=[count],
        return_expected_error=True,
        return_status=True,
    )
    expected, status = expected[:, 0], status[:, 0]
    unlike = status & np.uint8(UNRELIABLE & ~Status.ERROR) > 0
    labels = [f"{metadata.parameters[i]} ({metadata.units[i]})" for i in pair]
    return ErrorMap(
        labels=(labels[0], labels[1]),
        edges=edges,
        expected=np.where(unlike, np.nan, expected).reshape(CELLS, CELLS),
        reliable=is_reliable(status).reshape(CELLS, CELLS),
        start=start,
        years=step * count,
    )


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
