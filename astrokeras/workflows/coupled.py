"""How a surrogate does where it is used otherwise than in one rollout from state 0.

A hydrodynamic code advects and mixes abundances, so it decodes and encodes them at
every step: the closed loop. It starts tracers at any state, and may follow them far
longer than training did.
"""

from typing import Any

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.prediction.tracer_rollout import complete, log10
from astrokeras.workflows.figures import Figures
from astrokeras.workflows.judge import Judge

MIXED = 0.1  # of another tracer in each step of the loop with mixing
SHARES = (0.25, 0.5, 0.75)  # of a tracer's steps that are over at a later start
LONG = 10_000  # steps
LOOKED_AT = 100  # states of a long rollout
LEAST = 1e-20  # for what is not a number


def judge_coupled(judge: Judge) -> dict[str, Any]:
    """Return the figures of closed loop, later starts and long rollouts.

    Returns:
        `closed_loop`: `dex` where every state is decoded and encoded anew, and of the
        loop in which each tracer gets 10 % of another one in every step (`mixed`) the
        states that are not finite and the largest relative error of an element total.
        `later_starts`: by share of the tracer that is over at the start, `dex` and
        `dex_final` of the rest. `long`: of rollouts of 10,000 steps, parameters held at
        their last values, `nonfinite` and negative entries, `conservation_max` and the
        most that a species leaves its trained range by, dex.
    """
    later = {share: np.zeros(4) for share in SHARES}
    figures = Figures(
        judge.store.species,
        judge.store.states,
        judge.surrogate.stoichiometry,
        judge.surrogate.elements,
    )
    mixed, long = np.zeros(2), np.array([0.0, 0.0, -np.inf])
    for block in judge.store.blocks(judge.rows, judge.size, check=False):
        closed = _closed_loop(judge, block)
        figures.update(block.abundances, closed, block.length)
        counted, off = _mixed_loop(judge, block)
        mixed = np.array([mixed[0] + counted, max(mixed[1], off)])
        for share, sums in later.items():
            sums += _later_start(judge, block, share)
        counted, off, excess = _long_rollout(judge, block)
        long = np.array([long[0] + counted, max(long[1], off), max(long[2], excess)])
    return {
        "closed_loop": {
            "dex": figures.result()["dex"],
            "mixed": {"nonfinite": int(mixed[0]), "conservation_max": mixed[1]},
        },
        "later_starts": {
            f"{share:g}": {"dex": error / entries, "dex_final": last / ends}
            for share, (error, entries, last, ends) in later.items()
            if ends
        },
        "long": {
            "steps": LONG,
            "nonfinite": int(long[0]),
            "conservation_max": long[1],
            "excess_dex": long[2],
        },
    }


def _steps(judge: Judge, block: Tracers) -> Any:
    """Yield parameters `(n, 1, P)` and times `(n, 2)` of one step after the other.

    The last block is filled up with copies of its last tracer, so that one shape is
    compiled.
    """
    rows = np.minimum(np.arange(judge.size), len(block) - 1)
    physical, time = complete(block)
    physical, time = physical[rows][..., judge.columns], time[rows]
    for t in range(physical.shape[1]):
        yield physical[:, t : t + 1], time[:, t : t + 2]


def _filled(judge: Judge, block: Tracers) -> np.ndarray:
    rows = np.minimum(np.arange(judge.size), len(block) - 1)
    return block.abundances[rows, 0]


def _closed_loop(judge: Judge, block: Tracers) -> np.ndarray:
    """Return abundances that are decoded and encoded at every step, (n, T+1, S)."""
    state = _filled(judge, block)
    states = [state]
    for physical, time in _steps(judge, block):
        state = judge.emulate(_usable(state), physical, time, state_indices=[1])[:, 0]
        states.append(state)
    return np.stack(states, axis=1)[: len(block)]


def _usable(state: np.ndarray) -> np.ndarray:
    """Return a state that can be given, where one that was predicted is broken."""
    return np.nan_to_num(state, nan=LEAST).clip(0, 1)


def _mixed_loop(judge: Judge, block: Tracers) -> tuple[int, float]:
    """Count entries that are not finite, and find the largest error of a total."""
    random = np.random.default_rng(0)
    state = _filled(judge, block)
    bad, off = 0, 0.0
    for physical, time in _steps(judge, block):
        other = state[random.permutation(len(state))]
        state = (1 - MIXED) * state + MIXED * other
        given = judge.totals(state)
        state = judge.emulate(state, physical, time, state_indices=[1])[:, 0]
        bad += int((~np.isfinite(state) | (state < 0)).sum())
        off = max(off, _largest_error(judge.totals(state), given))
        state = _usable(state)
    return bad, off


def _later_start(judge: Judge, block: Tracers, share: float) -> np.ndarray:
    """Return summed errors, entries, last states' mean errors and their number."""
    physical, time = complete(block)
    first = int(share * physical.shape[1])
    lasting = np.flatnonzero(block.length > first + 1)
    if not len(lasting):
        return np.zeros(4)
    truth = block.abundances[lasting, first:]
    predicted = judge.emulate(
        truth[:, 0],
        physical[lasting, first:][..., judge.columns],
        time[lasting, first:],
    )
    last = block.length[lasting] - 1 - first
    valid = np.arange(1, truth.shape[1]) <= last[:, None]
    errors = np.abs(log10(predicted[:, 1:]) - log10(np.nan_to_num(truth[:, 1:])))
    final = errors[np.arange(len(last)), last - 1].mean(-1)
    entries = valid.sum() * truth.shape[2]
    return np.array([errors[valid].sum(), entries, final.sum(), len(final)])


def _long_rollout(judge: Judge, block: Tracers) -> tuple[int, float, float]:
    """Count bad entries; find the largest error of a total and way out of the range."""
    physical, time = complete(block)
    more = LONG - physical.shape[1]
    held = np.repeat(physical[:, -1:], max(more, 0), axis=1)
    physical = np.concatenate([physical, held], axis=1)[:, :LONG, judge.columns]
    step = time[:, -1:] - time[:, -2:-1]
    onward = time[:, -1:] + step * np.arange(1, max(more, 0) + 1)
    time = np.concatenate([time, onward], axis=1)[:, : LONG + 1]
    times = np.linspace(1, LONG, LOOKED_AT).astype(int).tolist()
    initial = block.abundances[:, 0]
    rolled = judge.emulate(initial, physical, time, state_indices=times)
    bad = ~np.isfinite(rolled) | (rolled < 0)
    off = _largest_error(judge.totals(rolled), judge.totals(initial)[:, None])
    low, high = log10(judge.limits.species_ranges)
    logs = log10(np.nan_to_num(rolled))
    return int(bad.sum()), off, float(np.maximum(low - logs, logs - high).max())


def _largest_error(totals: np.ndarray, given: np.ndarray) -> float:
    # An element without a single atom in state 0 has no relative error.
    present = np.broadcast_to(given > 0, totals.shape)
    given = np.broadcast_to(given, totals.shape)[present]
    # What is not a number is counted as such.
    return float(np.fmax.reduce(np.abs(totals[present] - given) / given, initial=0.0))
