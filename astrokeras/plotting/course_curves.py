"""Curves of one species along one tracer: solution, prediction and error bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.plotting.coverage_plot import NINETY
from astrokeras.plotting.plot_style import GREY, RED, legend_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME = "time since the start (kyr)"
ABUNDANCE = "abundance relative to H nuclei"
WIDE, THIN = 2.4, 1.4  # lines of the solution and of the prediction, points
FAINT = 0.45  # opacity of the solution
JUMP = 8.0  # decades between two states of a solution
CROWDED = 0.1  # of the time: if most states are earlier, its axis is logarithmic


def draw_course(
    axes: Axes,
    time: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    sigma: np.ndarray | None,
    colour: str,
) -> None:
    """Draw one species of one tracer: solution wide, prediction dashed, 90 % band.

    State 0 is not drawn. A cross marks a solution that jumps by eight decades from one
    state to the next, as UCLCHEM's does at times.

    Args:
        axes: Axes to draw on.
        time: Years since the start, (T+1,).
        truth: Solved abundances, (T+1,), `None` for none.
        prediction: Predicted abundances, (T+1,).
        sigma: Error bars in dex, (T+1,), `None` for none.
        colour: Colour of all three.
    """
    kyr, values = time[1:] / 1000.0, np.maximum(prediction[1:], FLOOR)
    if sigma is not None:
        factor = 10.0 ** (NINETY * sigma[1:])
        axes.fill_between(
            kyr, values / factor, values * factor, color=colour, alpha=0.2, lw=0
        )
    if truth is not None:
        solved = np.maximum(truth[1:], FLOOR)
        axes.plot(kyr, solved, "-", color=colour, lw=WIDE, alpha=FAINT)
        jumps = np.flatnonzero(np.abs(np.diff(np.log10(solved))) >= JUMP) + 1
        if jumps.size:
            axes.plot(kyr[jumps], solved[jumps], "x", color=RED, ms=6)
    axes.plot(kyr, values, "--", color=colour, lw=THIN)


def finish_course(axes: Axes, time: np.ndarray | None = None) -> None:
    """Give axes of abundances a logarithmic scale that spans whole decades.

    Args:
        axes: Axes with the lines of `draw_course`.
        time: Years since the start, (T+1,), which choose the scale of their axis;
            `None` for a linear one.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    values = np.concatenate([one[np.isfinite(one)] for one in drawn])
    if values.size:
        low, high = values.min(), values.max()
        bottom = 10.0 ** np.floor(np.log10(low)) if low > FLOOR else FLOOR / 3
        axes.set_ylim(bottom, 10.0 ** (np.floor(np.log10(high)) + 1))
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if time is not None and np.median(time[1:]) < CROWDED * time[-1]:
        axes.set_xscale("log")


def course_legend(truth: Any, sigma: Any) -> list[Any]:
    """Return what tells solution, prediction and band apart in a legend.

    Args:
        truth: Solved abundances, `None` if they are not drawn.
        sigma: Error bars, `None` if they are not drawn.
    """
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if truth is not None:
        handles.append(legend_line(GREY, "-", "solved (wide)", WIDE, 0.6))
    handles.append(legend_line(GREY, "--", "predicted", THIN))
    if sigma is not None:
        handles.append(Patch(color=GREY, alpha=0.3, lw=0, label="90 % error bar"))
    return handles
