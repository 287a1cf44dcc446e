"""Figures of errors: along the rollout, by species, and by share sent to the solver.

Lines of a figure differ by style or marker too, not by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from astrokeras.plotting.plot_style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LOOK,
    ORANGE,
    SPARSE,
    label_decades,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHASE_COLOURS = {"gas": BLUE, "surface": ORANGE, "bulk": GREEN}
SPECIES_SHOWN = 40
NAMED = 8  # species named in the figure of the reconstruction
NAME_ROOM = 0.045  # height of one name, in units of the axes' height
LEAST_SHARE = 1e-5  # of the abundances, at the lower end of an axis
LEAST_ERROR = 5e-3  # dex; a species with a smaller error is as good as exact


class Errors(Protocol):
    """Errors of a prediction, dex; that of state 0, the input, is NaN."""

    @property
    def step_median(self) -> np.ndarray:
        """Median over tracers at each step, (T+1,)."""

    @property
    def step_p90(self) -> np.ndarray:
        """90th percentile over tracers at each step, (T+1,)."""

    @property
    def exceeded(self) -> np.ndarray:
        """Errors in dex and the share of the abundances with a larger one, (2, n)."""

    @property
    def species_dex(self) -> np.ndarray:
        """Mean error of each species, (S,)."""

    @property
    def species_p90(self) -> np.ndarray:
        """90th percentile over states of each species, (S,)."""


def plot_error_by_step(errors: Mapping[str, Errors], time_step: float | None) -> Figure:
    """Plot the error along the rollout, beside those of the baselines.

    Args:
        errors: By prediction, keys of `plot_style.LOOK`; baselines may be missing.
        time_step: Years between two states if they are the same everywhere.
    """
    figure = new_figure(8, 5.2)
    axes = figure.add_subplot()
    for name, (colour, line, label) in LOOK.items():
        if name not in errors:
            continue
        detail = errors[name]
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
    label_decades(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    if time_step is not None:
        kyr = time_step / 1000.0
        scales = (lambda x: np.multiply(x, kyr), lambda x: np.divide(x, kyr))
        top = axes.secondary_xaxis("top", functions=scales)
        top.set_xlabel("time since the start (kyr)")
    return figure


def plot_error_tail(errors: Mapping[str, Errors]) -> Figure:
    """Plot the share of abundances whose error is larger than a value.

    Args:
        errors: By prediction, keys of `plot_style.LOOK`; baselines may be missing.
    """
    figure = new_figure(6.4, 4.6)
    axes = figure.add_subplot()
    for name, (colour, line, label) in LOOK.items():
        if name in errors:
            dex, share = errors[name].exceeded
            shown = share > 0
            axes.plot(dex[shown], share[shown], line, color=colour, label=label, lw=1.8)
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(LEAST_ERROR, 20),
        ylim=(LEAST_SHARE, 1.2),
        xlabel="error of an abundance (dex)",
        ylabel="share of abundances with a larger error",
    )
    label_decades(axes.xaxis)
    axes.legend(fontsize=9)
    return figure


def plot_worst_species(
    errors: Mapping[str, Errors], species: Sequence[str], phases: Sequence[str]
) -> Figure:
    """Plot the species with the largest mean error, and the autoencoder's part of it.

    Args:
        errors: Those of the surrogate and, optionally, of the reconstruction.
        species: Names, (S,).
        phases: Phase of each species, (S,).
    """
    detail = errors["surrogate"]
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
    if "reconstruction" in errors:
        own = errors["reconstruction"].species_dex[order]
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


def plot_reconstruction(
    errors: Mapping[str, Errors], species: Sequence[str], phases: Sequence[str]
) -> Figure:
    """Plot each species' error in the rollout against that of the autoencoder alone.

    Args:
        errors: Those of the surrogate and of the reconstruction.
        species: Names, (S,).
        phases: Phase of each species, (S,).
    """
    figure = new_figure(7, 5.6)
    axes = figure.add_subplot()
    own, rolled = (errors[name].species_dex for name in ("reconstruction", "surrogate"))
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
        label_decades(axis, sparse=high / low > SPARSE)
    # Names stand in a column beside the axes, where they cannot overlap.
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


def plot_remaining_error(
    sent: Sequence[float], dex: Sequence[float], unreliable: float
) -> Figure:
    """Plot the error that remains if unreliable states are solved instead.

    Args:
        sent: Shares of states sent to the solver.
        dex: Mean error of the other states.
        unreliable: Share of states that are not reliable.
    """
    figure = new_figure(8, 4.2)
    axes = figure.add_subplot()
    axes.plot(sent, dex, "o-", color=LOOK["surrogate"][0], ms=4, lw=2.2)
    axes.axvline(unreliable, color="0.5", ls="--", lw=1.2)
    axes.annotate(
        " not reliable",
        (unreliable, 0.95),
        xycoords=("data", "axes fraction"),
        va="top",
        color="0.35",
        fontsize=9,
    )
    axes.set(
        xlabel="share of states sent to the solver, largest expected error first",
        ylabel="error of the others (dex)",
        xlim=(0, 0.92),
        ylim=(0, None),
    )
    return figure


def _error_limits(own: np.ndarray, rolled: np.ndarray) -> tuple[float, float]:
    """Return the limits of both axes, ignoring the few species without error."""
    errors = np.concatenate([own, rolled])
    errors = errors[np.isfinite(errors) & (errors > 0)]
    if not len(errors):
        return LEAST_ERROR, 1.0
    high = 1.25 * float(errors.max())
    low = max(0.8 * float(np.percentile(errors, 1)), LEAST_ERROR)
    return min(low, high / 10), high
