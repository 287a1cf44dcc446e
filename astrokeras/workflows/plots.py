"""The figures of an evaluation, drawn with Matplotlib.

Colours are Okabe and Ito's, told apart by colour-blind readers, and no two lines of a
figure differ by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.chemistry.species import PHASES
from astrokeras.workflows.figures import FLOOR, Detail
from astrokeras.workflows.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LOOK,
    ORANGE,
    PURPLE,
    STYLE,
    legend_line,
    new_figure,
    plain_decades,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHASE_COLOURS = {"gas": BLUE, "surface": ORANGE, "bulk": GREEN}
PLAIN = 1e4  # an axis below it is labelled without powers of ten
DRIVERS = ("Density", "gasTemp")  # parameters drawn before others
SPECIES_SHOWN = 40
NAMED = 8  # species named in the figure of the reconstruction
NAME_ROOM = 0.045  # of the axes' height, for one name
LEAST_ERROR = 5e-3  # dex; below it a species is as good as exact
SPARSE = 1000  # an axis of more than this ratio has room for decades only


def phase_of(name: str) -> str:
    """Return the phase that a species' name tells: gas, surface or bulk."""
    return PHASES.get(name[:1], PHASES[""])


@dataclass(frozen=True)
class Examples:
    """Some tracers to look at.

    Attributes:
        labels: What each tracer is, (n,).
        time: Years since the start of each tracer, n arrays (states,).
        truth: Solved abundances, n arrays (states, S).
        prediction: Predicted ones, n arrays (states, S).
        species: Columns that are drawn.
        physical: Parameters of each step, n arrays (states - 1, P).
        parameters: Their names and units, (P,).
    """

    labels: list[str]
    time: list[np.ndarray]
    truth: list[np.ndarray]
    prediction: list[np.ndarray]
    species: list[int]
    physical: list[np.ndarray]
    parameters: list[tuple[str, str]]


def draw_all(
    details: dict[str, Detail],
    species: Sequence[str],
    phases: Sequence[str],
    step: float | None,
    examples: Examples,
    trust: dict[str, Any] | None = None,
) -> dict[str, Figure]:
    """Draw every figure of an evaluation.

    Args:
        details: By prediction, keys of `LOOK`; baselines may be missing.
        species: Names, (S,).
        phases: Phase of each species, (S,).
        step: Years between two states if that is the same everywhere.
        examples: Tracers to show in time.
        trust: What `judge_reliability` found, of a calibrated surrogate.

    Returns:
        Figures by file name, without its ending.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        drawn = {
            "error_by_step": error_by_step(details, step),
            "worst_species": worst_species(details, species, phases),
            "trajectories": trajectories(examples, species),
            "conservation": conservation(details),
            "reconstruction": reconstruction(details, species, phases),
        }
        return drawn | ({"sent_back": sent_back(trust)} if trust else {})


def error_by_step(details: dict[str, Detail], step: float | None) -> Figure:
    """How the error grows along the rollout, next to the baselines."""
    figure = new_figure(8, 5.2)
    axes = figure.add_subplot()
    for name, detail in _known(details):
        colour, line, label = LOOK[name]
        steps = np.arange(len(detail.step_median))
        axes.plot(steps, detail.step_median, line, color=colour, label=label, lw=2.2)
        axes.plot(steps, detail.step_p90, line, color=colour, lw=0.8, alpha=0.8)
    axes.set(
        yscale="log",
        xlabel="rollout step",
        ylabel="error of a state, mean over species (dex)",
        title="Error along the rollout: median (wide) and 90th percentile of tracers "
        "(thin)",
    )
    axes.title.set_fontsize(10.5)
    axes.set_xlim(0, len(steps) - 1)
    plain_decades(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    if step is not None:
        kyr = step / 1000.0
        scales = (lambda x: np.multiply(x, kyr), lambda x: np.divide(x, kyr))
        top = axes.secondary_xaxis("top", functions=scales)
        top.set_xlabel("time since the start (kyr)")
    return figure


def worst_species(
    details: dict[str, Detail], species: Sequence[str], phases: Sequence[str]
) -> Figure:
    """The species with the largest mean error, and the autoencoder's part of it."""
    detail = details["surrogate"]
    order = np.argsort(detail.species_dex)[::-1][:SPECIES_SHOWN]
    figure = new_figure(8, 0.6 + 0.2 * max(len(order), 10))
    axes = figure.add_subplot()
    places = np.arange(len(order))[::-1]
    for phase, colour in PHASE_COLOURS.items():
        chosen = [i for i, s in enumerate(order) if phases[s] == phase]
        axes.barh(
            places[chosen], detail.species_dex[order[chosen]], color=colour, label=phase
        )
    axes.plot(detail.species_p90[order], places, "|", color=BLACK, ms=8, mew=1.5)
    axes.plot(
        [], [], "|", color=BLACK, ms=8, mew=1.5, label="90th percentile of states"
    )
    if "reconstruction" in details:
        own = details["reconstruction"].species_dex[order]
        axes.plot(
            own, places, "o", mfc="white", mec=BLACK, ms=4, label="autoencoder alone"
        )
    axes.set_yticks(places, [species[i] for i in order], fontsize=8)
    axes.set(
        xlabel="error over all states (dex)",
        ylim=(-0.7, len(order) - 0.3),
        title=f"The {len(order)} species with the largest mean error",
    )
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0.0)
    figure.legend(loc="outside lower center", ncols=5, fontsize=9)
    return figure


def trajectories(examples: Examples, species: Sequence[str]) -> Figure:
    """True and predicted abundances in time of a few tracers, and what drives them.

    State 0 is given, and often decades away from the next: it is left out.
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
            time = examples.time[i][1:] / 1000.0
            for values, line in ((examples.truth, "-"), (examples.prediction, "--")):
                shown = np.maximum(values[i][1:, column], FLOOR)
                axes.plot(
                    time,
                    shown,
                    line,
                    color=colour,
                    lw=2.4 if line == "-" else 1.4,
                    alpha=0.45 if line == "-" else 1.0,
                )
        axes.set_yscale("log")
        axes.set_title(species[column], fontsize=10)
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, FLOOR / 3), max(high, 10 * low))
    for axes, column in zip(grid[-1], drivers, strict=False):
        for i, colour in enumerate(colours):
            # Row k drives the step from state k on.
            time = examples.time[i][:-1] / 1000.0
            axes.plot(time, examples.physical[i][:, column], color=colour, lw=1.4)
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < PLAIN and high / low < SPARSE:
            plain_decades(axes.yaxis)
        name, unit = examples.parameters[column]
        axes.set_title(f"given: {name} ({unit})", fontsize=10)
    if drivers:
        for axes in grid[-1][len(drivers) :]:
            axes.set_visible(False)
    for axes in grid[:rows].flat[len(examples.species) :]:
        axes.set_visible(False)
    figure.supxlabel(
        "time since the start (kyr); state 0 is given and not drawn", fontsize=10
    )
    figure.supylabel("abundance relative to H nuclei", fontsize=10)
    handles = [
        legend_line(colour, "-", label, 2.4)
        for colour, label in zip(colours, examples.labels, strict=True)
    ]
    handles += [
        legend_line(GREY, "-", "solved (wide)", 2.4, 0.6),
        legend_line(GREY, "--", "predicted", 1.4),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9)
    return figure


def conservation(details: dict[str, Detail]) -> Figure:
    """How far the totals of each element drift from those of the given state."""
    detail = details["surrogate"]
    columns = 5
    rows = -(-len(detail.elements) // columns) or 1
    figure = new_figure(10, 3.4 + 1.9 * rows)
    heights = (3.4, 1.9 * rows)
    parts = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)
    top, bottom = parts[:, 0]
    upper = top.subplots()
    places = np.arange(len(detail.elements))
    for name, shift in (("surrogate", -0.12), ("reconstruction", 0.12)):
        if name not in details:
            continue
        colour, _, label = LOOK[name]
        mean, most = details[name].element_mean, details[name].element_max
        upper.vlines(places + shift, mean, most, color=colour, lw=1, alpha=0.5)
        upper.plot(places + shift, mean, "o", color=colour, label=f"{label}, mean")
        upper.plot(
            places + shift,
            most,
            "v",
            color=colour,
            mfc="white",
            label=f"{label}, largest",
        )
    upper.set_xticks(places, detail.elements)
    upper.set(
        yscale="log",
        xlabel="element",
        ylabel="|n - n₀| / n₀",
        title="Element totals n against those of the given state, n₀: all states",
    )
    upper.title.set_fontsize(11)
    upper.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)
    # A panel for each element: that many crossing curves cannot be told apart.
    grid = bottom.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < len(detail.elements))
        if not axes.get_visible():
            continue
        axes.tick_params(labelbottom=i + columns >= len(detail.elements))
        for name in ("surrogate", "reconstruction"):
            if name in details:
                colour, line, _ = LOOK[name]
                drift = details[name].step_conservation[:, i]
                axes.plot(drift, line, color=colour, lw=1.3)
        axes.set_yscale("log")
        axes.set_title(detail.elements[i], fontsize=10)
        axes.set_xlim(0, max(len(detail.step_conservation) - 1, 1))
    handles = [
        legend_line(*LOOK[name], 1.5)
        for name in ("surrogate", "reconstruction")
        if name in details
    ]
    bottom.suptitle("Along the rollout, each element", fontsize=11)
    bottom.supxlabel("rollout step", fontsize=10)
    bottom.supylabel("mean |n - n₀| / n₀", fontsize=10)
    bottom.legend(handles=handles, loc="outside lower right", ncols=2, fontsize=9)
    return figure


def reconstruction(
    details: dict[str, Detail], species: Sequence[str], phases: Sequence[str]
) -> Figure:
    """Each species' error in the rollout against that of the autoencoder alone."""
    figure = new_figure(7, 5.6)
    axes = figure.add_subplot()
    own, rolled = (
        details[name].species_dex for name in ("reconstruction", "surrogate")
    )
    low, high = _error_limits(own, rolled)
    hidden = int((np.minimum(own, rolled) < low).sum())
    for (phase, colour), marker in zip(PHASE_COLOURS.items(), "os^", strict=True):
        chosen = np.array([p == phase for p in phases])
        axes.plot(
            own[chosen],
            rolled[chosen],
            marker,
            color=colour,
            ms=4.5,
            alpha=0.75,
            label=phase,
            mew=0,
        )
    axes.plot([low, high], [low, high], color=GREY, lw=1, label="all the autoencoder's")
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(low, high),
        ylim=(low, high),
        xlabel="autoencoder alone (dex)",
        ylabel="rollout (dex)",
        title="Error of each species",
        aspect="equal",
    )
    for axis in (axes.xaxis, axes.yaxis):
        plain_decades(axis, sparse=high / low > SPARSE)
    # A column beside the axes, from the top down: names cannot meet there.
    shown = np.where(np.isfinite(own + rolled) & (own >= low), rolled, -1.0)
    place = 1.0 + NAME_ROOM
    for i in np.argsort(shown)[::-1][:NAMED]:
        if shown[i] < low:
            break
        height = float(np.log(rolled[i] / low) / np.log(high / low))
        place = min(height, place - NAME_ROOM)
        axes.annotate(
            species[i],
            (own[i], rolled[i]),
            xytext=(1.03, place),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5, "shrinkB": 3},
        )
    if hidden:
        axes.text(
            0.98,
            0.02,
            f"{hidden} species below {low:.2g} dex not shown",
            transform=axes.transAxes,
            ha="right",
            fontsize=8,
            color=GREY,
        )
    axes.legend(loc="upper left")
    return figure


def sent_back(trust: dict[str, Any]) -> Figure:
    """The error that remains by the share of states that the solver is given."""
    figure = new_figure(8, 4.2)
    axes = figure.add_subplot()
    curve = trust["curve"]
    colour = LOOK["surrogate"][0]
    axes.plot(curve["sent"], curve["dex"], "o-", color=colour, ms=4, lw=2.2)
    axes.axvline(trust["flagged"], color="0.5", ls="--", lw=1.2)
    axes.annotate(
        " trust below 0.5",
        (trust["flagged"], 0.95),
        xycoords=("data", "axes fraction"),
        va="top",
        color="0.35",
        fontsize=9,
    )
    axes.set(
        xlabel="share of states sent to the solver, the least trusted first",
        ylabel="error of the others (dex)",
        xlim=(0, 0.92),
        ylim=(0, None),
    )
    return figure


def _error_limits(own: np.ndarray, rolled: np.ndarray) -> tuple[float, float]:
    """Return the ends of both axes; a few species without error do not set them."""
    errors = np.concatenate([own, rolled])
    errors = errors[np.isfinite(errors) & (errors > 0)]
    if not len(errors):
        return LEAST_ERROR, 1.0
    high = 1.25 * float(errors.max())
    low = max(0.8 * float(np.percentile(errors, 1)), LEAST_ERROR)
    return min(low, high / 10), high


def _known(details: dict[str, Detail]) -> Iterator[tuple[str, Detail]]:
    return ((name, details[name]) for name in LOOK if name in details)
