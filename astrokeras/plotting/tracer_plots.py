"""Figures of one tracer: abundances over time against their solution, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError
from astrokeras.models.requested_outputs import RequestedOutputs, choose_columns
from astrokeras.plotting.course_curves import (
    ABUNDANCE,
    TIME,
    WIDE,
    course_legend,
    draw_course,
    finish_course,
)
from astrokeras.plotting.plot_style import (
    BLUE,
    COLUMN,
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
    courses = _courses(time, truth, prediction, sigma, species, shown)
    if len(courses.names) > len(SERIES):
        raise InputError(
            f"`shown` has {len(courses.names)} species; one figure tells {len(SERIES)} "
            "apart, `plot_species_panels` any number."
        )
    with paper_axes(ax, 3.1) as ax:
        handles = []
        for i, (name, colour) in enumerate(zip(courses.names, SERIES, strict=False)):
            courses.draw(ax, i, colour)
            handles.append(legend_line(colour, "-", species_label(name), WIDE))
        handles += courses.legend()
        finish_course(ax, courses.years)
        ax.set(xlabel=TIME, ylabel=ABUNDANCE)
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

    courses = _courses(time, truth, prediction, sigma, species, shown)
    count = len(courses.names)
    if ax is not None:
        panels = np.ravel(np.asarray(ax, dtype=object))
        if len(panels) < count:
            raise InputError(
                f"`ax` has {len(panels)} axes for {count} species; give one for each."
            )
        _draw_panels(panels, courses)
        for axes in panels[:count]:
            axes.set(xlabel=TIME, ylabel=ABUNDANCE)
    else:
        with mpl.rc_context(PAPER):
            rows = -(-count // 2)
            figure = new_figure(COLUMN, 0.7 + 1.15 * rows)
            panels = figure.subplots(rows, 2, sharex=True, squeeze=False).ravel()
            _draw_panels(panels, courses)
            _label_grid(figure, panels, count, courses.legend())
    return panels[:count]


@dataclass(frozen=True)
class _Courses:
    """Years since the start, (T+1,), and the shown species of a tracer, (T+1, n)."""

    names: list[str]
    years: np.ndarray
    truth: np.ndarray | None
    prediction: np.ndarray
    sigma: np.ndarray | None

    def draw(self, axes: Axes, i: int, colour: str) -> None:
        """Draw the i-th of the shown species."""
        truth = None if self.truth is None else self.truth[:, i]
        sigma = None if self.sigma is None else self.sigma[:, i]
        draw_course(axes, self.years, truth, self.prediction[:, i], sigma, colour)

    def legend(self) -> list[Any]:
        """Return what tells solution, prediction and band apart."""
        return course_legend(self.truth, self.sigma)


def _draw_panels(panels: np.ndarray, courses: _Courses) -> None:
    for i, (axes, name) in enumerate(zip(panels, courses.names, strict=False)):
        courses.draw(axes, i, BLUE)
        finish_course(axes, courses.years)
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


def _courses(
    time: Any,
    truth: Any,
    prediction: Any,
    sigma: Any,
    species: Sequence[str],
    shown: Sequence[str] | None,
) -> _Courses:
    """Return the courses of the species shown, checked and added up."""
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
        if one is None and name != "prediction":
            continue
        found = () if one is None else one.shape
        if found != shape:
            raise InputError(
                f"`{name}` has shape {found}; give {shape}, the states of "
                "`time` by the `species`, of one tracer."
            )
    names = observers_species(species) if shown is None else list(np.atleast_1d(shown))
    if not names:
        raise InputError(
            "`species` has none of the observers' species; name some with `shown`."
        )
    columns, mixing = choose_columns(species, [str(name) for name in names])
    request = RequestedOutputs(columns, mixing, None, conserve=False)
    floored = np.maximum(np.asarray(prediction, dtype="float64"), FLOOR)
    summed, bars = request.add_up(floored[:, columns], arrays["sigma"])
    solved = arrays["truth"]
    solved = None if solved is None else request.select(solved)
    return _Courses(names, years - years[0], solved, summed, bars)
