"""Losses and metrics against their formulas in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from astrokeras.losses import DexLoss, ReferenceLoss
from astrokeras.metrics import Dex, RelativeError

MATRIX = np.array([[1, 0], [0, 1], [1, 1], [2, 0]], "float64")


@pytest.fixture
def pair(rng):
    truth = rng.uniform(0.2, 1, (3, 5, 4)).astype("float32")
    prediction = (truth + rng.normal(0, 0.02, truth.shape)).astype("float32")
    return truth, np.clip(prediction, 0.05, 1)


def element_dex(truth, prediction):
    totals = [10 ** (20 * (np.float64(s) - 1)) @ MATRIX for s in (truth, prediction)]
    return np.abs(np.log10(totals[1]) - np.log10(totals[0]))


def test_dex_loss_follows_its_formula(pair):
    truth, prediction = pair
    loss = DexLoss(MATRIX, width=0.1, tail=0.5, conservation=2.0)

    value = ops.convert_to_numpy(loss.call(truth, prediction))

    error = 20 * (np.float64(prediction) - truth)
    huber = np.sqrt(error**2 + 0.01).mean(-1) - 0.1
    tail = np.sqrt((error**2).mean(-1))
    expected = huber + 0.5 * tail + 2 * element_dex(truth, prediction).mean(-1)
    assert value.shape == (3, 5)
    np.testing.assert_allclose(value, expected, rtol=1e-3)


def test_a_loss_is_the_sum_of_its_terms(pair):
    weighted = DexLoss(MATRIX, tail=0.5, conservation=2.0)

    parts = weighted.terms(*pair)

    assert set(parts) == {"huber", "tail", "conservation"}
    assert set(DexLoss(MATRIX).terms(*pair)) == {"huber"}
    assert set(ReferenceLoss(MATRIX).terms(*pair)) == {"excess", "conservation"}
    expected = 2 * element_dex(*pair).mean(-1)
    found = ops.convert_to_numpy(parts["conservation"])
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    total = sum(ops.convert_to_numpy(part) for part in parts.values())
    np.testing.assert_allclose(ops.convert_to_numpy(weighted.call(*pair)), total, 1e-6)


@pytest.mark.parametrize(("decades", "counted"), [(0.4, 0.0), (2.0, 1.5)])
def test_half_a_decade_below_the_floor_costs_nothing_when_censored(decades, counted):
    truth = np.zeros((1, 4), "float32")
    below = np.full((1, 4), -decades / 20, "float32")

    free = DexLoss(MATRIX, censored=True).call(truth, below)
    dear = DexLoss(MATRIX, censored=False).call(truth, below)

    for value, error in ((free, counted), (dear, decades)):
        expected = np.sqrt(error**2 + 0.01) - 0.1
        assert float(value[0]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_each_weight_of_the_dex_loss_matters(pair):
    values = {
        float(ops.mean(DexLoss(MATRIX, **weights).call(*pair)))
        for weights in ({}, {"tail": 1}, {"conservation": 1}, {"width": 0.5})
    }

    assert len(values) == 4


def test_reference_loss_follows_its_formula(pair):
    truth, prediction = pair
    loss = ReferenceLoss(MATRIX, weight=20, conservation=100)

    value = ops.convert_to_numpy(loss.call(truth, prediction))

    excess = 10 ** (20 * np.abs(np.float64(prediction) - truth)) - 1
    expected = 1e-3 * (excess.sum(-1) + 2 * excess.max(-1))
    expected += 100 * element_dex(truth, prediction).sum(-1)
    np.testing.assert_allclose(value, expected, rtol=2e-3)


def test_an_absent_element_is_no_infinity():
    nothing = np.full((1, 4), -10.0, "float32")

    assert np.isfinite(float(ReferenceLoss(MATRIX).call(nothing, nothing)[0]))


@pytest.mark.parametrize("loss", [DexLoss(MATRIX, tail=0.3), ReferenceLoss(MATRIX)])
def test_losses_survive_serialisation(loss, pair):
    config = keras.saving.serialize_keras_object(loss)
    copy = keras.saving.deserialize_keras_object(config)

    assert float(copy(*pair)) == pytest.approx(float(loss(*pair)), rel=1e-6)


def test_a_stoichiometry_of_the_wrong_rank_is_refused():
    with pytest.raises(ValueError, match=r"shape=\(3,\)"):
        DexLoss([1, 2, 3])


def test_dex_is_the_mean_over_valid_states(pair):
    truth, prediction = pair
    weight = np.ones((3, 5), "float32")
    weight[1, 2:] = 0
    metric, worst = Dex(4), Dex(4, reduction="max")

    for one in (metric, worst):
        one.update_state(truth[:1], prediction[:1], weight[:1])
        one.update_state(truth[1:], prediction[1:], weight[1:])

    error = 20 * np.abs(np.float64(prediction) - truth)
    expected = error[weight > 0].mean(0)
    np.testing.assert_allclose(metric.per_species(), expected, rtol=1e-4)
    assert float(metric.result()) == pytest.approx(expected.mean(), rel=1e-4)
    assert float(worst.result()) == pytest.approx(expected.max(), rel=1e-4)


def test_dex_brings_predictions_to_the_floor():
    metric = Dex(1)
    metric.update_state(np.zeros((1, 1)), np.full((1, 1), -0.5))

    assert float(metric.result()) == 0


def test_relative_error_is_of_abundances(pair):
    truth, prediction = pair
    metric = RelativeError(4)
    metric.update_state(truth, prediction)

    ratio = 10 ** (20 * (np.float64(prediction) - truth))
    expected = np.abs(ratio - 1).mean((0, 1))
    np.testing.assert_allclose(metric.per_species(), expected, rtol=1e-3)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="'median'"):
        Dex(4, reduction="median")
