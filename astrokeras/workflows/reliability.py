"""Whether a surrogate's error bars hold, and whether it knows what not to trust."""

from typing import Any

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.layers.trust_model import NORMAL
from astrokeras.models.training_ranges import COVERAGE, LEAST_TRUST
from astrokeras.prediction.tracer_rollout import complete, log10
from astrokeras.workflows.judge import Judge

FLOOR = 1e-20
LARGE = 0.3  # dex, an error of a state that should have been told
HELD = 0.75  # coverage that nearly every species should reach
TOTALS = 1.12  # what element totals are multiplied by: more than 10 % off
OUTSIDE_DEX = 0.25  # how far a parameter is put outside its range
SENT = np.linspace(0.0, 0.9, 19)  # shares of states that are sent to the solver
DRAWS = 1000


def judge_reliability(judge: Judge) -> dict[str, Any]:
    """Return the figures of error bars and trust, none of one that is not calibrated.

    Returns:
        `error_bars`: `coverage` of the 90 % intervals over entries above the floor with
        a 95 % range by bootstrap over simulations, its parts by `thirds` of the
        rollouts, the share of species that are covered to 75 % at least overall and in
        each third, and the interval score (Gneiting & Raftery 2007) beside that of a
        width per species. `trust`: `auroc` of the score for errors of a state above 0.3
        dex, shares flagged of all states, of those with a large error, of those with an
        error below the median, of states whose input is `wrong` in one of several ways,
        and the `curve` of the error that remains by the share of states sent back.
    """
    if getattr(judge.surrogate, "trust", None) is None:
        return {}
    parts = [
        _block(judge, block)
        for block in judge.store.blocks(judge.rows, judge.size, check=False)
    ]
    simulation = judge.store.simulation[judge.rows]
    covered, counted = (
        np.concatenate([part[name] for part in parts]) for name in ("in", "all")
    )
    error, trust = (
        np.concatenate([part[name].ravel() for part in parts])
        for name in ("error", "trust")
    )
    known = np.isfinite(error)
    score = sum(part["score"] for part in parts)
    return {
        "error_bars": _error_bars(covered, counted, simulation, score),
        "trust": _trust(error[known], trust[known])
        | {
            "wrong": _wrong_inputs(judge),
            "tolerance": judge.surrogate.trust.reliability_threshold,
        },
    }


def _block(judge: Judge, block: Tracers) -> dict[str, np.ndarray]:
    """Return sums over a block's states, by tracer, third and species."""
    physical, time = complete(block)
    predicted, sigma, trust = judge.emulate(
        block.abundances[:, 0],
        physical[..., judge.columns],
        time,
        return_sigma=True,
        return_trust=True,
    )
    states = block.time.shape[1]
    valid = np.arange(states) < block.length[:, None]
    valid[:, 0] = False
    truth = np.nan_to_num(block.abundances, nan=0.0)
    error = np.abs(log10(predicted) - log10(truth))
    width = NORMAL * sigma
    seen = valid[..., None] & (truth > FLOOR)
    inside = seen & (error <= width)
    third = np.arange(states) * 3 // states
    constant = judge.surrogate.trust.value("constant_width")
    return {
        "in": np.stack([inside[:, third == k].sum(1) for k in range(3)], axis=1),
        "all": np.stack([seen[:, third == k].sum(1) for k in range(3)], axis=1),
        "error": np.where(valid, error.mean(-1), np.nan),
        "trust": trust,
        "score": np.array(
            [_interval_score(one, error)[seen].sum() for one in (width, constant)]
            + [seen.sum()]
        ),
    }


def _interval_score(width: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the width of an interval and the penalty of an error outside of it."""
    return 2 * width + 2 / (1 - COVERAGE) * np.maximum(error - width, 0.0)


def _error_bars(
    covered: np.ndarray, counted: np.ndarray, simulation: np.ndarray, score: Any
) -> dict[str, Any]:
    species = covered.sum((0, 1)) / np.maximum(counted.sum((0, 1)), 1)
    third = covered.sum((0, 2)) / np.maximum(counted.sum((0, 2)), 1)
    parts = covered.sum(0) / np.maximum(counted.sum(0), 1)
    present = counted.sum((0, 1)) > 0
    _, group = np.unique(simulation, return_inverse=True)
    sums = np.stack([np.bincount(group, one.sum((1, 2))) for one in (covered, counted)])
    drawn = np.random.default_rng(0).integers(0, sums.shape[1], (DRAWS, sums.shape[1]))
    means = sums[0][drawn].sum(1) / sums[1][drawn].sum(1)
    return {
        "coverage": float(covered.sum() / counted.sum()),
        "coverage_range": np.percentile(means, [2.5, 97.5]).tolist(),
        "thirds": third.tolist(),
        "species_held": float((species[present] >= HELD).mean()),
        "thirds_species_held": [float((one[present] >= HELD).mean()) for one in parts],
        "score": float(score[0] / score[2]),
        "score_constant": float(score[1] / score[2]),
    }


def _trust(error: np.ndarray, trust: np.ndarray) -> dict[str, Any]:
    flagged, large = trust < LEAST_TRUST, error > LARGE
    good = error < np.median(error)
    order = np.argsort(trust, kind="stable")  # the least trusted first
    left = [error[order[int(share * len(order)) :]].mean() for share in SENT]
    return {
        "auroc": auroc(-trust, large),
        "flagged": float(flagged.mean()),
        "flagged_large": float(flagged[large].mean()) if large.any() else None,
        "flagged_good": float(flagged[good].mean()) if good.any() else None,
        "remaining": float(error[~flagged].mean()) if not flagged.all() else None,
        "curve": {"sent": SENT.tolist(), "dex": [float(one) for one in left]},
    }


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Return the chance that a positive scores higher than another, ties a half."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    _, place, sizes = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    above = ranks[place][positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def _wrong_inputs(judge: Judge) -> dict[str, float]:
    """Return the share of states flagged where the input is wrong in a known way."""
    random = np.random.default_rng(0)
    flagged: dict[str, list[float]] = {}
    for block in judge.store.blocks(judge.rows, judge.size, check=False):
        physical, time = complete(block)
        physical, initial = physical[..., judge.columns], block.abundances[:, 0]
        for name, given in _spoilt(judge, initial, physical, random).items():
            *_, trust = judge.emulate(
                *given,
                time,
                species=[judge.surrogate.species[0]],
                conserve=False,
                return_trust=True,
            )
            valid = np.arange(1, time.shape[1]) < block.length[:, None]
            flagged.setdefault(name, []).extend(trust[:, 1:][valid] < LEAST_TRUST)
    return {name: float(np.mean(found)) for name, found in flagged.items()}


def _spoilt(
    judge: Judge, initial: np.ndarray, physical: np.ndarray, random: Any
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    count = len(initial)
    low, high = np.array(
        [judge.limits.parameter_ranges[n] for n in judge.limits.parameters]
    ).T
    chosen = random.integers(0, physical.shape[-1], count)
    up = random.random(count) < 0.5
    outside = physical.copy()
    beyond = 10.0**OUTSIDE_DEX
    edge = np.where(up, high[chosen] * beyond, low[chosen] / beyond)
    outside[np.arange(count), :, chosen] = edge[:, None]
    factor = np.where(random.random(count) < 0.5, TOTALS, 1 / TOTALS)[:, None]
    mixed = np.stack(
        [physical[random.permutation(count), :, i] for i in range(physical.shape[-1])],
        axis=-1,
    )
    return {
        "shuffled": (random.permuted(initial, axis=1), physical),
        "totals": (np.minimum(initial * factor, 1.0), physical),
        "outside": (initial, outside),
        "mixed": (initial, mixed),
    }
