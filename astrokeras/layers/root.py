"""Square root with a finite gradient at zero."""

from typing import Any

from keras import ops


def root(square: Any) -> Any:
    """Return the square root, whose gradient at zero is zero and not infinite.

    Zero is also the gradient of a distance at zero, where no direction is preferred.
    """
    none = square <= 0
    # Both branches are differentiated, so the unused one must be finite too. What is
    # not a number stays so.
    safe = ops.where(none, ops.ones_like(square), square)
    return ops.where(none, ops.zeros_like(square), ops.sqrt(safe))
