"""Model card: a surrogate's training data, training ranges, figures and provenance."""

from collections.abc import Mapping
from typing import Any

from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.runs.directory import Run
from astrokeras.runs.loading import read_run_metadata
from astrokeras.runs.metric_descriptions import METRICS, format_value
from astrokeras.system.atomic_files import write_text
from astrokeras.system.manifest import claim


def write_card(run: Run) -> None:
    """Write `card.md` from the surrogate's metadata, figures and provenance."""
    metadata = read_run_metadata(run)
    parts = [
        f"# {run.name}: a surrogate of gas-grain chemistry",
        _data(metadata),
        _limits(metadata),
        _figures(metadata.figures),
        _origin(metadata.provenance),
    ]
    claim(run.path, "run", ["card.md"])
    write_text(run.path / "card.md", "\n\n".join(part for part in parts if part) + "\n")


def _data(metadata: SurrogateMetadata) -> str:
    dataset = metadata.provenance.get("configuration", {}).get("dataset", {})
    lines = [
        f"- {dataset[key]}"
        for key in ("source", "network", "solver", "tolerances", "licence", "citation")
        if dataset.get(key)
    ]
    lines.append(f"- {len(metadata.species)} species of {', '.join(metadata.elements)}")
    return "\n".join(["## Data", "", *lines])


def _limits(metadata: SurrogateMetadata) -> str:
    low, high = metadata.dt_range
    interval = f"{low:.4g} to {high:.4g} yr, of any length between"
    if high - low < 1e-3 * low:
        interval = f"{low:.4g} yr, no others"
    rows = [
        f"| {name} | {unit} | {first:.6g} | {last:.6g} |"
        for name, unit in zip(metadata.parameters, metadata.units, strict=True)
        for first, last in [metadata.parameter_ranges[name]]
    ]
    conserved = "element totals are not conserved"
    if metadata.conserve:
        conserved = "every state of a rollout has the element totals of its state 0"
    return "\n".join(
        [
            "## Limits",
            "",
            "| parameter | unit | from | to |",
            "|---|---|---|---|",
            *rows,
            "",
            f"- steps of {interval}; at most {metadata.t_max:.6g} yr",
            f"- held fixed in training: {', '.join(metadata.fixed) or 'nothing noted'}",
            f"- initial conditions: {', '.join(metadata.initial_conditions)}",
            f"- abundances below {metadata.floor:g} are treated as equal",
            "- outside these ranges predictions have a warning and are not reliable",
            f"- {conserved}",
            "- charge is not conserved, as it is not by the solver",
        ]
    )


def _figures(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return ""
    rows = [
        f"| {name} | {format_value(metrics[name])} | {metric} |"
        for name, metric in METRICS.items()
        if name in metrics
    ]
    baselines = [
        f"- {name.replace('_', ' ')}: {figures['dex']:.4g} dex"
        for name, figures in metrics.get("baselines", {}).items()
    ]
    by_initial_condition = [
        f"- from {name}: {figures['dex']:.4g} dex, {figures['tracers']} tracers"
        for name, figures in metrics.get("starts", {}).items()
    ]
    return "\n".join(
        [
            "## Figures",
            "",
            f"Rollouts from state 0 alone: {metrics['tracers']} {metrics['split']} "
            f"tracers of {metrics['simulations']} simulations, {metrics['file']}.",
            "",
            "| figure | value | meaning |",
            "|---|---|---|",
            *rows,
            "",
            *by_initial_condition,
            *baselines,
            *_reliability(metrics),
        ]
    )


def _reliability(metrics: Mapping[str, Any]) -> list[str]:
    """Return lines on coupled rollouts and reliability, if they were measured."""
    lines = []
    if "closed_loop" in metrics:
        lines.append(
            "- re-encoded at every step, as a grid code does: "
            f"{metrics['closed_loop']['dex']:.4g} dex"
        )
    if "reliability" in metrics:
        bars, quality = metrics["error_bars"], metrics["reliability"]
        rest = "no state is reliable"
        if quality["reliable_dex"] is not None:
            rest = f"the others have a mean error of {quality['reliable_dex']:.4g} dex"
        lines += [
            f"- 90 % error bars cover {bars['coverage']:.1%}",
            f"- not reliable: {quality['unreliable']:.1%} of the states; {rest}",
        ]
    return lines


def _origin(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return ""
    versions = ", ".join(f"{k} {v}" for k, v in provenance["versions"].items())
    former = provenance.get("stages", {}).get("emulator", {}).get("from", {})
    begun = [f"- fine-tuned from {former.get('name')}, SHA-256 {former.get('sha256')}"]
    return "\n".join(
        [
            "## Origin",
            "",
            f"- {versions}; trained on the {provenance.get('backend')} backend",
            f"- seed {provenance['seed']}, commit {provenance.get('git')}",
            *(begun * bool(former)),
            f"- SHA-256 of the data {provenance['data_sha256']}",
            f"- SHA-256 of the split {provenance['split_sha256']}",
        ]
    )
