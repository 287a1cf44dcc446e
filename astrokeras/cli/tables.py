"""Tables and histograms of `astrokeras data` for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from astrokeras.data.importers.import_report import ImportReport

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_WIDTH = 40


def render_inspection(found: dict[str, Any]) -> RenderableType:
    """Return the summary of `inspect_tracers` as tables."""
    size = found["bytes"] / 1e6
    phases = ", ".join(f"{count} {phase}" for phase, count in found["phases"].items())
    species = f"{found['species']} species ({phases})" if phases else "no species"
    head = [
        f"{found['path']}  {size:.1f} MB",
        f"{found['tracers']} tracers of {found['simulations']} simulations, "
        f"{found['states']} states, {species}",
    ]
    if found["abundances"] is None:
        head.append(
            "no abundances: tracks to solve with `astrokeras data generate`, or to "
            "predict with --initial"
        )
    elif not found["solved"]:
        head.append("initial states only: a file to predict from")
    if found["ended_early"]:
        head.append(f"{found['ended_early']} tracers ended early")
    if found["tracers_read"] < found["tracers"]:
        head.append(
            f"values below are of {found['tracers_read']} tracers spread evenly; "
            "--all reads the rest"
        )
    parts: list[RenderableType] = [Text(line) for line in head]
    parts += [_splits(found), _starts(found), _parameters(found)]
    if found["abundances"] is not None:
        parts += [_elements(found), _decades(found["abundances"])]
    parts.append(_attributes(found["attributes"]))
    return Group(*parts)


def render_verification(found: dict[str, Any]) -> RenderableType:
    """Return what `Verification.to_json` tells as tables."""
    verdict = "agrees" if found["agrees"] else "does not agree"
    head = (
        f"{found['path']}: {found['solver']} {verdict}, {found['dex']:.2g} dex "
        f"after {found['intervals']} steps"
    )
    tracers = _table("tracer", "simulation", "from states", "dex", title="\nTracers")
    for one in found["tracers"]:
        states = ", ".join(map(str, one["states"]))
        ids = str(one["tracer"]), str(one["simulation"])
        tracers.add_row(*ids, states, f"{one['dex']:.2g}")
    species = _table("species", "dex", title="\nWorst species")
    for name, dex in found["species"].items():
        species.add_row(name, f"{dex:.2g}")
    readings = _table("reading", "dex", title="\nUsual mistakes, tried")
    for name, dex in found["readings"].items():
        readings.add_row(name, "failed" if dex is None else f"{dex:.2g}")
    return Group(Text(head), tracers, species, readings)


def render_import(report: ImportReport) -> list[str]:
    """Return what an import did, one line each."""
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
    lines += [f"{count} {what}" for what, count in counts.items() if count]
    lines += report.notes
    return lines + [f"Warning: {text}" for text in report.warnings]


def sparkline(counts: Sequence[int]) -> str:
    """Draw counts as a row of bars, a character each."""
    top = max(counts, default=0)
    scaled = [0 if not c else 1 + round(7 * c / top) for c in counts]
    return "".join(_HEIGHTS[height] for height in scaled)


def _table(*columns: str, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _splits(found: dict[str, Any]) -> RenderableType:
    if not found["splits"]:
        return Text("\nno split: make one with `astrokeras data split`")
    how = found["attributes"].get("split_by")
    title = (
        f"\nSplit by {how}" + " (optimistic)" * (how == "tracer") if how else "\nSplit"
    )
    table = _table("split", "tracers", "simulations", title=title)
    for name, count in found["splits"].items():
        table.add_row(name, str(count["tracers"]), str(count["simulations"]))
    return table


def _starts(found: dict[str, Any]) -> RenderableType:
    time = found["time"]
    step = f"{time['step_min']:.4g} to {time['step_max']:.4g} yr"
    title = f"\nStarts (steps of {step}, until {time['last']:.5g} yr)"
    table = _table("first time [yr]", "tracers", "species at the floor", title=title)
    for start in found["starts"]:
        bare = "" if start["at_floor"] is None else f"{start['at_floor']:.0%}"
        table.add_row(f"{start['time']:.5g}", str(start["tracers"]), bare)
    return table


def _parameters(found: dict[str, Any]) -> RenderableType:
    table = _table(
        "parameter", "unit", "lowest", "highest", "distribution", title="\nParameters"
    )
    for one in found["parameters"]:
        table.add_row(
            one["name"],
            one["unit"],
            f"{one['low']:.4g}",
            f"{one['high']:.4g}",
            sparkline(one["counts"]) or "constant",
        )
    return table


def _elements(found: dict[str, Any]) -> RenderableType:
    table = _table("element", "per H nucleus", "largest drift", title="\nElements")
    for name, one in found["elements"].items():
        table.add_row(name, f"{one['total']:.4g}", f"{one['drift']:.1e}")
    return table


def _decades(found: dict[str, Any]) -> RenderableType:
    counts, edges = found["counts"], found["decades"]
    share = found["at_floor"]
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
