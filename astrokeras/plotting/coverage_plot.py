"""Coverage plot: the share of errors within error bars against their nominal level."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.models.metadata import COVERAGE
from astrokeras.plotting.plot_style import GREY, LOOK, paper_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Nominal levels of the intervals."""


def sigmas(level: float) -> float:
    """Return how many sigma each half of an interval of a nominal level spans.

    Those of a normal distribution: 1.645 for 90 %.
    """
    return NormalDist().inv_cdf((1 + level) / 2)


NINETY = sigmas(COVERAGE)
"""Half of a 90 % interval, in sigma."""


class CoverageCounts:
    """Counts errors within intervals of all `LEVELS`, in constant memory.

    Attributes:
        inside: Errors within the interval of each level, (levels,).
        entries: Number of errors.
    """

    def __init__(self) -> None:
        self.inside = np.zeros(len(LEVELS), np.int64)
        self.entries = 0

    def add(self, error: np.ndarray, sigma: np.ndarray) -> None:
        """Add errors |log10 p - log10 x| and their sigma, dex, both (n,)."""
        edges = np.array([sigmas(level) for level in LEVELS])
        # Level k holds the errors of at most edges[k] sigma.
        first = np.searchsorted(edges, error / sigma)
        self.inside += np.bincount(first, minlength=len(LEVELS) + 1)[:-1].cumsum()
        self.entries += len(error)

    @property
    def shares(self) -> np.ndarray:
        """Share of errors within the interval of each level, NaN without errors."""
        return self.inside / self.entries if self.entries else self.inside * np.nan


def plot_coverage(
    truth: Any, prediction: Any, sigma: Any, *, ax: Axes | None = None
) -> Axes:
    """Plot the share of errors within error bars against their nominal level.

    Intervals of a level of 10 to 99 % are as many sigma wide as for a normal
    distribution. Above the diagonal error bars are too wide, below too narrow. Entries
    count if their solved abundance is above 1e-20 and sigma is positive, which leaves
    out state 0.

    Args:
        truth: Solved abundances relative to H nuclei, any shape.
        prediction: Predicted abundances, the same shape.
        sigma: Error bars in dex, the same shape, as `emulate(return_sigma=True)`
            returns them.
        ax: Axes to draw on; by default those of a new figure, 3.5 inches wide.

    Raises:
        InputError: If the shapes differ or there is no entry.

    Returns:
        The axes.
    """
    truth, prediction, sigma = map(np.asarray, (truth, prediction, sigma))
    if not truth.shape == prediction.shape == sigma.shape:
        raise InputError(
            f"`truth` has shape {truth.shape}, `prediction` {prediction.shape}, "
            f"`sigma` {sigma.shape}; give all three the same states and species."
        )
    counted = (truth > FLOOR) & (sigma > 0)
    if not counted.any():
        raise InputError(
            "no entry has a solved abundance above 1e-20 and a positive `sigma`; there "
            "is nothing to plot."
        )
    logs = [
        log10_abundances(x[counted].astype("float64"), highest=1.0)
        for x in (np.nan_to_num(prediction, nan=0.0), truth)
    ]
    counts = CoverageCounts()
    counts.add(np.abs(logs[0] - logs[1]), sigma[counted])
    return draw_coverage(LEVELS, counts.shares, ax)


def draw_coverage(levels: Any, shares: Any, ax: Axes | None = None) -> Axes:
    """Draw the coverage plot of known shares; see `plot_coverage`.

    Args:
        levels: Nominal levels, between 0 and 1.
        shares: Share of errors within the interval of each level.
        ax: Axes to draw on; by default those of a new figure.
    """
    colour, line, label = LOOK["surrogate"]
    with paper_axes(ax, 3.1) as ax:
        ax.plot([0, 100], [0, 100], color=GREY, ls="--", lw=1, label="ideal")
        ax.plot(
            100 * np.asarray(levels),
            100 * np.asarray(shares),
            marker="o",
            ls=line,
            color=colour,
            ms=4,
            lw=1.6,
            label=label,
        )
        style: dict[str, Any] = {
            "color": GREY,
            "style": "italic",
            "transform": ax.transAxes,
        }
        ax.text(0.05, 0.72, "bars too wide", **style)
        ax.text(0.95, 0.28, "bars too narrow", ha="right", **style)
        ax.set(
            xlim=(0, 100),
            ylim=(0, 100),
            aspect="equal",
            xlabel="nominal level of the interval (%)",
            ylabel="errors inside (%)",
        )
        ax.legend(loc="upper left")
    return ax
