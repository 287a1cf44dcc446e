"""Parity plot: predicted against solved abundances, counted in hexagons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.data.tracers.abundance_scaling import decades, log10_abundances
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.plotting.plot_style import BLACK, RED, paper_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS_PER_DECADE = 20
CELLS = round(CELLS_PER_DECADE * decades(FLOOR))
HEXAGONS = 50  # most hexagons across the plot
MARGIN = 0.3  # dex, of the lines beside that of equal abundances


class ParityCounts:
    """Counts of predicted and solved abundances, in constant memory.

    Attributes:
        counts: Entries in cells of 0.05 dex, (cells, cells): log10 of the solved
            abundance from -20 to 0, then that of the predicted one.
        entries: Number of entries.
        summed: Sum of their errors |log10 p - log10 x|, dex.
    """

    def __init__(self) -> None:
        self.counts = np.zeros((CELLS, CELLS), np.int64)
        self.entries, self.summed = 0, 0.0

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Add solved and predicted abundances, both of one shape.

        Both are clipped to [1e-20, 1]. Entries without a solution (NaN) are left out,
        predictions that are NaN count as 1e-20.
        """
        solved = np.isfinite(truth)
        pair = (truth[solved], np.nan_to_num(prediction[solved], nan=0.0))
        logs = [log10_abundances(x.astype("float64"), highest=1.0) for x in pair]
        self.entries += len(logs[0])
        self.summed += float(np.abs(logs[1] - logs[0]).sum())
        cells = [
            np.clip((x + decades(FLOOR)) * CELLS_PER_DECADE, 0, CELLS - 1).astype(int)
            for x in logs
        ]
        flat = np.bincount(cells[0] * CELLS + cells[1], minlength=CELLS**2)
        self.counts += flat.reshape(self.counts.shape)


def plot_parity(truth: Any, prediction: Any, *, ax: Axes | None = None) -> Axes:
    """Plot predicted against solved abundances, as counts in hexagons.

    An entry is one species at one state. The title is the mean error in dex; lines
    mark equal abundances and ±0.3 dex.
    Abundances are clipped to [1e-20, 1]. State 0 is given: leave it out.

    Args:
        truth: Solved abundances relative to H nuclei, any shape; NaN is left out.
        prediction: Predicted abundances, the same shape.
        ax: Axes to draw on; by default those of a new figure, 3.5 inches wide.

    Raises:
        InputError: If the shapes differ or there is no entry.

    Returns:
        The axes.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise InputError(
            f"`truth` has shape {truth.shape}, `prediction` {prediction.shape}; give "
            "both the same states and species."
        )
    counts = ParityCounts()
    counts.add(truth, prediction)
    return draw_parity(counts, ax)


def draw_parity(counts: ParityCounts, ax: Axes | None = None) -> Axes:
    """Draw the parity plot of counts; see `plot_parity`.

    Raises:
        InputError: If there is no entry.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    if not counts.entries:
        raise InputError("`truth` has no finite entry; there is nothing to plot.")
    x, y = np.nonzero(counts.counts)
    both = np.concatenate([x, y])
    low, high = both.min() // CELLS_PER_DECADE, both.max() // CELLS_PER_DECADE + 1
    low, high = (float(end - decades(FLOOR)) for end in (low, high))
    with paper_axes(ax, 2.9) as ax:
        mesh = ax.hexbin(
            (x + 0.5) / CELLS_PER_DECADE - decades(FLOOR),
            (y + 0.5) / CELLS_PER_DECADE - decades(FLOOR),
            C=counts.counts[x, y],
            reduce_C_function=np.sum,
            gridsize=min(HEXAGONS, round((high - low) * CELLS_PER_DECADE / 4)),
            extent=(low, high, low, high),
            norm=LogNorm(),
            cmap="cividis",
            linewidths=0.1,
        )
        ends = np.array([low, high])
        ax.plot(ends, ends, color=BLACK, lw=0.8, label="equal")
        style: dict[str, Any] = {"color": RED, "lw": 0.8, "ls": "--"}
        ax.plot(ends, ends + MARGIN, **style, label=f"±{MARGIN:g} dex")
        ax.plot(ends, ends - MARGIN, **style)
        ax.set(
            xlim=(low, high),
            ylim=(low, high),
            aspect="equal",
            xlabel="log$_{10}$ solved abundance (rel. to H)",
            ylabel="log$_{10}$ predicted abundance (rel. to H)",
            title=f"mean error {counts.summed / counts.entries:.2g} dex",
        )
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True))
        ax.grid(visible=False)
        ax.legend(loc="upper left")
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
        bar.set_label("entries in a hexagon")
        bar.ax.tick_params(labelsize=ax.yaxis.label.get_fontsize())
    return ax
