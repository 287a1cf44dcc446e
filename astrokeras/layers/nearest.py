"""Distances to the nearest of a set of points, and sets that cover others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from astrokeras.layers.root import root


def nearest(points: Any, references: Any) -> Any:
    """Return the distance to the nearest reference, `(N, D)` to `(N, 1)`."""
    references = ops.convert_to_tensor(references)
    square = ops.sum(ops.square(references), axis=1)
    products = ops.matmul(points, ops.transpose(references))
    found = ops.argmin(square - 2.0 * products, axis=-1)
    # The difference of squares and products would round a small distance away.
    apart = points - ops.take(references, found, axis=0)
    return root(ops.sum(ops.square(apart), axis=-1, keepdims=True))


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
