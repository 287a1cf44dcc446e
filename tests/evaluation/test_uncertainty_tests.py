"""Coverage, scores and flags of a surrogate whose errors and scores are known."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from standin import SPECIES, StandIn, Trusting, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.evaluation.context import EvaluationContext, Rollout
from astrokeras.evaluation.evaluate import evaluate
from astrokeras.evaluation.uncertainty_tests import (
    ErrorBarTest,
    TrustTest,
    auroc,
    standard_error,
)
from astrokeras.layers.trust_model import NORMAL
from astrokeras.models.training_ranges import Limits

ERROR = 0.055  # dex a step
S = len(SPECIES)
# All but the last species cover errors of up to four steps, the last one none.
WIDTH = np.full(S, 4.5 * ERROR)
WIDTH[-1] = 0.5 * ERROR
STEPS = [8] * 11 + [6]  # of each tracer


@pytest.fixture
def store(tmp_path):
    """Tracers of 8 steps, the last of which ends after 6."""
    write_tracers(tmp_path / "t.h5")
    with TracerStore(tmp_path / "t.h5") as store:
        yield store


def run_tests(store, surrogate):
    """Return quality of error bars and trust over blocks of five tracers."""
    limits = Limits.from_metadata(surrogate.get_config())
    context = EvaluationContext(store, store.rows(), np.arange(4), surrogate, limits, 5)
    tests = [ErrorBarTest(surrogate.value("constant_width")), TrustTest(0.2)]
    rollout = Rollout.whole(context.roll_out, tests)
    for block in context.blocks():
        rollout.update(block)
    return [one.result() for one in tests]


def by_time(initial, physical):
    """Trusted for five steps, but every second tracer, which starts poor, for seven."""
    last = np.where(initial.max(1) < 1e-5, 7.5, 5.5)
    return 1 / (1 + np.arange(physical.shape[1] + 1) / last[:, None])


@pytest.fixture
def found(store):
    surrogate = Trusting(WIDTH / NORMAL, by_time, error=ERROR)
    return run_tests(store, surrogate)


@pytest.fixture
def states():
    """Step and trust of every valid state after the first."""
    steps = np.concatenate([np.arange(1, n + 1) for n in STEPS])
    last = np.repeat(np.where(np.arange(12) % 2, 7.5, 5.5), STEPS)
    return steps, 1 / (1 + steps / last)


def test_auroc_counts_pairs_and_halves_ties(rng):
    score = rng.integers(0, 8, 60) / 4
    positive = rng.random(60) < 0.2 + 0.2 * score

    pairs = score[positive][:, None] - score[~positive]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert 0.55 < expected < 0.95
    assert (pairs == 0).any()
    assert auroc(score, positive) == pytest.approx(expected)
    assert auroc(-score, positive) == pytest.approx(1 - expected)


@pytest.mark.parametrize("value", [True, False])
def test_without_two_kinds_there_is_no_auroc(value):
    assert auroc(np.arange(3.0), np.full(3, value)) is None


def test_coverage_is_the_share_of_errors_within_their_bars(found, states):
    steps, _ = states
    bars, _ = found

    inside = steps <= 4
    share = (S - 1) / S
    assert bars.coverage == pytest.approx(share * inside.mean())
    # States 1 and 2, 3 to 5, 6 to 8.
    assert bars.thirds == pytest.approx([share, share * 2 / 3, 0])
    assert bars.species_held == 0
    assert bars.thirds_species_held == pytest.approx([share, 0, 0])


def test_the_range_of_the_coverage_is_by_simulation(found):
    """Five simulations of 4 / 8 and one of 8 / 14."""
    share = (S - 1) / S
    low, high = found[0].coverage_range

    drawn = np.random.default_rng(1).integers(0, 6, (20_000, 6)) == 5
    count = drawn.sum(1)
    means = share * 8 * 6 / (16 * (6 - count) + 14 * count)
    expected = np.percentile(means, [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(expected), abs=2e-3)
    assert low < found[0].coverage < high


def test_states_at_the_floor_are_not_counted(tmp_path):
    """Their errors are not known; trust counts them as it counts all."""
    tracers = write_tracers(tmp_path / "t.h5")
    tracers.abundances[:, 1:, 3] = 1e-20
    write_tracers(tmp_path / "t.h5", abundances=tracers.abundances)
    surrogate = Trusting(np.full(S, 9.0), by_time, error=ERROR)
    surrogate.bars[3] = 0
    with TracerStore(tmp_path / "t.h5") as store:
        bars, _ = run_tests(store, surrogate)

    assert (bars.coverage, bars.species_held) == (1, 1)


def test_the_interval_score_is_width_and_penalty(found, states):
    error = ERROR * states[0][:, None]

    def score(width):
        return (2 * width + 20 * np.maximum(error - width, 0)).mean()

    bars, _ = found
    assert bars.score == pytest.approx(score(WIDTH), rel=1e-4)
    assert bars.score_constant == pytest.approx(score(np.full(S, 0.3)), rel=1e-4)


def test_trust_is_judged_by_what_it_flags(found, states):
    steps, trust = states
    error, flagged = ERROR * steps, trust < 0.5
    large = error > 0.3  # from state 6 on

    _, judged = found
    assert 0.5 < flagged[large].mean() < 1
    assert judged.flagged == pytest.approx(flagged.mean())
    assert judged.flagged_large == pytest.approx(flagged[large].mean())
    assert judged.flagged_good == 0
    assert judged.remaining == pytest.approx(error[~flagged].mean(), rel=1e-4)
    pairs = trust[~large][:, None] - trust[large]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert 0.9 < expected < 1
    assert judged.auroc == pytest.approx(expected)
    assert judged.reliability_threshold == 0.2


def test_the_curve_sends_the_least_trusted_first(found, states):
    steps, trust = states
    order = np.lexsort((np.arange(len(trust)), trust.astype("f4")))
    error = ERROR * steps[order]

    curve = found[1].curve

    assert curve["sent"] == pytest.approx(np.arange(19) / 20)
    for share, left in zip(curve["sent"], curve["dex"], strict=True):
        kept = error[int(share * len(error) + 1e-9) :]
        # One state more or less, where the share meets a whole number.
        assert left == pytest.approx(kept.mean(), rel=1e-2)
    assert curve["dex"][-1] < 0.3 * curve["dex"][0]


def test_without_calibration_there_is_nothing_to_test(tmp_path):
    write_tracers(tmp_path / "t.h5", count=16)
    found = evaluate(StandIn(), tmp_path / "t.h5", report=False)

    assert found.error_bars is None
    assert found.trust is None
    assert not {"error_bars", "trust"} & set(found.metrics)


def test_json_is_plain(found):
    for one in map(asdict, found):
        assert json.loads(json.dumps(one)) == one


def test_standard_error_draws_simulations_together():
    errors, simulation = np.repeat([1.0, 3.0], 50), np.repeat([4, 9], 50)

    assert standard_error(errors, simulation) == pytest.approx(2**-0.5, rel=0.05)
    assert standard_error(errors, np.zeros(100)) is None
