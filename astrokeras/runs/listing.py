"""Listing of presets and runs, from their files and without Keras."""

import json
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.runs.directory import Run, find_run, list_runs
from astrokeras.runs.loading import read_metadata

LONGEST = 24
"""Largest dictionary of figures that is printed; larger ones list every species."""
INDENT = " " * 4
WIDTH = 80


def list_models(as_json: bool = False) -> str:
    """Return presets and runs with their figures on the test simulations and limits.

    Args:
        as_json: Whether to return JSON, with an object for each run.
    """
    runs = list_runs()
    if as_json:
        return json.dumps([_identify(run) for run in runs], indent=1)
    if not runs:
        return "There is no preset and no run here."
    parts = [_summary(run) for run in runs]
    return "\n\n".join([*parts, "`astrokeras models show NAME` tells more."])


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


def _summary(run: Run) -> str:
    """Return name, figures and limits of a run in a few lines of 80 columns."""
    lines = [f"{run.name}: {_figures(run.read_metrics())}"]
    if run.surrogate.is_file():
        metadata = read_metadata(run.path)
        limits = [
            f"{name} {format_range(metadata.parameter_ranges[name])} "
            f"{f'times {unit}' if unit[:1].isdigit() else unit}"
            for name, unit in zip(metadata.parameters, metadata.units, strict=True)
        ]
        limits.append(f"steps of {format_range(metadata.dt_range)} yr")
        limits.append(f"ages to {format_limit(metadata.t_max)} yr")
        lines += wrap("; ".join(limits) + ".", WIDTH - len(INDENT))
    return f"\n{INDENT}".join([*lines, str(run.path)])


def _figures(metrics: dict[str, Any]) -> str:
    """Return the error on the test tracers and the share of states to believe."""
    if not metrics.get("dex"):
        return "not evaluated"
    text = f"{metrics['dex']:.3g} dex on {metrics.get('tracers', 'its')} test tracers"
    reliability = metrics.get("reliability") or {}
    if reliability.get("unreliable") is not None:
        text += f", {1 - reliability['unreliable']:.0%} of the states reliable"
    if reliability.get("reliable_dex") is not None:
        text += f" ({reliability['reliable_dex']:.2g} dex)"
    return text


def format_range(limits: Sequence[float]) -> str:
    """Return the lowest and highest value of a quantity, two digits each."""
    return " to ".join(map(format_limit, limits))


def format_limit(value: float) -> str:
    """Return a value in two digits, `0.014`, `26`, `2000` or `1.3e9`."""
    if 0.01 <= abs(value) < 1e4:
        return f"{float(f'{value:.2g}'):g}"
    return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace(".0e", "e")


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
