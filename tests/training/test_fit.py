"""The optimisers that a stage's settings ask for: one step of each, in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from astrokeras.config import FitConfig
from astrokeras.training.fit import _optimizer

RATE = 1e-3


def step(settings, kernel, bias):
    """Return what the first step takes from a kernel and a bias, by their gradients."""
    values = [np.full(gradient.shape, 2.0, "f4") for gradient in (kernel, bias)]
    variables = [keras.Variable(value) for value in values]
    optimizer = _optimizer(settings)
    optimizer.build(variables)
    gradients = [ops.convert_to_tensor(one) for one in (kernel, bias)]
    optimizer.apply(gradients, variables)
    after = [ops.convert_to_numpy(one.value) for one in variables]
    return [value - new for value, new in zip(values, after, strict=True)]


@pytest.fixture
def gradients(rng):
    kernel = rng.normal(size=(6, 4)).astype("f4") * [1, 10, 0.1, 1]
    return kernel.astype("f4"), rng.normal(size=4).astype("f4")


def test_muon_moves_kernels_by_an_orthogonal_matrix_and_biases_as_adam(gradients):
    kernel, bias = step(FitConfig(learning_rate=RATE, clip_norm=1e3), *gradients)

    # Newton and Schulz' iterations bring singular values near 1, in whatever units.
    size = RATE * 0.2 * np.sqrt(6)
    values = np.linalg.svd(kernel / size, compute_uv=False)
    assert (values > 0.6).all()
    assert (values < 1.3).all()
    assert np.ptp(np.linalg.svd(gradients[0], compute_uv=False)) > 5
    np.testing.assert_allclose(bias, RATE * np.sign(gradients[1]), rtol=1e-2)


def test_adamw_moves_all_by_signs(gradients):
    settings = FitConfig(optimizer="adamw", learning_rate=RATE)
    for moved, gradient in zip(step(settings, *gradients), gradients, strict=True):
        np.testing.assert_allclose(moved, RATE * np.sign(gradient), rtol=1e-2)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_weights_decay_with_either(name, gradients):
    nothing = [0 * gradient for gradient in gradients]
    settings = FitConfig(optimizer=name, learning_rate=RATE, weight_decay=0.5)

    for moved in step(settings, *nothing):
        np.testing.assert_allclose(moved, 2.0 * RATE * 0.5, rtol=1e-2)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_gradients_are_clipped_together(name):
    settings = FitConfig(optimizer=name, clip_norm=0.5)

    assert _optimizer(settings).global_clipnorm == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_gradient_that_overflows_leaves_muon_to_its_momentum(gradients, bad):
    settings = FitConfig(optimizer="muon", learning_rate=RATE)
    broken = [gradient.copy() for gradient in gradients]
    broken[0][0, 0] = bad
    for moved in step(settings, *broken):
        np.testing.assert_array_equal(moved, 0)
