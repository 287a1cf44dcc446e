"""Figure of expected and true errors over pairs of physical parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astrokeras.plotting.plot_style import label_decades, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMITS = (0.03, 1.0)  # dex, of the colours


@dataclass(frozen=True)
class ErrorMap:
    """Errors over two parameters, in cells of equal size in the logarithm.

    Attributes:
        labels: Names and units of the parameters.
        edges: Edges of the cells along each parameter, (G+1,) and (G+1,).
        expected: Expected error of static gas, dex, (G, G); the first axis is that of
            the first parameter. NaN where gas is unlike training, since the expected
            error is calibrated only on gas like that of training.
        reliable: Whether that state is reliable, (G, G).
        actual: Mean error of the evaluated states, dex, (G, G); NaN in empty cells.
        start: Name of the initial abundances of the static gas.
        years: Age of the static gas.
    """

    labels: tuple[str, str]
    edges: tuple[np.ndarray, np.ndarray]
    expected: np.ndarray
    reliable: np.ndarray
    actual: np.ndarray
    start: str
    years: float


def plot_error_maps(maps: Sequence[ErrorMap]) -> Figure:
    """Plot expected errors of static gas above the errors of evaluated states.

    Cells where static gas is not reliable are hatched; those without a value are grey.

    Args:
        maps: A column each, one at least.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    figure = new_figure(0.6 + 4.2 * len(maps), 7.6)
    colours = ScalarMappable(LogNorm(*LIMITS), "cividis")
    axes = figure.subplots(2, len(maps), sharex="col", sharey="col", squeeze=False)
    for column, one in enumerate(maps):
        upper, lower = axes[:, column]
        for place, values in ((upper, one.expected), (lower, one.actual)):
            place.pcolormesh(
                *one.edges, values.T, norm=colours.norm, cmap=colours.cmap, zorder=1
            )
            place.set(xscale="log", yscale="log", ylabel=_typeset(one.labels[1]))
            place.grid(visible=False)
            place.set_facecolor("0.92")
            for axis, edges in zip((place.xaxis, place.yaxis), one.edges, strict=True):
                if edges[-1] / edges[0] < 1e3 and edges[-1] < 1e4:
                    label_decades(axis)
        if not one.reliable.all():
            centres = [np.sqrt(x[1:] * x[:-1]) for x in one.edges]
            for places, edges in zip(centres, one.edges, strict=True):
                places[[0, -1]] = edges[[0, -1]]  # hatched up to the axes
            hatches = upper.contourf(
                *centres,
                (~one.reliable).T.astype(float),
                levels=[0.5, 1.5],
                colors="none",
                hatches=["///"],
                zorder=2,
            )
            hatches.set(edgecolor="0.6", linewidth=0)
        lower.set_xlabel(_typeset(one.labels[0]))
    age = f"{maps[0].years / 1e3:.3g} kyr"
    axes[0, 0].set_title(
        f"Expected: static gas from “{maps[0].start}” after {age};\n"
        "hatched: not reliable; grey: unlike training",
        loc="left",
        fontsize=9.5,
    )
    axes[1, 0].set_title(
        "Found: evaluated states, mean in each cell; grey: none",
        loc="left",
        fontsize=9.5,
    )
    bar = figure.colorbar(colours, ax=axes, extend="both", shrink=0.6, pad=0.02)
    bar.set_label("error of a state, mean over species (dex)")
    label_decades(bar.ax.yaxis)
    return figure


def _typeset(label: str) -> str:
    """Return a label with its exponent raised."""
    return label.replace("^-3", "$^{-3}$")
