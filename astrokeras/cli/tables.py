"""Terminal tables and histograms of tracer files, imports and verifications."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from astrokeras.data.importers.import_report import ImportReport

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_WIDTH = 40


def render_inspection(summary: dict[str, Any]) -> RenderableType:
    """Return the summary of `inspect_tracers` as tables."""
    size = summary["bytes"] / 1e6
    phases = ", ".join(f"{count} {phase}" for phase, count in summary["phases"].items())
    species = f"{summary['species']} species ({phases})" if phases else "no species"
    head = [
        f"{summary['path']}  {size:.1f} MB",
        f"{summary['tracers']} tracers of {summary['simulations']} simulations, "
        f"{summary['states']} states, {species}",
    ]
    if summary["abundances"] is None:
        head.append(
            "no abundances: these are tracks to solve with `astrokeras data generate`, "
            "or to predict with --initial"
        )
    elif not summary["solved"]:
        head.append("initial states only: this is a file to predict from")
    if summary["ended_early"]:
        head.append(f"{summary['ended_early']} tracers ended early")
    if summary["tracers_read"] < summary["tracers"]:
        head.append(
            f"the values below are those of {summary['tracers_read']} evenly spaced "
            "tracers; --all reads all"
        )
    parts: list[RenderableType] = [Text(line) for line in head]
    parts += [_splits(summary), _starts(summary), _parameters(summary)]
    if summary["abundances"] is not None:
        parts += [_elements(summary), _charge(summary["charge"])]
        parts.append(_decades(summary["abundances"]))
    parts += [Text(f"Warning: {line}") for line in summary["remarks"]]
    parts.append(_attributes(summary["attributes"]))
    return Group(*parts)


def render_verification(summary: dict[str, Any]) -> RenderableType:
    """Return the result of `Verification.to_json` as tables."""
    verdict = "agrees" if summary["agrees"] else "does not agree"
    head = (
        f"{summary['path']}: {summary['solver']} {verdict}, {summary['dex']:.2g} dex "
        f"after {summary['intervals']} steps"
    )
    tracers = _table("tracer", "simulation", "from states", "dex", title="\nTracers")
    for tracer in summary["tracers"]:
        states = ", ".join(map(str, tracer["states"]))
        numbers = str(tracer["tracer"]), str(tracer["simulation"])
        tracers.add_row(*numbers, states, f"{tracer['dex']:.2g}")
    species = _table("species", "dex", title="\nWorst species")
    for name, dex in summary["species"].items():
        species.add_row(name, f"{dex:.2g}")
    readings = _table("reading", "dex", title="\nUsual mistakes")
    for name, dex in summary["readings"].items():
        readings.add_row(name, "failed" if dex is None else f"{dex:.2g}")
    return Group(Text(head), tracers, species, readings)


def render_import(report: ImportReport) -> list[str]:
    """Return lines that sum up an import."""
    statistics = report.statistics
    species = f"{report.species or 'no'} species"
    lines = [
        f"{report.path}: {report.tracers} tracers, {report.states} states, {species}"
    ]
    if report.split:
        shares = ", ".join(f"{count} {name}" for name, count in report.split.items())
        lines.append(f"split: {shares}")
    lines += [f"held fixed: {text}" for text in report.fixed]
    counts = {
        "abundances raised to the floor": statistics.raised,
        "abundances lowered to 1": statistics.lowered,
        "tracers of a single state left out": statistics.short,
    }
    for name, count in statistics.floored.items():
        counts[f"values of {name} raised to its minimum"] = count
    if statistics.cut_states:
        counts[
            "states below dataset.cut_below left out: "
            f"{statistics.cut_tracers} tracers cut, {statistics.cut_whole} left out"
        ] = statistics.cut_states
    lines += [f"{count} {name}" for name, count in counts.items() if count]
    lines += report.notes
    return lines + [f"Warning: {text}" for text in report.warnings]


def sparkline(counts: Sequence[int]) -> str:
    """Return counts as bars, one character for each."""
    top = max(counts, default=0)
    scaled = [0 if not c else 1 + round(7 * c / top) for c in counts]
    return "".join(_HEIGHTS[height] for height in scaled)


def _table(*columns: str, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _splits(summary: dict[str, Any]) -> RenderableType:
    if not summary["splits"]:
        return Text("\nno split; make one with `astrokeras data split`")
    how = summary["attributes"].get("split_by")
    title = (
        f"\nSplit by {how}" + " (optimistic)" * (how == "tracer") if how else "\nSplit"
    )
    table = _table("split", "tracers", "simulations", title=title)
    for name, count in summary["splits"].items():
        table.add_row(name, str(count["tracers"]), str(count["simulations"]))
    return table


def _starts(summary: dict[str, Any]) -> RenderableType:
    time = summary["time"]
    step = f"{time['step_min']:.4g} to {time['step_max']:.4g} yr"
    title = f"\nInitial states (steps of {step}, until {time['last']:.5g} yr)"
    table = _table("first time [yr]", "tracers", "species at the floor", title=title)
    for start in summary["starts"]:
        bare = "" if start["at_floor"] is None else f"{start['at_floor']:.0%}"
        table.add_row(f"{start['time']:.5g}", str(start["tracers"]), bare)
    return table


def _parameters(summary: dict[str, Any]) -> RenderableType:
    table = _table(
        "parameter", "unit", "lowest", "highest", "distribution", title="\nParameters"
    )
    for parameter in summary["parameters"]:
        table.add_row(
            parameter["name"],
            parameter["unit"],
            f"{parameter['low']:.4g}",
            f"{parameter['high']:.4g}",
            sparkline(parameter["counts"]) or "constant",
        )
    return table


def _elements(summary: dict[str, Any]) -> RenderableType:
    table = _table("element", "per H nucleus", "largest drift", title="\nElements")
    for name, element in summary["elements"].items():
        table.add_row(name, f"{element['total']:.4g}", f"{element['drift']:.1e}")
    return table


def _charge(charge: dict[str, float] | None) -> RenderableType:
    if charge is None:
        return Text("")
    ions, electrons = charge["ions"], charge["electrons"]
    return Text(f"charge of first states: ions {ions:.3g}, electrons {electrons:.3g}")


def _decades(summary: dict[str, Any]) -> RenderableType:
    counts, edges = summary["counts"], summary["decades"]
    share = summary["at_floor"]
    total = sum(counts) / (1 - share) if share < 1 else 1
    table = _table("log10 abundance", "share", "", title="\nAbundances")
    table.columns[2].justify = "left"
    rows = [("at the floor", share)]
    rows += [
        (f"{edges[i]} to {edges[i + 2]}", (counts[i] + counts[i + 1]) / total)
        for i in range(0, len(counts), 2)
    ]
    top = max(part for _, part in rows)
    for label, part in rows:
        table.add_row(label, f"{part:.1%}", "█" * round(_WIDTH * part / top))
    return table


def _attributes(attributes: dict[str, Any]) -> RenderableType:
    table = _table("attribute", "value", title="\nAttributes")
    table.columns[1].justify = "left"
    for name, value in attributes.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(name, Text(text))
    return table
