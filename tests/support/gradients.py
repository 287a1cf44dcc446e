"""Gradients of functions of rows, on whichever backend runs, and finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import BACKEND
from keras import ops

Function = Callable[[Any], Any]


def gradient(function: Function, point: np.ndarray) -> np.ndarray:
    """Return the gradient of the sum of what a function gives."""
    point = point.astype("float32")
    if BACKEND == "tensorflow":
        import tensorflow as tf

        leaf = tf.constant(point)
        with tf.GradientTape() as tape:
            tape.watch(leaf)
            value = ops.sum(function(leaf))
        return tape.gradient(value, leaf).numpy()
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: ops.sum(function(x)))(point))
    leaf = ops.convert_to_tensor(point).requires_grad_()
    ops.sum(function(leaf)).backward()
    return leaf.grad.cpu().numpy()


def check_slopes(
    function: Function,
    point: np.ndarray,
    rng: np.random.Generator,
    step: float = 0.01,
    directions: int = 6,
    tolerance: float = 0.01,
) -> None:
    """Compare a gradient with central differences along random directions.

    Args:
        function: Of rows `(N, D)` to `(N, ...)`, each row by itself.
        point: `(N, D)`.
        rng: Draws the directions.
        step: Length of the differences.
        directions: How many are compared.
        tolerance: Largest difference of a slope beside the root mean square of all.
    """
    found = gradient(function, point)
    assert np.isfinite(found).all()
    ways = rng.normal(size=(directions, *point.shape)).astype("float32")
    ways /= np.linalg.norm(ways, axis=-1, keepdims=True)
    moved = np.stack([point + step * ways, point - step * ways])
    rows = ops.convert_to_tensor(moved.reshape(-1, point.shape[-1]), "float32")
    values = ops.convert_to_numpy(function(rows))
    above, below = values.astype("float64").reshape(2, -1)
    difference = (above - below).reshape(*ways.shape[:2], -1).sum(-1) / (2 * step)
    slope = (found * ways).sum(-1)
    spread = np.sqrt(np.mean(np.square(difference)))
    assert spread > 0
    np.testing.assert_allclose(slope, difference, atol=tolerance * spread)
