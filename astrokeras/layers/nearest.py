"""Distances to the nearest of a set of points, and sets that cover others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from astrokeras.layers.root import root


def nearest(points: Any, references: Any) -> Any:
    """Return the distance to the nearest reference, `(N, D)` to `(N, 1)`."""
    square = ops.sum(ops.square(references), axis=1)
    products = ops.matmul(points, ops.transpose(references))
    least = ops.min(square - 2.0 * products, axis=-1, keepdims=True)
    own = ops.sum(ops.square(points), axis=-1, keepdims=True)
    return root(ops.maximum(least + own, 0.0))


def spread_out(points: np.ndarray, count: int) -> Sequence[int]:
    """Return indices of points that cover all, each the farthest from earlier ones.

    Gonzalez 1985, Theoretical Computer Science 38, 293.
    """
    distance = np.full(len(points), np.inf, "float32")
    chosen = [0]
    for _ in range(1, min(count, len(points))):
        step = np.square(points - points[chosen[-1]]).sum(1)
        distance = np.minimum(distance, step)
        chosen.append(int(distance.argmax()))
    # Too few points are repeated, since the shape of the weight is fixed.
    return np.resize(chosen, count).tolist()
