"""Constraint that keeps a kernel orthonormal, so that its transpose inverts it."""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.registration import register

STEPS = 4
"""Newton-Schulz steps; each squares the deviation, and a change of 1e-3 needs two."""


@register
class Orthonormal(keras.constraints.Constraint):
    """Moves a tall kernel to the nearest one with orthonormal columns.

    Newton-Schulz steps `K (3 - K'K) / 2` towards the polar factor, which is the nearest
    orthonormal matrix (Björck & Bowie 1971). They converge for singular values below
    1.73; an optimiser's step leaves them close to 1.
    """

    def __call__(self, kernel: Any) -> Any:
        for _ in range(STEPS):
            gram = ops.matmul(ops.transpose(kernel), kernel)
            kernel = 1.5 * kernel - 0.5 * ops.matmul(kernel, gram)
        return kernel
