"""Findings of an evaluation: each figure against its thresholds, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from astrokeras.config import EvaluationConfig
from astrokeras.evaluation.result import Evaluation, Finding
from astrokeras.evaluation.summary_text import speedup
from astrokeras.models.metadata import COVERAGE
from astrokeras.plotting.species_selection import OBSERVERS_SPECIES
from astrokeras.runs.metric_descriptions import format_value

PASS, NOTE, WARN = GRADES = ("PASS", "NOTE", "WARN")
WORST = 3  # species that are named


def grade(value: float | None, thresholds: list[float]) -> str:
    """Return how good a figure is, NOTE if it is not known.

    Args:
        value: The figure.
        thresholds: The last values that pass and that are noted. Small values are good
            ones if the first is not above the second.
    """
    if value is None:
        return NOTE
    passes, noted = thresholds
    sign = 1 if passes <= noted else -1
    if sign * value <= sign * passes:
        return PASS
    return NOTE if sign * value <= sign * noted else WARN


def judge(evaluation: Evaluation, thresholds: EvaluationConfig) -> Evaluation:
    """Return an evaluation with its findings and the verdict."""
    findings = tuple(find(evaluation, thresholds))
    return replace(evaluation, findings=findings, verdict=verdict(evaluation, findings))


def find(evaluation: Evaluation, thresholds: EvaluationConfig) -> list[Finding]:
    """Return the findings of an evaluation, in the order in which they are told."""
    return [
        Finding(topic, name, text, max(grades, key=GRADES.index))
        for topic, lines in {
            "accuracy": _accuracy,
            "trust": _trust,
            "conservation": _conservation,
            "speed": _speed,
            "stress": _stress,
        }.items()
        for name, text, *grades in lines(evaluation, thresholds)
    ]


def verdict(evaluation: Evaluation, findings: Sequence[Finding]) -> str:
    """Return in one sentence whether the surrogate can be used on such tracers."""
    named = {
        each: ", ".join(found.name for found in findings if found.grade == each)
        for each in GRADES
    }
    text = f"{evaluation.surrogate} passes all {len(findings)} checks"
    if named[WARN]:
        text = f"{evaluation.surrogate} fails here: {named[WARN]}"
    elif named[NOTE]:
        text = f"{evaluation.surrogate} can be used; look at {named[NOTE]} first"
    quality = evaluation.reliability
    if quality is None or quality.reliable_dex is None:
        return f"{text}."
    return (
        f"{text}. Believe the {1 - quality.unreliable:.0%} of the states that it calls "
        f"reliable, to {quality.reliable_dex:.2g} dex on average."
    )


def _accuracy(found: Evaluation, limits: EvaluationConfig) -> Iterator[tuple[str, ...]]:
    own, detail = found.errors["surrogate"], found.details["surrogate"]
    spread = found.dex_standard_error
    within = f" ± {spread:.2g}" if spread else ""
    yield (
        "mean error",
        f"{own.dex:.3g}{within} dex; {own.dex_seen:.3g} of abundances from 1e-12 up, "
        f"{own.dex_final:.3g} at the end",
        grade(own.dex, limits.dex),
        grade(own.dex_seen, limits.dex_seen),
    )
    values = ", ".join(f"{v:.2g} ({k} %)" for k, v in detail.percentiles.items())
    highest = grade(detail.percentiles["99"], limits.percentile_99)
    yield "percentiles", f"errors are below {values} dex", highest
    order = np.argsort(-np.nan_to_num(detail.species_dex, nan=np.inf))[:WORST]
    names = {found.species[i]: float(detail.species_dex[i]) for i in order}
    yield "worst species", _listed(names), grade(own.dex_worst, limits.species)
    known = dict(zip(found.species, detail.species_dex.tolist(), strict=True))
    seen = {name: known[name] for name in OBSERVERS_SPECIES if name in known}
    if seen:
        worst = grade(max(seen.values()), limits.observed)
        yield "observed species", _listed(seen), worst
    if groups := found.groups.get("family", {}):
        by_family = {name: one.dex for name, one in groups.items()}
        yield "families", _listed(by_family), grade(max(by_family.values()), limits.dex)
    nearest, ratio = found.baselines.get("nearest_tracer"), None
    if nearest and (ratio := found.times_better["nearest_tracer"]):
        text = f"the nearest training tracer is {ratio:.3g} times as far off"
        yield "baseline", text, grade(ratio, limits.baseline)
    if found.closed_loop:
        loop = found.closed_loop.dex
        text = f"{loop:.3g} dex where each step decodes and encodes anew"
        ratio = loop / own.dex if own.dex else None
        yield "grid code", text, grade(ratio, limits.closed_loop)


def _trust(found: Evaluation, limits: EvaluationConfig) -> Iterator[tuple[str, ...]]:
    bars, quality = found.error_bars, found.reliability
    if bars is None or quality is None:
        yield "calibration", "none: it has no error bars and no expected errors", WARN
        return
    yield (
        "reliable states",
        f"{1 - quality.unreliable:.1%}, off by {format_value(quality.reliable_dex)} "
        "dex on average",
        grade(quality.unreliable, limits.unreliable),
        grade(quality.reliable_dex, limits.reliable_dex),
    )
    if quality.unreliable_large is not None:
        yield (
            "errors above 0.3 dex",
            f"{quality.unreliable_large:.1%} are in states that it calls unreliable "
            f"(AUROC {format_value(quality.auroc)})",
            grade(quality.unreliable_large, limits.caught),
        )
    dex, told = (np.array(quality.calibration[key]) for key in ("dex", "expected"))
    off = float(np.abs(dex / told - 1).max()) if len(told) else None
    if off is not None:
        text = f"the mean errors are within {off:.0%} of them"
        yield "expected errors", text, grade(off, limits.calibration)
    text = f"cover {bars.coverage:.1%} of the errors"
    off = abs(bars.coverage - COVERAGE)
    yield (
        f"{COVERAGE:.0%} error bars".replace("%", " %"),
        text,
        grade(off, limits.coverage),
    )
    states, tracers = quality.unreliable, quality.unreliable_tracers
    yield (
        "effective speed-up",
        f"{speedup(states)} if unreliable states are solved, {speedup(tracers)} if "
        "their tracers are",
        grade(1 / states if states else math.inf, limits.speedup),
    )


def _conservation(
    found: Evaluation, limits: EvaluationConfig
) -> Iterator[tuple[str, ...]]:
    own = found.errors["surrogate"]
    yield (
        "element totals",
        f"off by {own.conservation:.1g} on average, {own.conservation_max:.1g} at most",
        grade(own.conservation_max, limits.conservation),
    )
    text = f"{own.nonfinite or 'none'} not finite or negative"
    yield "abundances", text, grade(own.nonfinite, limits.unphysical)


def _speed(found: Evaluation, limits: EvaluationConfig) -> Iterator[tuple[str, ...]]:
    rate, solver = found.steps_per_second, found.solver_steps_per_second
    yield (
        "rollouts",
        f"{rate:,.0f} steps/s with error bars, {rate / solver:,.0f} times the solver's "
        f"{solver:.3g} on one core",
        grade(rate / solver, limits.solver_ratio),
    )


def _stress(found: Evaluation, limits: EvaluationConfig) -> Iterator[tuple[str, ...]]:
    stress = found.stress
    if stress is None:
        return
    for name, ran in {
        "10 % of another tracer mixed in": stress.mixed,
        f"{stress.long['steps']:,} steps": stress.long,
    }.items():
        off, bad = ran["conservation_max"], ran["nonfinite"]
        text = f"{bad or 'none'} not finite or negative, totals off by {off:.1g}"
        yield (
            name,
            text,
            grade(off, limits.conservation),
            grade(bad, limits.unphysical),
        )
    if stress.corrupted:
        least = min(stress.corrupted.values())
        text = f"{least:.1%} or more are flagged"
        yield "corrupted inputs", text, grade(least, limits.caught)


def _listed(errors: dict[str, float]) -> str:
    return ", ".join(f"{name} {dex:.2g}" for name, dex in errors.items()) + " dex"
