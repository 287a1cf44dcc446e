"""Figures of one tracer: abundances over time against their solution, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.models.requested_outputs import RequestedOutputs, choose_columns
from astrokeras.plotting.coverage_plot import NINETY
from astrokeras.plotting.plot_style import (
    BLUE,
    COLUMN,
    GREY,
    PAPER,
    SERIES,
    keep_size,
    legend_line,
    new_figure,
    paper_axes,
)
from astrokeras.plotting.species_selection import observers_species, species_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TIME = "time since the start (kyr)"
ABUNDANCE = "abundance relative to H nuclei"
WIDE, THIN = 2.4, 1.4  # lines of the solution and of the prediction, points
FAINT = 0.45  # opacity of the solution
CROWDED = 0.1  # of the time: if most states are earlier, its axis is logarithmic


def plot_tracer(
    time: Any,
    truth: Any,
    prediction: Any,
    sigma: Any = None,
    *,
    species: Sequence[str],
    shown: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot abundances of one tracer over time: solution, prediction and 90 % bands.

    State 0, which is given, is not drawn. The axis of time is logarithmic if most
    states lie in the first tenth of the time.

    Args:
        time: Years of the states, (T+1,).
        truth: Solved abundances relative to H nuclei, (T+1, S); `None` for none.
        prediction: Predicted abundances, (T+1, S).
        sigma: Error bars in dex, (T+1, S), as `emulate(return_sigma=True)` returns
            them; `None` for no bands. A band ends at factors of 10^(±1.645 sigma).
        species: Names in column order, (S,).
        shown: Names of the species to plot, seven at most; `$X` is the total ice, `#X`
            + `@X`. By default those of CO, HCO+, N2H+, NH3, CH3OH, $H2O and $CO that
            `species` has.
        ax: Axes to draw on; by default those of a new figure, 3.5 inches wide.

    Raises:
        InputError: If a shape does not fit, a species is unknown, or there is none.

    Returns:
        The axes.
    """
    names, curves = _courses(time, truth, prediction, sigma, species, shown)
    if len(names) > len(SERIES):
        raise InputError(
            f"`shown` has {len(names)} species; one figure tells {len(SERIES)} apart, "
            "`plot_species_panels` any number."
        )
    with paper_axes(ax, 3.1) as ax:
        for i, colour in enumerate(SERIES[: len(names)]):
            draw_course(ax, *(_column(x, i) for x in curves), colour)
        finish_course(ax, curves[0])
        ax.set(xlabel=TIME, ylabel=ABUNDANCE)
        handles = [
            legend_line(colour, "-", species_label(name), WIDE)
            for colour, name in zip(SERIES, names, strict=False)
        ]
        handles += course_legend(*curves[1::2])
        ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            borderaxespad=0.2,
            ncols=3,
            columnspacing=1.2,
        )
    return ax


def plot_species_panels(
    time: Any,
    truth: Any,
    prediction: Any,
    sigma: Any = None,
    *,
    species: Sequence[str],
    shown: Sequence[str] | None = None,
    ax: Sequence[Axes] | None = None,
) -> np.ndarray:
    """Plot abundances of one tracer over time, each species in a panel of its own.

    State 0, which is given, is not drawn. The panels share the axis of time, which is
    logarithmic if most states lie in the first tenth of the time.

    Args:
        time: Years of the states, (T+1,).
        truth: Solved abundances relative to H nuclei, (T+1, S); `None` for none.
        prediction: Predicted abundances, (T+1, S).
        sigma: Error bars in dex, (T+1, S); `None` for no bands.
        species: Names in column order, (S,).
        shown: Names of the species to plot; by default as in `plot_tracer`.
        ax: Axes to draw on, as many as species or more, each of which is labelled; by
            default two columns of a new figure, 3.5 inches wide.

    Raises:
        InputError: If a shape does not fit, a species is unknown, there is none, or
            `ax` has too few axes.

    Returns:
        The axes, one for each species, (len(shown),).
    """
    import matplotlib as mpl

    names, curves = _courses(time, truth, prediction, sigma, species, shown)
    if ax is not None:
        panels = np.ravel(np.asarray(ax, dtype=object))
        if len(panels) < len(names):
            raise InputError(
                f"`ax` has {len(panels)} axes for {len(names)} species; give one for "
                "each."
            )
        _draw_panels(panels, names, curves)
        for axes in panels[: len(names)]:
            axes.set(xlabel=TIME, ylabel=ABUNDANCE)
    else:
        with mpl.rc_context(PAPER):
            rows = -(-len(names) // 2)
            figure = new_figure(COLUMN, 0.7 + 1.15 * rows)
            panels = figure.subplots(rows, 2, sharex=True, squeeze=False).ravel()
            _draw_panels(panels, names, curves)
            _label_grid(figure, panels, len(names), course_legend(*curves[1::2]))
    return panels[: len(names)]


def draw_course(
    axes: Axes,
    time: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    sigma: np.ndarray | None,
    colour: str,
) -> None:
    """Draw one species of one tracer: solution wide, prediction dashed, 90 % band.

    State 0 is not drawn.

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


def _draw_panels(panels: np.ndarray, names: list[str], curves: Any) -> None:
    for i, (axes, name) in enumerate(zip(panels, names, strict=False)):
        draw_course(axes, *(_column(x, i) for x in curves), BLUE)
        finish_course(axes, curves[0])
        axes.set_title(species_label(name), pad=3)


def _label_grid(
    figure: Figure, panels: np.ndarray, count: int, handles: list[Any]
) -> None:
    """Label the axes of two columns once, and put the legend where there is room."""
    for axes in panels[:count]:
        keep_size(axes)
    for axes in panels[count:]:
        axes.set_axis_off()
        axes.legend(handles=handles, loc="center")
        panels[count - 2].tick_params(labelbottom=True)
    panels[count - 1].tick_params(labelbottom=True)
    if count == len(panels):
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    figure.supxlabel(TIME, fontsize=8)
    figure.supylabel(ABUNDANCE, fontsize=8)


def _column(values: np.ndarray | None, i: int) -> np.ndarray | None:
    return values[:, i] if values is not None and values.ndim == 2 else values


def _courses(
    time: Any,
    truth: Any,
    prediction: Any,
    sigma: Any,
    species: Sequence[str],
    shown: Sequence[str] | None,
) -> tuple[list[str], list[Any]]:
    """Return the names shown, and years, truth, prediction and sigma of these."""
    species = list(species)
    years = np.asarray(time, dtype="float64")
    shape = (len(years) if years.ndim else 0, len(species))
    if years.ndim != 1 or shape[0] < 2:
        raise InputError(
            f"`time` has shape {years.shape}; give the years of two states or more, "
            "(T+1,)."
        )
    given = {"truth": truth, "prediction": prediction, "sigma": sigma}
    arrays = {
        name: None if one is None else np.asarray(one, dtype="float64")
        for name, one in given.items()
    }
    for name, one in arrays.items():
        if one is not None and one.shape != shape:
            raise InputError(
                f"`{name}` has shape {one.shape}; give {shape}, the states of `time` "
                "by the `species`, of one tracer."
            )
    names = observers_species(species) if shown is None else list(np.atleast_1d(shown))
    if not names:
        raise InputError(
            "`species` has none of the observers' species; name some with `shown`."
        )
    columns, mixing = choose_columns(species, [str(name) for name in names])
    request = RequestedOutputs(columns, mixing, None, conserve=False)
    curves: list[Any] = [years - years[0]]
    solved = arrays["truth"]
    curves.append(None if solved is None else request.select(solved))
    decoded = np.maximum(arrays["prediction"], FLOOR)[:, columns]
    curves.extend(request.add_up(decoded, arrays["sigma"]))
    return names, curves
