"""Sample of validation tracers for TensorBoard, and the plot of their predictions."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.pipeline.samplers import Sampler
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.evaluation.result import ErrorDetail
from astrokeras.plotting.plot_style import BLUE, GREY, ORANGE, PURPLE, STYLE
from astrokeras.plotting.species_selection import most_varying

WATCHED = 8  # number of tracers in a sample
COLOURS = (BLUE, ORANGE, PURPLE)  # colours of the plotted tracers
COLUMNS = 3
SIZE, DPI = (9.0, 5.4), 80
# Automatic layout and logarithmic axes of Matplotlib would take four times as long.
MARGINS = {
    "left": 0.09,
    "right": 0.99,
    "bottom": 0.1,
    "top": 0.83,
    "wspace": 0.2,
    "hspace": 0.28,
}


@dataclass(frozen=True)
class Sample:
    """A few validation tracers, with the inputs and the targets of a model.

    Attributes:
        cache: The training cache, with names, floor and elements.
        inputs: Inputs of the model.
        truth: Scaled true abundances, (n, T+1, S).
        counts: Whether a state exists and enters the error, (n, T+1).
        length: Number of valid states of each tracer, (n,).
        physical: Parameters of each step, (n, T, P).
        years: Length of each step in years, (n, T).
    """

    cache: Cache
    inputs: Any
    truth: np.ndarray
    counts: np.ndarray
    length: np.ndarray
    physical: np.ndarray
    years: np.ndarray

    @classmethod
    def of(cls, sampler: Sampler) -> "Sample":
        """Return the first batch of a sampler of validation tracers, and close it."""
        inputs, truth, weight = sampler.arguments(sampler.batch(0, 0))
        count = int(sampler.bounds[1])
        shape = (count, sampler.states)
        sample = cls(
            sampler.cache,
            inputs,
            truth.reshape(*shape, sampler.species).copy(),
            weight.reshape(shape) > 0,
            sampler.length[:count],
            10.0 ** sampler.group["physical"][:count].astype("float64"),
            sampler.group["years"][:count],
        )
        sampler.close()
        return sample


def draw(
    sample: Sample,
    truth: np.ndarray,
    predicted: np.ndarray,
    errors: np.ndarray,
    detail: ErrorDetail,
) -> bytes:
    """Plot solved and predicted abundances of some tracers over time.

    Args:
        sample: The sample, the first tracers of which are plotted.
        truth: Solved abundances, (n, T+1, S).
        predicted: Predicted abundances, (n, T+1, S).
        errors: Error of each tracer in dex, (n,).
        detail: Errors in detail, which show the species that vary most.

    Returns:
        The plot as PNG, without state 0, which is an input of the emulator.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    species = sample.cache.species
    shown = most_varying(detail.species_swing, detail.species_peak, species)
    settings = STYLE | {"figure.constrained_layout.use": False, "font.size": 9}
    with mpl.rc_context(settings), io.BytesIO() as file:
        figure = Figure(SIZE, DPI)
        FigureCanvasAgg(figure)
        rows = -(-len(shown) // COLUMNS)
        grid = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)
        figure.subplots_adjust(**MARGINS)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes, column in zip(grid.flat, shown, strict=False):
            axes.set_title(sample.cache.species[column], fontsize=10)
            for i, colour in enumerate(COLOURS[: len(truth)]):
                states = slice(1, int(sample.length[i]))
                kyr = np.cumsum(sample.years[i], dtype="float64")[: states.stop - 1]
                for values, style in (
                    (truth, {"lw": 2.4, "alpha": 0.45}),
                    (predicted, {"lw": 1.3, "ls": "--"}),
                ):
                    curve = log10_abundances(values[i, states, column])
                    axes.plot(kyr / 1000.0, curve, color=colour, **style)
        lines = [axes.plot([], [], color=colour, lw=2)[0] for colour in COLOURS]
        lines += [axes.plot([], [], color=GREY, lw=2.4, alpha=0.6)[0]]
        lines += [axes.plot([], [], color=GREY, lw=1.3, ls="--")[0]]
        tracers = range(min(len(COLOURS), len(truth)))
        labels = [f"validation tracer {i + 1}: {errors[i]:.2g} dex" for i in tracers]
        lines = [*lines[: len(labels)], *lines[-2:]]
        labels += ["solved (wide)", "predicted"]
        figure.legend(lines, labels, loc="upper center", ncols=3)
        figure.supxlabel("time since state 0 (kyr)", fontsize=9)
        figure.supylabel("log10 of the abundance relative to H nuclei", fontsize=9)
        figure.savefig(file, format="png")
        return file.getvalue()
