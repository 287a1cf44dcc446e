"""A few validation tracers that a training is watched on, and their picture."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from astrokeras.data.pipeline.samplers import Sampler
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.abundance_scaling import log10_abundances
from astrokeras.evaluation.result import ErrorDetail
from astrokeras.evaluation.species_selection import most_varying
from astrokeras.plotting.plot_style import BLUE, GREY, ORANGE, PURPLE, STYLE

WATCHED = 8  # tracers of a sample
COLOURS = (BLUE, ORANGE, PURPLE)  # of those in the picture
COLUMNS = 3
SIZE, DPI = (9.0, 5.4), 80
# Matplotlib's own layout and logarithmic axes take four times as long to draw.
PLACES = {
    "left": 0.09,
    "right": 0.99,
    "bottom": 0.1,
    "top": 0.83,
    "wspace": 0.2,
    "hspace": 0.28,
}


@dataclass(frozen=True)
class Sample:
    """A few validation tracers, and what a model is to make of them.

    Attributes:
        cache: Names, floor and elements.
        inputs: What the model takes.
        truth: Scaled abundances, (n, T+1, S).
        counts: Which states exist and are compared, (n, T+1).
        length: Valid states of each tracer, (n,).
        physical: Parameters of each step, (n, T, P).
        years: Length of each step, (n, T).
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
        """Take the first batch of a sampler of validation tracers, and close it."""
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
    """Draw solved and predicted abundances of some tracers in time.

    Args:
        sample: Whose first tracers are drawn.
        truth: Their solved abundances, (n, T+1, S).
        predicted: Their predicted ones, the same shape.
        errors: Of each tracer in dex, (n,).
        detail: Says which species vary most.

    Returns:
        A picture, PNG. State 0 is not drawn: an emulator is given it.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = most_varying(detail, sample.cache.species)
    style = STYLE | {"figure.constrained_layout.use": False, "font.size": 9}
    with mpl.rc_context(style), io.BytesIO() as file:
        figure = Figure(SIZE, DPI)
        FigureCanvasAgg(figure)
        rows = -(-len(shown) // COLUMNS)
        grid = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)
        figure.subplots_adjust(**PLACES)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes, column in zip(grid.flat, shown, strict=False):
            axes.set_title(sample.cache.species[column], fontsize=10)
            for i, colour in enumerate(COLOURS[: len(truth)]):
                states = slice(1, int(sample.length[i]))
                kyr = np.cumsum(sample.years[i], dtype="float64")[: states.stop - 1]
                for values, look in (
                    (truth, {"lw": 2.4, "alpha": 0.45}),
                    (predicted, {"lw": 1.3, "ls": "--"}),
                ):
                    curve = log10_abundances(values[i, states, column])
                    axes.plot(kyr / 1000.0, curve, color=colour, **look)
        lines = [axes.plot([], [], color=colour, lw=2)[0] for colour in COLOURS]
        lines += [axes.plot([], [], color=GREY, lw=2.4, alpha=0.6)[0]]
        lines += [axes.plot([], [], color=GREY, lw=1.3, ls="--")[0]]
        tracers = range(min(len(COLOURS), len(truth)))
        words = [f"validation tracer {i + 1}: {errors[i]:.2g} dex" for i in tracers]
        lines = [*lines[: len(words)], *lines[-2:]]
        words += ["solved (wide)", "predicted"]
        figure.legend(lines, words, loc="upper center", ncols=3)
        figure.supxlabel("time since state 0 (kyr)", fontsize=9)
        figure.supylabel("log10 of the abundance relative to H nuclei", fontsize=9)
        figure.savefig(file, format="png")
        return file.getvalue()
