"""An evaluation for people: a table in the terminal, a page, figures; and as JSON."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from astrokeras.errors import WorkError
from astrokeras.manifest import claim
from astrokeras.system.atomic_files import whole_file, write_text
from astrokeras.workflows.plots import Examples, draw_all, phase_of

if TYPE_CHECKING:
    from astrokeras.workflows.evaluate import Evaluation

TITLES = {
    "surrogate": "surrogate",
    "reconstruction": "autoencoder alone",
    "nearest_tracer": "nearest training tracer",
    "mean_trajectory": "mean training trajectory",
}
# What each figure is; the errors called dex are in decades.
FIGURES = {
    "dex": "mean |log10 p - log10 x|, floored at 1e-20",
    "dex_seen": "the same over abundances of 1e-12 and more",
    "dex_final": "the same at each tracer's last state",
    "dex_species99": "99th percentile of the species' means",
    "dex_worst": "the worst species' mean",
    "worst_species": "its name",
    "mre": "mean |p - x| / x, both within 1e-20 and 1",
    "conservation": "mean |n - n0| / n0 of element totals n, n0 those given",
    "conservation_max": "its maximum",
    "nonfinite": "abundances that are NaN, infinite or negative",
}
CAPTIONS = {
    "error_by_step": "How the error grows from the given state to the end.",
    "worst_species": "Where the error is largest, and the autoencoder's part of it.",
    "trajectories": "A good, a middling and a bad tracer: observed species, then the "
    "neutral ones that vary most among those that reach 1e-8, and below them physical "
    "parameters. State 0 is given and not drawn.",
    "conservation": "Whether elements are created or destroyed.",
    "reconstruction": "On the line the autoencoder makes all of the error, above it "
    "the rollout adds to it.",
    "sent_back": "What error remains if the least trusted states are solved instead.",
}
DEFINITIONS = (
    "Over states 1 to the end of each tracer; the surrogate is given state 0 and the "
    "physical parameters. p predicted, x solved, abundances relative to H nuclei. The "
    "autoencoder alone encodes and decodes the solved states."
)
PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, td.text { text-align: left }
tr:hover td { background: #f4f7fa }
.wide { overflow-x: auto } .note { color: #555; font-size: .9rem }
.warning { background: #fff4e0; border-left: 4px solid #e69f00; padding: .5rem 1rem }
figure { margin: 1.5rem 0 } figcaption { color: #555; font-size: .9rem }
img { max-width: 100%; height: auto } summary { cursor: pointer }
</style></head><body>
$body
</body></html>
""")


def to_json(metrics: dict[str, Any]) -> str:
    """Return metrics as JSON that any reader takes: null where there is no number."""
    return json.dumps(_plain(metrics), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def show(metrics: dict[str, Any]) -> None:
    """Print the figures of rollout, autoencoder and baselines on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = _columns(metrics)
    title = Text(_headline(metrics), style="bold")
    grid = Table(title=title, title_justify="left")
    grid.add_column("", no_wrap=True)
    for name in columns:
        grid.add_column(TITLES[name], justify="right", overflow="fold")
    for key in FIGURES:
        grid.add_row(key, *(_cell(one[key]) for one in columns.values()))
    ratios = [metrics["times_better"].get(name) for name in columns]
    if any(ratios):
        cells = ("" if ratio is None else f"{ratio:.3g}" for ratio in ratios)
        grid.add_row("dex / surrogate's", *cells)
    console = Console()
    console.print(grid)
    console.print(Text(_summary(metrics)))
    for name, one in metrics["starts"].items():
        line = f"From start {name}: {_cell(one['dex'])} dex, {one['tracers']} tracers."
        console.print(Text(line))
    for line in _lines(metrics):
        console.print(Text(line))
    for note in metrics["notes"]:
        console.print(Text(f"Note: {note}.", style="yellow"))


def _columns(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    columns = {"surrogate": metrics, "reconstruction": metrics["reconstruction"]}
    return columns | metrics["baselines"]


def _headline(metrics: dict[str, Any]) -> str:
    optimistic = " (optimistic split)" if metrics["optimistic"] else ""
    return (
        f"{metrics['surrogate']} on {metrics['tracers']} {metrics['split']} tracers of "
        f"{metrics['simulations']} simulations{optimistic}, {metrics['file']}"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_report(
    evaluation: Evaluation,
    folder: Path,
    species: Sequence[str],
    step: float | None,
    examples: Examples,
) -> None:
    """Write `metrics.json`, `report.html` and `figures/*.png`.

    Args:
        evaluation: What is reported.
        folder: Directory; made if it is not there.
        species: Names, (S,).
        step: Years between two states if that is the same everywhere.
        examples: Tracers to show in time.

    Raises:
        WorkError: If the directory cannot be written.
    """
    phases = [phase_of(name) for name in species]
    trust = evaluation.metrics.get("trust")
    drawn = draw_all(evaluation.details, species, phases, step, examples, trust)
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
        page = _page(evaluation, species, phases, images)
        write_text(folder / "report.html", page)
        write_text(folder / "metrics.json", to_json(evaluation.metrics))
    except OSError as error:
        raise WorkError(
            f"{folder}: the report cannot be written ({error.strerror}); give another "
            "directory with --out."
        ) from error


def _page(
    evaluation: Evaluation,
    species: Sequence[str],
    phases: Sequence[str],
    images: dict[str, bytes],
) -> str:
    metrics, details = evaluation.metrics, evaluation.details
    columns = _columns(metrics)
    parts = [f"<h1>Evaluation of {escape(metrics['surrogate'])}</h1>"]
    parts.append(f"<p>{escape(_headline(metrics))}. {_summary(metrics)}</p>")
    parts += [f"<p>{escape(line)}</p>" for line in _lines(metrics)]
    parts += [
        f'<p class="warning">Note: {escape(note)}.</p>' for note in metrics["notes"]
    ]
    rows = [
        [key, *(_cell(one[key]) for one in columns.values()), FIGURES[key]]
        for key in FIGURES
    ]
    titles = [TITLES[name] for name in columns]
    parts += [
        "<h2>Figures</h2>",
        _html_table(["", *titles, "meaning"], rows),
        f'<p class="note">{DEFINITIONS}</p>',
    ]
    for name, image in images.items():
        if name == "trajectories" and metrics["starts"]:
            parts += ["<h2>By kind of start</h2>", _starts(metrics["starts"])]
        source = base64.b64encode(image).decode()
        title = name.replace("_", " ").capitalize()
        parts.append(
            f'<h2>{title}</h2><figure><img alt="{title}" '
            f'src="data:image/png;base64,{source}"><figcaption>'
            f"{escape(CAPTIONS[name])}</figcaption></figure>"
        )
    detail, own = details["surrogate"], details["reconstruction"]
    every = [
        [
            species[i],
            phases[i],
            *(
                f"{values[i]:.3g}"
                for values in (
                    detail.species_dex,
                    detail.species_p90,
                    own.species_dex,
                    detail.species_mre,
                )
            ),
        ]
        for i in np.argsort(detail.species_dex)[::-1]
    ]
    header = ["species", "phase", "dex", "90th percentile", "autoencoder alone", "mre"]
    parts += [
        f"<h2>Species</h2><details><summary>All {len(species)} species</summary>",
        _html_table(header, every, text=(1,)),
        "</details>",
        f'<p class="note">astrokeras {escape(metrics["version"])}</p>',
    ]
    title = f"astrokeras: {escape(metrics['surrogate'])}"
    return PAGE.substitute(title=title, body="\n".join(parts))


def _summary(metrics: dict[str, Any]) -> str:
    error, spread = metrics["dex"], metrics["dex_standard_error"]
    within = f" ± {spread:.2g}" if spread else ""
    text = f"Its error is {error:.3g}{within} dex"
    if metrics["autoencoder_share"] is not None:
        text += f", {metrics['autoencoder_share']:.0%} of it the autoencoder's"
    better = [
        f"{ratio:.3g} times smaller than that of the {TITLES[name]}"
        for name, ratio in metrics["times_better"].items()
        if ratio
    ]
    return text + "".join(f", {one}" for one in better) + "."


def _lines(metrics: dict[str, Any]) -> list[str]:
    """Return what is to be said beside the table of figures."""
    return (
        _interval_lines(metrics) + _coupled_lines(metrics) + _reliability_lines(metrics)
    )


def _interval_lines(metrics: dict[str, Any]) -> list[str]:
    """Return what is to be said of intervals of other lengths than the file's."""
    said = {
        "intervals": "dex on longer intervals",
        "semigroup": "dex between two equal intervals and one of both",
    }
    return [
        f"{text}: "
        + ", ".join(
            f"{_cell(one['dex'])} ({one['years']:.4g} yr)"
            for one in metrics[name].values()
        )
        + "."
        for name, text in said.items()
        if metrics.get(name)
    ]


def _coupled_lines(metrics: dict[str, Any]) -> list[str]:
    """Return what is to be said of uses other than one rollout from state 0."""
    closed, long = metrics["closed_loop"], metrics["long"]
    mixed = closed["mixed"]
    lines = [
        f"decoded and encoded anew at every step: {_cell(closed['dex'])} dex; with 10 "
        f"% of another tracer mixed in at each, {mixed['nonfinite']} entries are not "
        f"finite and totals are off by {_cell(mixed['conservation_max'])} at most.",
        f"{long['steps']} steps, parameters held at their last values: "
        f"{long['nonfinite']} entries are not finite or negative, totals are off by "
        f"{_cell(long['conservation_max'])} at most, abundances leave their trained "
        f"ranges by {_cell(max(long['excess_dex'], 0.0))} dex at most.",
    ]
    if metrics["later_starts"]:
        started = ", ".join(
            f"{_cell(one['dex'])} (after {float(share):.0%})"
            for share, one in metrics["later_starts"].items()
        )
        lines.append(f"dex from later starts to the end: {started}.")
    return lines


def _reliability_lines(metrics: dict[str, Any]) -> list[str]:
    """Return what is to be said of error bars and trust, of a calibrated surrogate."""
    if "trust" not in metrics:
        return []
    bars, trust = metrics["error_bars"], metrics["trust"]
    low, high = bars["coverage_range"]
    thirds = ", ".join(f"{one:.1%}" for one in bars["thirds"])
    wrong = ", ".join(f"{share:.1%} {name}" for name, share in trust["wrong"].items())
    return [
        f"90 % error bars cover {bars['coverage']:.1%} ({low:.1%} to {high:.1%}; by "
        f"thirds of the rollout {thirds}), at least 75 % for "
        f"{bars['species_held']:.1%} of the species; interval score "
        f"{_cell(bars['score'])}, of a constant width {_cell(bars['score_constant'])}.",
        f"trust below 0.5: {_share(trust['flagged'])} of the states, "
        f"{_share(trust['flagged_large'])} of those off by more than 0.3 dex, "
        f"{_share(trust['flagged_good'])} of those with an error below the median; "
        f"AUROC {_cell(trust['auroc'])}; error of the others "
        f"{_cell(trust['remaining'])} dex.",
        f"flagged where the input is wrong: {wrong}.",
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _starts(starts: dict[str, dict[str, float]]) -> str:
    keys = ("tracers", "dex", "dex_seen", "dex_final")
    rows = [[name, *(_cell(one[k]) for k in keys)] for name, one in starts.items()]
    return _html_table(["start", *keys], rows)


def _html_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()
) -> str:
    """Return a table; columns `text`, and a last one called meaning, align left."""
    left = {*text, *(i for i, name in enumerate(header) if name == "meaning")}
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=text' if i in left else ''}>{escape(cell)}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )
