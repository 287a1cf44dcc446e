"""Error metrics against `score.py`, which computes them independently."""

from dataclasses import asdict

import numpy as np
import pytest
from score import ELEMENTS, composition, score

from astrokeras.evaluation import error_metrics
from astrokeras.evaluation.error_metrics import KEYS, ErrorMetrics

pytestmark = pytest.mark.neutral

SPECIES = ("H2", "HE", "C+", "CO", "#H2O", "@CH3OH", "SIO", "E-")


def stoichiometry(species):
    return np.array([[composition(s)[e] for e in ELEMENTS] for s in species], float)


def make_metrics(species, states):
    return ErrorMetrics(species, states, stoichiometry(species), ELEMENTS)


@pytest.fixture
def case():
    """Ten ragged tracers, with every fault that a prediction can have."""
    rng = np.random.default_rng(7)
    truth = 10.0 ** rng.uniform(-22, 0, (10, 9, len(SPECIES))).astype("float32")
    scatter = rng.normal(0, 0.4, truth.shape)
    prediction = (truth * 10.0**scatter).astype("float32")
    prediction[0, 3, 1] = np.nan
    prediction[1, 4, 2] = -1.0
    prediction[2, 1, 0] = np.inf
    prediction[3, 0, 0] = np.nan  # State 0 is given: not judged.
    length = rng.integers(2, 10, len(truth))
    length[:4] = 9
    for row, states in enumerate(length):
        truth[row, states:] = prediction[row, states:] = np.nan
    return truth, prediction, length


def reference(truth, prediction, length):
    """`score.py` on data whose padding is something it can take a log of."""
    beyond = np.arange(truth.shape[1]) >= length[:, None]
    truth, prediction = truth.copy(), prediction.copy()
    truth[beyond] = prediction[beyond] = 0.5
    return score(truth, prediction, SPECIES, length)


def assert_same(result, expected):
    result = asdict(result)
    assert tuple(result) == KEYS == tuple(expected)
    for key, value in expected.items():
        if isinstance(value, str | int):
            assert result[key] == value, key
        else:
            np.testing.assert_allclose(result[key], value, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("block", [1, 3, 10])
def test_equal_to_score(case, block):
    truth, prediction, length = case
    total = make_metrics(SPECIES, 9)

    for i in range(0, len(truth), block):
        part = slice(i, i + block)
        total.add(truth[part], prediction[part], length[part])

    expected = reference(truth, prediction, length)
    assert expected["nonfinite"] == 3
    assert_same(total.result(), expected)


def test_blocks_larger_than_memory_are_cut(case, monkeypatch):
    monkeypatch.setattr(error_metrics, "ENTRIES", 100)
    total = make_metrics(SPECIES, 9)

    total.add(*case)

    assert_same(total.result(), reference(*case))
    assert total.tracer_dex.shape == (10,)


def test_result_is_plain(case):
    total = make_metrics(SPECIES, 9)
    total.add(*case)

    assert {type(v) for v in asdict(total.result()).values()} == {float, int, str}


def test_detail_by_brute_force(case):
    truth, prediction, length = case
    total = make_metrics(SPECIES, 9)
    kinds = ["csv", "other"] * 5
    total.add(truth, prediction, length, kinds)
    detail = total.detail()

    fine = np.isfinite(prediction) & (prediction >= 0)
    p = np.where(fine, prediction, 1e-20).astype(float)
    x = np.clip(truth.astype(float), 1e-20, 1)
    error = np.abs(np.log10(np.maximum(p, 1e-20)) - np.log10(x))
    valid = np.arange(9) < length[:, None]
    valid[:, 0] = False
    error[~valid] = np.nan
    state = np.where(valid, error.mean(2), np.nan)

    np.testing.assert_allclose(total.tracer_dex, np.nanmean(error, (1, 2)))
    np.testing.assert_allclose(detail.species_dex, np.nanmean(error, (0, 1)))
    np.testing.assert_allclose(detail.step_dex[1:], np.nanmean(state[:, 1:], 0))
    assert np.isnan([detail.step_dex[0], detail.step_median[0]]).all()
    tracers_at_8 = np.sort(state[valid[:, 8], 8])
    assert tracers_at_8[0] <= detail.step_median[8] <= tracers_at_8[-1]
    logs = np.log10(x)
    swing = [np.ptp(logs[i, 1 : length[i]], axis=0) for i in range(len(x))]
    np.testing.assert_allclose(detail.species_swing, np.mean(swing, 0), rtol=1e-6)
    assert detail.elements == ("H", "HE", "C", "O", "SI")
    totals = np.nan_to_num(p) @ stoichiometry(SPECIES)[:, [0, 1, 2, 4, 6]]
    given = np.nan_to_num(truth.astype(float)[:, :1])
    given = given @ stoichiometry(SPECIES)[:, [0, 1, 2, 4, 6]]
    off = (np.abs(totals - given) / given)[valid]
    np.testing.assert_allclose(detail.element_mean, off.mean(0))
    np.testing.assert_allclose(detail.element_max, off.max(0))
    odd = error[1::2]
    assert list(detail.starts) == ["csv", "other"]
    assert detail.starts["other"]["tracers"] == 5
    np.testing.assert_allclose(detail.starts["other"]["dex"], np.nanmean(odd))
    last = odd[np.arange(5), length[1::2] - 1]
    np.testing.assert_allclose(detail.starts["other"]["dex_final"], last.mean())


def test_other_shapes_are_refused():
    total = make_metrics(SPECIES, 9)
    right, wrong = np.ones((2, 9, 8)), np.ones((2, 8, 8))
    with pytest.raises(ValueError, match=r"Received: .*\(2, 8, 8\)"):
        total.add(right, wrong)
    with pytest.raises(ValueError, match="Received: 1 to 9"):
        total.add(right, right, np.array([1, 9]))
    with pytest.raises(ValueError, match="no tracer"):
        total.result()
