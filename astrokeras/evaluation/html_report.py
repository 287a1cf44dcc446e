"""HTML report of an evaluation, with its figures and `metrics.json`."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.chemistry.species import phase_of
from astrokeras.errors import WorkError
from astrokeras.evaluation.context import EvaluationContext
from astrokeras.evaluation.result import Evaluation
from astrokeras.evaluation.summary_text import (
    TITLES,
    columns,
    headline,
    sentences,
    summary,
)
from astrokeras.plotting.conservation_plot import plot_conservation
from astrokeras.plotting.coverage_plot import draw_coverage
from astrokeras.plotting.error_map_plot import ErrorMap, plot_error_maps
from astrokeras.plotting.error_plots import (
    plot_error_by_step,
    plot_error_tail,
    plot_reconstruction,
    plot_remaining_error,
    plot_worst_species,
)
from astrokeras.plotting.parity_plot import ParityCounts, draw_parity
from astrokeras.plotting.plot_style import STYLE, new_figure
from astrokeras.plotting.species_selection import most_varying
from astrokeras.plotting.trajectory_plots import ExampleTracers, plot_trajectories
from astrokeras.runs.metric_descriptions import METRICS, format_value
from astrokeras.system.atomic_files import whole_file, write_text
from astrokeras.system.manifest import claim

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("report_template.html")
EXAMPLES = (10, 50, 90)  # percentiles of the tracers' errors
TRACER = "tracer_"
CAPTIONS = {
    "parity": "Predicted against solved abundances of all species and states after "
    "state 0, clipped at 1e-20; the colour counts them.",
    "error_by_step": "Growth of the error from the given state to the end.",
    "worst_species": "Species with the largest errors, and the autoencoder's part.",
    "error_tail": "How many abundances are off by more than an error, and by how much "
    "the worst ones are.",
    "conservation": "Relative errors of the element totals.",
    "reconstruction": "The autoencoder causes the whole error of species on the line; "
    "the rollout adds to that of species above it.",
    "coverage": "How many errors lie within error bars of each nominal level; those "
    "of 90 % are calibrated.",
    "sent_back": "Error that remains if states of large expected error are solved.",
    "error_map": "Where the surrogate can be used. Above, the error it expects of gas "
    "at constant parameters; those not shown are the medians of the 25 evaluated "
    "states nearest on the axes; where gas is unlike training "
    "no error can be told. Below, the errors found in the evaluated states.",
}


def choose_examples(
    context: EvaluationContext, evaluation: Evaluation, tracer_dex: np.ndarray
) -> ExampleTracers:
    """Return tracers from good to bad, rolled out once more.

    The choice needs the errors of all tracers.

    Args:
        context: The surrogate and the tracers.
        evaluation: The results, for the species that vary most.
        tracer_dex: Error of each tracer in dex, (n,).
    """
    store = context.store
    order = np.argsort(tracer_dex)
    places = {round(p / 100 * (len(order) - 1)): p for p in EXAMPLES}
    chosen = order[list(places)]
    block = store.read(context.rows[chosen], check=False)
    predicted = context.roll_out(block)
    bars = predicted.sigma
    labels = [
        f"tracer {block.tracer[i]}: {tracer_dex[row]:.2g} dex (percentile {percent})"
        for i, (row, percent) in enumerate(zip(chosen, places.values(), strict=True))
    ]
    ends = [int(n) for n in block.length]
    own = evaluation.details["surrogate"]
    return ExampleTracers(
        labels=labels,
        time=[(t - t[0])[:n] for t, n in zip(block.time, ends, strict=True)],
        truth=[x[:n] for x, n in zip(block.abundances, ends, strict=True)],
        prediction=[x[:n] for x, n in zip(predicted.abundances, ends, strict=True)],
        species=most_varying(own.species_swing, own.species_peak, store.species),
        physical=[x[: n - 1] for x, n in zip(block.physical, ends, strict=True)],
        parameters=list(zip(store.parameters, store.units, strict=True)),
        sigma=None
        if bars is None
        else [x[:n] for x, n in zip(bars, ends, strict=True)],
    )


def write_report(
    evaluation: Evaluation,
    folder: Path,
    time_step: float | None,
    examples: ExampleTracers,
    parity: ParityCounts,
    maps: Sequence[ErrorMap] = (),
) -> None:
    """Write `metrics.json`, `report.html` and `figures/*.png`.

    Args:
        evaluation: The figures.
        folder: Directory; it is created if needed.
        time_step: Years between two states if they are the same everywhere.
        examples: Tracers whose trajectories are shown.
        parity: Counts of solved against predicted abundances.
        maps: Errors over two parameters each.

    Raises:
        WorkError: If the directory cannot be written.
    """
    drawn = draw_figures(evaluation, time_step, examples, parity, maps)
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        figures = [f"figures/{name}.png" for name in drawn]
        claim(folder, "evaluation", ["metrics.json", "report.html", *figures])
        images = {}
        for name, figure in drawn.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
            images[name] = buffer.getvalue()
            with whole_file(folder / "figures" / f"{name}.png") as file:
                file.write(images[name])
        write_text(folder / "report.html", render_page(evaluation, images))
        write_text(folder / "metrics.json", evaluation.to_json())
    except OSError as error:
        raise WorkError(
            f"{folder}: the report cannot be written ({error.strerror}); give another "
            "directory with --out."
        ) from error


def draw_figures(
    evaluation: Evaluation,
    time_step: float | None,
    examples: ExampleTracers,
    parity: ParityCounts,
    maps: Sequence[ErrorMap],
) -> dict[str, Figure]:
    """Return the figures by file name, without its ending."""
    import matplotlib as mpl

    details, species = evaluation.details, evaluation.species
    phases = [phase_of(name) for name in species]
    with mpl.rc_context(STYLE):
        drawn = {
            "parity": _figure_of(draw_parity, parity),
            "error_tail": plot_error_tail(details),
            "error_by_step": plot_error_by_step(details, time_step),
            "worst_species": plot_worst_species(details, species, phases),
            "conservation": plot_conservation(details),
            "reconstruction": plot_reconstruction(details, species, phases),
        }
        if bars := evaluation.error_bars:
            levels = bars.curve["nominal"], bars.curve["share"]
            drawn["coverage"] = _figure_of(draw_coverage, *levels)
        if quality := evaluation.reliability:
            sent, dex = quality.curve["sent"], quality.curve["dex"]
            drawn["sent_back"] = plot_remaining_error(sent, dex, quality.unreliable)
        if maps:
            drawn["error_map"] = plot_error_maps(maps)
        for i in range(len(examples.labels)):
            drawn[f"{TRACER}{i + 1}"] = plot_trajectories(examples.one(i), species)
    return drawn


def _figure_of(draw: Callable[..., Axes], *given: Any) -> Figure:
    """Return a new figure of a function that draws on axes, which come last."""
    figure = new_figure(5.6, 4.6)
    draw(*given, figure.add_subplot())
    return figure


def render_page(evaluation: Evaluation, images: dict[str, bytes]) -> str:
    """Return the report as one HTML page that needs no other file.

    Args:
        evaluation: The figures.
        images: PNG images by name, a key of `CAPTIONS` or that of a tracer.
    """
    import jinja2

    import astrokeras

    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        surrogate=evaluation.surrogate,
        headline=headline(evaluation),
        summary=summary(evaluation),
        sentences=sentences(evaluation),
        notes=evaluation.notes,
        verdict=evaluation.verdict,
        findings=evaluation.findings,
        figures=_figure_table(evaluation),
        starts=_start_table(evaluation),
        groups=_group_tables(evaluation),
        species=_species_table(evaluation),
        images=[
            {
                "name": name,
                "title": name.replace("_", " ").capitalize(),
                "caption": CAPTIONS[name],
                "data": base64.b64encode(image).decode(),
            }
            for name, image in images.items()
            if name in CAPTIONS
        ],
        tracers=[
            base64.b64encode(image).decode()
            for name, image in images.items()
            if name.startswith(TRACER)
        ],
        version=astrokeras.__version__,
    )


def _figure_table(evaluation: Evaluation) -> dict[str, Any]:
    predictions = columns(evaluation)
    return {
        "header": ["", *(TITLES[name] for name in predictions), "meaning"],
        "rows": [
            [
                key,
                *(format_value(getattr(one, key)) for one in predictions.values()),
                str(metric),
            ]
            for key, metric in METRICS.items()
        ],
    }


def _start_table(evaluation: Evaluation) -> dict[str, Any]:
    keys = ("tracers", "dex", "dex_seen", "dex_final")
    starts = evaluation.details["surrogate"].starts
    rows = [
        [name, *(format_value(one[key]) for key in keys)]
        for name, one in starts.items()
    ]
    return {"header": ["start", *keys], "rows": rows}


def _group_tables(evaluation: Evaluation) -> dict[str, Any]:
    keys = ("states", "dex", "dex_seen", "reliable", "reliable_dex")
    return {
        kind: {
            "header": [kind, *keys],
            "rows": [
                [name, *(format_value(getattr(one, key)) for key in keys)]
                for name, one in groups.items()
            ],
        }
        for kind, groups in evaluation.groups.items()
    }


def _species_table(evaluation: Evaluation) -> dict[str, Any]:
    detail = evaluation.details["surrogate"]
    alone = evaluation.details["reconstruction"].species_dex
    figures = (detail.species_dex, detail.species_p90, alone, detail.species_mre)
    names = evaluation.species
    return {
        "header": [
            "species",
            "phase",
            "dex",
            "90th percentile",
            "autoencoder alone",
            "mre",
        ],
        "rows": [
            [names[i], phase_of(names[i]), *(f"{values[i]:.3g}" for values in figures)]
            for i in np.argsort(detail.species_dex)[::-1]
        ],
    }
