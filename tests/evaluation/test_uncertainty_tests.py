"""Coverage, calibration and reliability of a surrogate with known errors."""

import json
import math
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from standin import SPECIES, StandIn, Trusting, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.evaluation.context import EvaluationContext, Prediction, Rollout
from astrokeras.evaluation.evaluate import evaluate
from astrokeras.evaluation.uncertainty_tests import (
    ErrorBarTest,
    ReliabilityTest,
    auroc,
    standard_error,
)
from astrokeras.layers.trust_model import NORMAL

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
    """Return quality of error bars and reliability over blocks of five tracers."""
    limits = surrogate.metadata
    context = EvaluationContext(store, store.rows(), np.arange(4), surrogate, limits, 5)
    tests = [ErrorBarTest(surrogate.value("constant_width")), ReliabilityTest(0.2)]
    rollout = Rollout.whole(context.roll_out, tests)
    for block in context.blocks():
        rollout.update(block)
    return [one.result() for one in tests]


THRESHOLD = 0.2  # dex


def by_time(initial, physical):
    """Reliable for five steps, every second tracer, which starts poor, for seven."""
    last = np.where(initial.max(1) < 1e-5, 7.5, 5.5)
    return THRESHOLD * np.arange(physical.shape[1] + 1) / last[:, None]


@pytest.fixture
def found(store):
    surrogate = Trusting(WIDTH / NORMAL, by_time, error=ERROR)
    return run_tests(store, surrogate)


@pytest.fixture
def states():
    """Step and expected error of every valid state after the first."""
    steps = np.concatenate([np.arange(1, n + 1) for n in STEPS])
    last = np.repeat(np.where(np.arange(12) % 2, 7.5, 5.5), STEPS)
    return steps, THRESHOLD * steps / last


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
    """Their errors are not known; reliability counts them as all."""
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


def test_reliability_is_judged_by_what_it_flags(found, states):
    steps, expected = states
    error, flagged = ERROR * steps, expected > THRESHOLD
    large = error > 0.3  # from state 6 on

    _, judged = found
    assert 0.5 < flagged[large].mean() < 1
    assert judged.unreliable == pytest.approx(flagged.mean())
    assert judged.unreliable_large == pytest.approx(flagged[large].mean())
    assert judged.unreliable_good == 0
    assert judged.reliable_dex == pytest.approx(error[~flagged].mean(), rel=1e-4)
    # The last tracer ends before its error is too large.
    assert judged.unreliable_tracers == pytest.approx(88 / 94)
    pairs = expected[large] - expected[~large][:, None]
    area = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert 0.9 < area < 1
    assert judged.auroc == pytest.approx(area)
    assert judged.reliability_threshold == 0.2


def calibrated_by_hand(expected, error):
    """Mean expected and true errors of each factor of two with 1 % of the states."""
    octaves = {}
    for e, dex in zip(expected, error, strict=True):
        if math.isfinite(e):
            octaves.setdefault(math.floor(math.log2(e)), []).append((e, dex))
    table = {"expected": [], "dex": [], "share": []}
    for _, pairs in sorted(octaves.items()):
        if 100 * len(pairs) >= len(expected):
            table["expected"].append(sum(e for e, _ in pairs) / len(pairs))
            table["dex"].append(sum(dex for _, dex in pairs) / len(pairs))
            table["share"].append(len(pairs) / len(expected))
    return table


def approximately(table):
    return {name: pytest.approx(values, rel=1e-4) for name, values in table.items()}


def test_the_calibration_compares_expected_and_true_errors(found, states):
    steps, expected = states
    table = calibrated_by_hand(expected, ERROR * steps)

    assert len(table["share"]) == 5
    assert sum(table["share"]) == pytest.approx(1)
    assert found[1].calibration == approximately(table)


def test_the_calibration_leaves_out_rare_and_infinite_expectations(rng):
    expected = 10.0 ** rng.uniform(-2, 0, 300).astype("f4")
    expected[:2] = 30.0  # 0.7 % of the states
    expected[2:5] = np.inf, np.nan, 40.0
    true = rng.uniform(0.01, 0.5, 300)
    abundances = np.full((1, 301, 1), 1e-5)
    predicted = abundances.copy()
    predicted[0, 1:, 0] *= 10.0**true
    block = SimpleNamespace(
        time=np.zeros((1, 301)), length=np.array([301]), abundances=abundances
    )
    reliable = np.ones((1, 301), bool)
    test = ReliabilityTest(THRESHOLD)
    state_0 = np.zeros((1, 1), "f4")
    expected_error = np.concatenate([state_0, expected[None]], axis=1)
    test.update(block, Prediction(predicted, None, expected_error, reliable))

    result = test.result()

    table = calibrated_by_hand(expected, true)
    assert max(table["expected"]) < 1
    assert result.calibration == approximately(table)
    # What is not finite goes to the solver first.
    assert result.curve["dex"][1] == pytest.approx(
        np.delete(true, np.argsort(-np.nan_to_num(expected, nan=np.inf))[:15]).mean()
    )


def test_the_curve_sends_the_largest_expected_errors_first(found, states):
    steps, expected = states
    order = np.lexsort((np.arange(len(expected)), -expected.astype("f4")))
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
    assert found.reliability is None
    assert not {"error_bars", "reliability"} & set(found.metrics)


def test_json_is_plain(found):
    for one in map(asdict, found):
        assert json.loads(json.dumps(one)) == one


def test_standard_error_draws_simulations_together():
    errors, simulation = np.repeat([1.0, 3.0], 50), np.repeat([4, 9], 50)

    assert standard_error(errors, simulation) == pytest.approx(2**-0.5, rel=0.05)
    assert standard_error(errors, np.zeros(100)) is None
