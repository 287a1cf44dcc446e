"""Figures of trajectories: solved and predicted abundances against time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

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
    ORANGE,
    PURPLE,
    SPARSE,
    label_decades,
    legend_line,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = 1e4  # an axis below it is labelled without powers of ten
DRIVERS = ("Density", "gasTemp")  # parameters shown first


@dataclass(frozen=True)
class ExampleTracers:
    """Solved and predicted trajectories of a few tracers.

    Attributes:
        labels: Legend entry of each tracer, (n,).
        time: Years since the start of each tracer, n arrays (states,).
        truth: Solved abundances, n arrays (states, S).
        prediction: Predicted abundances, n arrays (states, S).
        species: Columns of the species shown.
        physical: Parameters of each step, n arrays (states - 1, P).
        parameters: Their names and units, (P,).
        sigma: Error bars, dex, n arrays (states, S); `None` for no bands.
    """

    labels: list[str]
    time: list[np.ndarray]
    truth: list[np.ndarray]
    prediction: list[np.ndarray]
    species: list[int]
    physical: list[np.ndarray]
    parameters: list[tuple[str, str]]
    sigma: list[np.ndarray] | None = None

    def one(self, row: int) -> ExampleTracers:
        """Return one of the tracers alone."""
        part = slice(row, row + 1)
        return replace(
            self,
            labels=self.labels[part],
            time=self.time[part],
            truth=self.truth[part],
            prediction=self.prediction[part],
            physical=self.physical[part],
            sigma=self.sigma and self.sigma[part],
        )


def plot_trajectories(examples: ExampleTracers, species: Sequence[str]) -> Figure:
    """Plot abundances of a few tracers against time, and their physical parameters.

    State 0 is the input, and often decades away from the next state, so it is left out.

    Args:
        examples: At most three tracers.
        species: Names in column order, (S,).
    """
    colours = (BLUE, ORANGE, PURPLE)[: len(examples.labels)]
    columns = min(3, len(examples.species)) or 1
    rows = -(-len(examples.species) // columns)
    drivers = sorted(
        range(len(examples.parameters)),
        key=lambda i: examples.parameters[i][0] not in DRIVERS,
    )[:columns]
    figure = new_figure(3.4 * columns, 2.3 * (rows + bool(drivers)) + 0.7)
    grid = figure.subplots(rows + bool(drivers), columns, sharex=True, squeeze=False)
    for axes, column in zip(grid[:rows].flat, examples.species, strict=False):
        for i, colour in enumerate(colours):
            draw_course(
                axes,
                examples.time[i],
                examples.truth[i][:, column],
                examples.prediction[i][:, column],
                examples.sigma[i][:, column] if examples.sigma else None,
                colour,
            )
        finish_course(axes, examples.time[0])
        axes.set_title(species[column], fontsize=10)
    for axes, column in zip(grid[-1], drivers, strict=False):
        for i, colour in enumerate(colours):
            # Row k drives the step from state k on.
            time = examples.time[i][:-1] / 1000.0
            axes.plot(time, examples.physical[i][:, column], color=colour, lw=1.4)
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < PLAIN and high / low < SPARSE:
            label_decades(axes.yaxis)
        name, unit = examples.parameters[column]
        axes.set_title(f"given: {name} ({unit})", fontsize=10)
    if drivers:
        for axes in grid[-1][len(drivers) :]:
            axes.set_visible(False)
    for axes in grid[:rows].flat[len(examples.species) :]:
        axes.set_visible(False)
    figure.supxlabel(f"{TIME}; state 0 is given and not drawn", fontsize=10)
    figure.supylabel(ABUNDANCE, fontsize=10)
    handles = [
        legend_line(colour, "-", label, WIDE)
        for colour, label in zip(colours, examples.labels, strict=True)
    ]
    handles += course_legend(examples.truth, examples.sigma)
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9)
    return figure
