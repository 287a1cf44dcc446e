"""Plot style: colours, lines and axes of all figures.

The colours are those of Okabe and Ito, which colour-blind readers can distinguish.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#777777"
SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
"""Colours of lines that are told apart by colour, in this order."""
# Colour, line style and label of each prediction, in every figure.
LOOK = {
    "surrogate": (BLUE, "-", "surrogate"),
    "reconstruction": (GREEN, "--", "autoencoder alone"),
    "nearest_tracer": (RED, "-.", "nearest training tracer"),
    "mean_trajectory": (PURPLE, ":", "mean training trajectory"),
}
SPARSE = 1000  # an axis of more than this ratio has room for decades only
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
COLUMN = 3.5
"""Width of a column of a journal, inches."""
PAPER = STYLE | {"font.size": 8, "legend.fontsize": 7, "axes.titlesize": 8}
"""Style of figures at the width of a column."""


def legend_line(
    colour: str, line: str, label: str, width: float, alpha: float = 1.0
) -> Line2D:
    """Return a line for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, ls=line, lw=width, alpha=alpha, label=label)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches."""
    # Without pyplot, which keeps a list of open figures and may open windows.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure


@contextmanager
def paper_axes(ax: Axes | None, height: float) -> Iterator[Axes]:
    """Yield the given axes, or those of a new figure at the width of a column.

    Args:
        ax: Axes to draw on, which keep their own style; `None` for a new figure.
        height: Height of a new figure, inches.
    """
    if ax is not None:
        yield ax
        return
    import matplotlib as mpl

    with mpl.rc_context(PAPER):
        own = new_figure(COLUMN, height).add_subplot()
        keep_size(own)
        yield own


def keep_size(axes: Axes) -> None:
    """Keep the size of the tick labels, which are made when the figure is drawn."""
    import matplotlib as mpl

    axes.tick_params(which="both", labelsize=mpl.rcParams["font.size"])


def label_decades(axis: Any, sparse: bool = False) -> None:
    """Label a logarithmic axis 0.1, 0.2, 0.5, 1 instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0,) if sparse else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
