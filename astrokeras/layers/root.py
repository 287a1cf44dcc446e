"""The square root where what it is taken of may be zero."""

from typing import Any

from keras import ops


def root(square: Any) -> Any:
    """Return the square root, whose gradient at zero is zero and not infinite.

    So is that of a distance: where nothing moves, no direction is the one to move in.
    """
    positive = square > 0
    # Both branches are differentiated: the one that is dropped must be finite too.
    safe = ops.where(positive, square, ops.ones_like(square))
    return ops.where(positive, ops.sqrt(safe), ops.zeros_like(square))
