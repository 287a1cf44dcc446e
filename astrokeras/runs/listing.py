"""What presets and runs are, told from their files: Keras is not imported."""

import json
from typing import Any

from astrokeras.runs.directory import Run, find_run, list_runs
from astrokeras.runs.loading import read_metadata
from astrokeras.runs.metric_descriptions import LISTED

LONGEST = 24


def list_models(as_json: bool = False) -> str:
    """Return a table of presets and runs with their figures on the test simulations.

    Args:
        as_json: Whether to return JSON, one object a run.
    """
    runs = list_runs()
    if as_json:
        rows = [
            {"name": run.name, "path": str(run.path), "metrics": run.read_metrics()}
            for run in runs
        ]
        return json.dumps(rows, indent=1)
    header = ("name", *LISTED, "directory")
    table = [header, *(_row(run) for run in runs)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def show_model(name: str, as_json: bool = False, everything: bool = False) -> str:
    """Return a run's card, or its limits and figures if it has none.

    Args:
        name: A preset, a run or its directory.
        as_json: Whether to return JSON, without the card.
        everything: Whether limits, figures and configuration follow the card.

    Raises:
        InputError: If there is no such run.
    """
    run = find_run(name)
    facts = read_metadata(run.path) if run.surrogate.is_file() else {}
    metrics = run.read_metrics()
    config = run.config.read_text() if run.config.is_file() else ""
    if as_json:
        stored = {"name": run.name, "path": str(run.path), "metrics": metrics}
        return json.dumps(stored | {"surrogate": facts, "config": config}, indent=1)
    card = run.path / "card.md"
    told = card.is_file()
    parts = [card.read_text() if told else f"# {run.name}", str(run.path)]
    if not facts:
        parts.append("The run has no surrogate yet, an autoencoder alone.")
    elif everything or not told:
        parts.append("Limits\n" + _limits(facts))
    if metrics and (everything or not told):
        parts.append("Figures\n" + _indented(metrics))
    if config and everything:
        parts.append(
            "Configuration\n" + "\n".join(f"  {k}" for k in config.split("\n"))
        )
    return "\n\n".join(part.strip("\n") for part in parts)


def _row(run: Run) -> tuple[str, ...]:
    metrics = run.read_metrics()
    cells = [f"{metrics[f]:.3g}" if metrics.get(f) else "-" for f in LISTED]
    return (run.name, *cells, str(run.path))


def _limits(facts: dict[str, Any]) -> str:
    low, high = facts["dt_range"]
    names = facts["species"]
    lines = [
        f"{len(names)} species: {', '.join(names[:6])} ...",
        f"elements: {', '.join(facts['elements'])}",
        f"steps of {low:.6g} to {high:.6g} yr, up to {facts['t_max']:.6g} yr",
    ]
    for parameter, unit in zip(facts["parameters"], facts["units"], strict=True):
        low, high = facts["parameter_ranges"][parameter]
        lines.append(f"{parameter}: {low:.6g} to {high:.6g} {unit}")
    lines.append(f"starts: {', '.join(facts['initial_conditions']) or 'none named'}")
    lines += [f"held fixed: {fact}" for fact in facts["fixed"]]
    return "\n".join(f"  {line}" for line in lines)


def _indented(metrics: dict[str, Any], depth: int = 1) -> str:
    """Return the figures line by line, but no list and no figure of each species."""
    lines = []
    for name, value in metrics.items():
        if isinstance(value, dict) and len(value) <= LONGEST:
            lines += ["  " * depth + name, _indented(value, depth + 1)]
        elif isinstance(value, int | float | str):
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append("  " * depth + f"{name}: {text}")
    return "\n".join(line for line in lines if line)
