"""Figure of element conservation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from astrokeras.plotting.plot_style import LOOK, legend_line, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("surrogate", "reconstruction")  # baselines have element totals of their own


class ElementErrors(Protocol):
    """Relative errors of element totals, |n - n0| / n0, of one prediction."""

    @property
    def elements(self) -> Sequence[str]:
        """Names of the elements, (E,)."""

    @property
    def element_mean(self) -> np.ndarray:
        """Mean over all states, (E,)."""

    @property
    def element_max(self) -> np.ndarray:
        """Maximum over all states, (E,)."""

    @property
    def step_conservation(self) -> np.ndarray:
        """Mean over tracers at each step, (T+1, E)."""


def plot_conservation(errors: Mapping[str, ElementErrors]) -> Figure:
    """Plot how far element totals drift from those of the given state.

    Args:
        errors: Those of the surrogate and, optionally, of the reconstruction.
    """
    detail = errors["surrogate"]
    columns = 5
    rows = -(-len(detail.elements) // columns) or 1
    figure = new_figure(10, 3.4 + 1.9 * rows)
    heights = (3.4, 1.9 * rows)
    parts = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)
    top, bottom = parts[:, 0]
    upper = top.subplots()
    places = np.arange(len(detail.elements))
    for name, shift in (("surrogate", -0.12), ("reconstruction", 0.12)):
        if name not in errors:
            continue
        colour, _, label = LOOK[name]
        mean, most = errors[name].element_mean, errors[name].element_max
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
    # A panel for each element, because that many curves in one would overlap.
    grid = bottom.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < len(detail.elements))
        if not axes.get_visible():
            continue
        axes.tick_params(labelbottom=i + columns >= len(detail.elements))
        for name in SHOWN:
            if name in errors:
                colour, line, _ = LOOK[name]
                drift = errors[name].step_conservation[:, i]
                axes.plot(drift, line, color=colour, lw=1.3)
        axes.set_yscale("log")
        axes.set_title(detail.elements[i], fontsize=10)
        axes.set_xlim(0, max(len(detail.step_conservation) - 1, 1))
    handles = [legend_line(*LOOK[name], 1.5) for name in SHOWN if name in errors]
    bottom.suptitle("Along the rollout, each element", fontsize=11)
    bottom.supxlabel("rollout step", fontsize=10)
    bottom.supylabel("mean |n - n₀| / n₀", fontsize=10)
    bottom.legend(handles=handles, loc="outside lower right", ncols=2, fontsize=9)
    return figure
