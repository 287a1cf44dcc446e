"""Sentences and table columns that sum up an evaluation.

The terminal table and the HTML report share them.
"""

from astrokeras.evaluation.result import OWN, ErrorSummary, Evaluation
from astrokeras.plotting.plot_style import LOOK
from astrokeras.runs.metric_descriptions import format_value

TITLES = {name: label for name, (_, _, label) in LOOK.items()}


def columns(evaluation: Evaluation) -> dict[str, ErrorSummary]:
    """Return the headline figures by prediction, in the order of the tables."""
    own = {name: evaluation.errors[name] for name in OWN}
    return own | evaluation.baselines


def headline(evaluation: Evaluation) -> str:
    """Return which surrogate was evaluated on which tracers."""
    optimistic = " (optimistic split)" if evaluation.optimistic else ""
    return (
        f"{evaluation.surrogate} on {evaluation.errors['surrogate'].tracers} "
        f"{evaluation.split} tracers of {evaluation.simulations} "
        f"simulations{optimistic}, {evaluation.file}"
    )


def summary(evaluation: Evaluation) -> str:
    """Return the error of the surrogate, beside autoencoder and baselines."""
    error, spread = evaluation.errors["surrogate"].dex, evaluation.dex_standard_error
    within = f" ± {spread:.2g}" if spread else ""
    text = f"Its error is {error:.3g}{within} dex"
    if evaluation.autoencoder_share is not None:
        text += f", {evaluation.autoencoder_share:.0%} of it the autoencoder's"
    better = [
        f"{ratio:.3g} times smaller than that of the {TITLES[name]}"
        for name, ratio in evaluation.times_better.items()
        if ratio
    ]
    return ", ".join([text, *better]) + "."


def sentences(evaluation: Evaluation) -> list[str]:
    """Return the results of all other tests, one sentence or two for each."""
    return (
        _family_sentences(evaluation)
        + _timestep_sentences(evaluation)
        + _coupling_sentences(evaluation)
        + _uncertainty_sentences(evaluation)
        + _stress_sentences(evaluation)
    )


def _family_sentences(evaluation: Evaluation) -> list[str]:
    groups = evaluation.groups.get("family", {})
    errors = ", ".join(
        f"{name} {format_value(one.dex)} dex"
        + (f" ({one.reliable:.0%} reliable)" if one.reliable is not None else "")
        for name, one in groups.items()
    )
    return [f"By family: {errors}."] if groups else []


def _timestep_sentences(evaluation: Evaluation) -> list[str]:
    results = {
        "Error at longer time steps": evaluation.intervals,
        "Step-doubling error (two steps Δt against one of 2Δt)": evaluation.semigroup,
    }
    return [
        f"{text}: "
        + ", ".join(
            f"{format_value(error['dex'])} dex ({error['years']:.4g} yr)"
            for error in by_length.values()
        )
        + "."
        for text, by_length in results.items()
        if by_length
    ]


def _coupling_sentences(evaluation: Evaluation) -> list[str]:
    lines = []
    if evaluation.closed_loop:
        lines.append(
            "Error with states re-encoded at every step (as a grid code does): "
            f"{format_value(evaluation.closed_loop.dex)} dex."
        )
    if evaluation.later_starts:
        errors = ", ".join(
            f"{format_value(error['dex'])} dex (after {float(share):.0%})"
            for share, error in evaluation.later_starts.items()
        )
        lines.append(f"Error of rollouts from later states to the end: {errors}.")
    return lines


def _uncertainty_sentences(evaluation: Evaluation) -> list[str]:
    bars, quality = evaluation.error_bars, evaluation.reliability
    if bars is None or quality is None:
        return []
    low, high = bars.coverage_range
    thirds = ", ".join(f"{third:.1%}" for third in bars.thirds)
    return [
        f"The 90 % error bars cover {bars.coverage:.1%} of the errors (95 % range "
        f"{low:.1%} to {high:.1%}; by thirds of the rollout {thirds}), and at least "
        f"75 % for {bars.species_held:.1%} of the species. Their interval score is "
        f"{format_value(bars.score)} dex, that of a constant width "
        f"{format_value(bars.score_constant)} dex.",
        f"{_percent(quality.unreliable)} of states are not reliable, including "
        f"{_percent(quality.unreliable_large)} of those with errors above 0.3 dex and "
        f"{_percent(quality.unreliable_good)} of those with errors below the median. "
        f"The AUROC of the expected error is {format_value(quality.auroc)}; the mean "
        f"error of reliable states is {format_value(quality.reliable_dex)} dex.",
        "Beside a solver, whose time is thousands of times the surrogate's, this makes "
        f"an effective speed-up of {speedup(quality.unreliable)} if unreliable states "
        f"alone are solved, {speedup(quality.unreliable_tracers)} if their tracers are "
        "solved from state 0.",
    ]


def _stress_sentences(evaluation: Evaluation) -> list[str]:
    stress = evaluation.stress
    if stress is None:
        return []
    mixed, long = stress.mixed, stress.long
    excess = format_value(max(long["excess_dex"], 0.0))
    lines = [
        "Stress test, 10 % of another tracer mixed in at every step: "
        f"{mixed['nonfinite']} abundances are not finite or negative, element totals "
        f"are off by at most {format_value(mixed['conservation_max'])} in a step.",
        f"Stress test, {long['steps']} steps with parameters held at their last "
        f"values: {long['nonfinite']} abundances are not finite or negative, element "
        f"totals are off by at most {format_value(long['conservation_max'])}, "
        f"abundances leave their trained ranges by at most {excess} dex.",
    ]
    if stress.corrupted:
        kinds = {
            "shuffled": "species shuffled",
            "totals": "element totals off by 12 %",
            "outside": "a parameter 0.25 dex out of its range",
            "mixed": "parameters mixed between tracers",
        }
        shares = ", ".join(f"{kinds[k]}, {v:.1%}" for k, v in stress.corrupted.items())
        lines.append(f"Stress test, corrupted inputs flagged: {shares}.")
    return lines


def speedup(solved: float) -> str:
    """Return the effective speed-up if a share of the states is solved, as text."""
    return f"{1 / solved:.2g}" if solved else "thousands"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
