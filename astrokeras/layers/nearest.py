"""Distances to the nearest of a set of points, and sets that cover others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from astrokeras.layers.root import root


def nearest(points: Any, references: Any) -> Any:
    """Return the distance to the nearest reference, `(N, T, D)` to `(N, T)`."""
    square = ops.sum(ops.square(references), axis=1)
    turned = ops.transpose(references)

    def of_states(states: Any) -> Any:
        least = ops.min(square - 2.0 * ops.matmul(states, turned), axis=-1)
        return least + ops.sum(ops.square(states), axis=-1)

    # One time after the other: distances to all references at once take much memory.
    found = ops.map(of_states, ops.swapaxes(points, 0, 1))
    return root(ops.maximum(ops.swapaxes(found, 0, 1), 0.0))


def running_largest(values: Any) -> Any:
    """Return the largest value so far along axis 1, `(N, T)`."""
    return ops.associative_scan(ops.maximum, values, axis=1)


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
