"""The card of a surrogate: what it learned from, what it can do, and where it ends."""

from typing import Any

from astrokeras.runs.directory import Run
from astrokeras.runs.loading import read_metadata
from astrokeras.runs.metric_descriptions import METRICS, format_value
from astrokeras.system.atomic_files import write_text
from astrokeras.system.manifest import claim


def write_card(run: Run) -> None:
    """Write `card.md` from the surrogate, its figures and its provenance."""
    facts = read_metadata(run.surrogate)
    metrics = run.read_metrics()
    origin = run.read_provenance()
    parts = [
        f"# {run.name}: a surrogate of gas-grain chemistry",
        _data(facts, origin),
        _limits(facts),
        _figures(metrics),
        _origin(origin),
    ]
    claim(run.path, "run", ["card.md"])
    write_text(run.path / "card.md", "\n\n".join(part for part in parts if part) + "\n")


def _data(facts: dict[str, Any], origin: dict[str, Any]) -> str:
    dataset = origin.get("configuration", {}).get("dataset", {})
    lines = [
        f"- {dataset[key]}"
        for key in ("source", "network", "solver", "tolerances", "licence", "citation")
        if dataset.get(key)
    ]
    lines.append(f"- {len(facts['species'])} species of {', '.join(facts['elements'])}")
    return "\n".join(["## Data", "", *lines])


def _limits(facts: dict[str, Any]) -> str:
    low, high = facts["dt_range"]
    interval = f"{low:.4g} to {high:.4g} yr, of any length between"
    if high - low < 1e-3 * low:
        interval = f"{low:.4g} yr, no others"
    rows = [
        f"| {name} | {unit} | {first:.6g} | {last:.6g} |"
        for name, unit in zip(facts["parameters"], facts["units"], strict=True)
        for first, last in [facts["parameter_ranges"][name]]
    ]
    return "\n".join(
        [
            "## Limits",
            "",
            "| parameter | unit | from | to |",
            "|---|---|---|---|",
            *rows,
            "",
            f"- steps of {interval}; at most {facts['t_max']:.6g} yr",
            f"- held fixed in training: {', '.join(facts['fixed']) or 'nothing noted'}",
            f"- named starts: {', '.join(facts['initial_conditions'])}",
            f"- abundances below {facts['floor']:g} are not told apart",
            "- outside these ranges it answers, with a warning and a low trust score",
            _conserved(facts),
            "- charge is not conserved, as it is not by the solver",
        ]
    )


def _conserved(facts: dict[str, Any]) -> str:
    if facts.get("conserve", True):
        return "- every state of a rollout has the element totals of its state 0"
    return "- element totals are not conserved"


def _figures(metrics: dict[str, Any]) -> str:
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
    starts = [
        f"- from start {name}: {figures['dex']:.4g} dex, {figures['tracers']} tracers"
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
            *starts,
            *baselines,
            *_reliability(metrics),
        ]
    )


def _reliability(metrics: dict[str, Any]) -> list[str]:
    """Return what holds beside one rollout from state 0."""
    lines = []
    if "closed_loop" in metrics:
        lines.append(
            "- decoded and encoded anew at every step: "
            f"{metrics['closed_loop']['dex']:.4g} dex"
        )
    if "trust" in metrics:
        bars, trust = metrics["error_bars"], metrics["trust"]
        rest = "no state is trusted"
        if trust["remaining"] is not None:
            rest = f"the others are off by {trust['remaining']:.4g} dex"
        lines += [
            f"- 90 % error bars cover {bars['coverage']:.1%}",
            f"- trust below 0.5: {trust['flagged']:.1%} of the states; {rest}",
        ]
    return lines


def _origin(origin: dict[str, Any]) -> str:
    if not origin:
        return ""
    versions = ", ".join(f"{k} {v}" for k, v in origin["versions"].items())
    members = len(origin.get("members", ()))
    return "\n".join(
        [
            "## Origin",
            "",
            f"- {versions}; trained on the {origin.get('backend')} backend",
            f"- seed {origin['seed']}, commit {origin.get('git')}",
            *([f"- mean of {members} members, seeds one apart"] if members else []),
            f"- SHA-256 of the data {origin['data_sha256']}",
            f"- SHA-256 of the split {origin['split_sha256']}",
        ]
    )
