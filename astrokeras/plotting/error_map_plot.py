"""Figure of expected and true errors over pairs of physical parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.errors import InputError
from astrokeras.plotting.plot_style import label_decades, new_figure, paper_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
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
        start: Name of the initial abundances of the static gas.
        years: Age of the static gas.
        actual: Mean error of the evaluated states, dex, (G, G); NaN in empty cells,
            `None` if no states were evaluated.
    """

    labels: tuple[str, str]
    edges: tuple[np.ndarray, np.ndarray]
    expected: np.ndarray
    reliable: np.ndarray
    start: str
    years: float
    actual: np.ndarray | None = None


def plot_error_maps(maps: Sequence[ErrorMap]) -> Figure:
    """Plot expected errors of static gas above the errors of evaluated states.

    Cells where static gas is not reliable are hatched; those without a value are grey.

    Args:
        maps: A column each, one at least, with `actual`.
    """
    figure = new_figure(0.6 + 4.2 * len(maps), 7.6)
    axes = figure.subplots(2, len(maps), sharex="col", sharey="col", squeeze=False)
    for column, one in enumerate(maps):
        upper, lower = axes[:, column]
        assert one.actual is not None
        _draw_map(upper, one.edges, one.expected, one.reliable)
        colours = _draw_map(lower, one.edges, one.actual)
        for place in (upper, lower):
            place.set_ylabel(_typeset(one.labels[1]))
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


def plot_expected_error(
    edges: tuple[Any, Any],
    expected: Any,
    reliable: Any = None,
    *,
    labels: tuple[str, str],
    ax: Axes | None = None,
) -> Axes:
    """Plot the expected error over two parameters, such as density and temperature.

    Cells that are not reliable are hatched; those without a value are grey.
    `evaluation.error_maps.map_expected_error` computes all arguments.

    Args:
        edges: Edges of the cells along each parameter, increasing and positive,
            (X+1,) and (Y+1,).
        expected: Expected errors of a state, mean over species, dex, (X, Y); NaN for
            none.
        reliable: Whether each is reliable, (X, Y); `None` for no hatches.
        labels: Names and units of the parameters, such as "gasTemp (K)".
        ax: Axes to draw on; by default those of a new figure, 3.5 inches wide.

    Raises:
        InputError: If a shape does not fit.

    Returns:
        The axes.
    """
    x, y = (np.asarray(one, dtype="float64") for one in edges)
    shape = (x.size - 1, y.size - 1)
    values = np.asarray(expected, dtype="float64")
    inside = None if reliable is None else np.asarray(reliable, dtype=bool)
    for name, one in (("expected", values), ("reliable", inside)):
        if one is not None and one.shape != shape:
            raise InputError(
                f"`{name}` has shape {one.shape}; give {shape}, a value for each cell "
                "between the `edges`."
            )
    with paper_axes(ax, 2.7) as ax:
        colours = _draw_map(ax, (x, y), values, inside)
        ax.set(xlabel=_typeset(labels[0]), ylabel=_typeset(labels[1]))
        bar = ax.figure.colorbar(colours, ax=ax, extend="both", pad=0.02)
        bar.set_label("expected error (dex)")
        bar.ax.tick_params(labelsize=ax.yaxis.label.get_fontsize())
        label_decades(bar.ax.yaxis)
    return ax


def _draw_map(
    axes: Axes,
    edges: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
    reliable: np.ndarray | None = None,
) -> ScalarMappable:
    """Draw errors in cells, hatched if not reliable, and return their colours."""
    from matplotlib.colors import LogNorm

    mesh = axes.pcolormesh(
        *edges, values.T, norm=LogNorm(*LIMITS), cmap="cividis", zorder=1
    )
    axes.set(xscale="log", yscale="log")
    axes.grid(visible=False)
    axes.set_facecolor("0.92")
    for axis, ends in zip((axes.xaxis, axes.yaxis), edges, strict=True):
        if ends[-1] / ends[0] < 1e3 and ends[-1] < 1e4:
            label_decades(axis)
    if reliable is not None and not reliable.all():
        centres = [np.sqrt(x[1:] * x[:-1]) for x in edges]
        for places, ends in zip(centres, edges, strict=True):
            places[[0, -1]] = ends[[0, -1]]  # hatched up to the axes
        hatches = axes.contourf(
            *centres,
            (~reliable).T.astype(float),
            levels=[0.5, 1.5],
            colors="none",
            hatches=["///"],
            zorder=2,
        )
        hatches.set(edgecolor="0.6", linewidth=0)
    return mesh


def _typeset(label: str) -> str:
    """Return a label with its exponent raised."""
    return label.replace("^-3", "$^{-3}$")
