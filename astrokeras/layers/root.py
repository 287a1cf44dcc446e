"""Square root with a finite gradient at zero."""

from typing import Any

from keras import ops


def root(square: Any) -> Any:
    """Return the square root, whose gradient at zero is zero and not infinite.

    Zero is also the gradient of a distance at zero, where no direction is preferred.
    """
    positive = square > 0
    # Both branches are differentiated, so the unused one must be finite too.
    safe = ops.where(positive, square, ops.ones_like(square))
    return ops.where(positive, ops.sqrt(safe), ops.zeros_like(square))
