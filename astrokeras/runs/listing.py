"""Listing of presets and runs, from their files and without Keras."""

import json
from typing import Any

from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.runs.directory import Run, find_run, list_runs
from astrokeras.runs.loading import read_metadata
from astrokeras.runs.metric_descriptions import LISTED

LONGEST = 24
"""Largest dictionary of figures that is printed; larger ones list every species."""


def list_models(as_json: bool = False) -> str:
    """Return a table of presets and runs with their figures on the test simulations.

    Args:
        as_json: Whether to return JSON, with an object for each run.
    """
    runs = list_runs()
    if as_json:
        return json.dumps([_identify(run) for run in runs], indent=1)
    header = ("name", *LISTED, "directory")
    table = [header, *(_row(run) for run in runs)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    ]
    return "\n".join(line.rstrip() for line in lines)


def show_model(name: str, as_json: bool = False, everything: bool = False) -> str:
    """Return a run's card, or its limits and figures if it has no card.

    Args:
        name: A preset, a run or its directory.
        as_json: Whether to return JSON, without the card.
        everything: Whether limits, figures and configuration follow the card.

    Raises:
        InputError: If there is no such run.
    """
    run = find_run(name)
    metadata = read_metadata(run.path) if run.surrogate.is_file() else None
    config = run.config.read_text() if run.config.is_file() else ""
    if as_json:
        surrogate = {}
        if metadata:
            surrogate = metadata.to_config() | {"calibrated": metadata.calibrated}
        return json.dumps(
            _identify(run) | {"surrogate": surrogate, "config": config}, indent=1
        )
    metrics = run.read_metrics()
    card = run.path / "card.md"
    has_card = card.is_file()
    details = everything or not has_card
    parts = [card.read_text() if has_card else f"# {run.name}", str(run.path)]
    if not metadata:
        parts.append("The run has an autoencoder, but no surrogate yet.")
    elif details:
        parts.append("Limits\n" + _limits(metadata))
    if metrics and details:
        parts.append("Figures\n" + _indented(metrics))
    if config and everything:
        parts.append(
            "Configuration\n" + "\n".join(f"  {line}" for line in config.split("\n"))
        )
    return "\n\n".join(part.strip("\n") for part in parts)


def _identify(run: Run) -> dict[str, Any]:
    return {"name": run.name, "path": str(run.path), "metrics": run.read_metrics()}


def _row(run: Run) -> tuple[str, ...]:
    metrics = run.read_metrics()
    cells = [f"{metrics[f]:.3g}" if metrics.get(f) else "-" for f in LISTED]
    return (run.name, *cells, str(run.path))


def _limits(metadata: SurrogateMetadata) -> str:
    low, high = metadata.dt_range
    names = metadata.species
    lines = [
        f"{len(names)} species: {', '.join(names[:6])} ...",
        f"elements: {', '.join(metadata.elements)}",
        f"steps of {low:.6g} to {high:.6g} yr, up to {metadata.t_max:.6g} yr",
    ]
    for parameter, unit in zip(metadata.parameters, metadata.units, strict=True):
        low, high = metadata.parameter_ranges[parameter]
        lines.append(f"{parameter}: {low:.6g} to {high:.6g} {unit}")
    named = ", ".join(metadata.initial_conditions) or "none named"
    lines.append(f"initial conditions: {named}")
    lines += [f"held fixed: {quantity}" for quantity in metadata.fixed]
    return "\n".join(f"  {line}" for line in lines)


def _indented(metrics: dict[str, Any], depth: int = 1) -> str:
    """Return the figures line by line, without lists and figures of each species."""
    lines = []
    for name, value in metrics.items():
        if isinstance(value, dict) and len(value) <= LONGEST:
            lines += ["  " * depth + name, _indented(value, depth + 1)]
        elif isinstance(value, int | float | str):
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append("  " * depth + f"{name}: {text}")
    return "\n".join(line for line in lines if line)
