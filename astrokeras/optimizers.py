"""The optimiser Muon, made robust against batches whose gradient overflows."""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.registration import register


@register
class SteadyMuon(keras.optimizers.Muon):
    """Muon that replaces a gradient that is not finite by zero.

    The gradient of a rollout of 297 steps is a product of 297 Jacobians. At the high
    learning rates that work well here, one window in some thousands overflows float32,
    and such a batch would end a training of an hour. With a gradient of zero, the
    weights follow their momentum. If all gradients overflow, the training still ends:
    `StopOnNonFinite` stops it, or it finds no new best.

    Muon (Jordan 2024; Liu et al. 2025, arXiv:2502.16982) moves a kernel by the nearest
    orthogonal matrix to its momentum, scaled so that learning rates are Adam's; Adam
    moves all other variables. The arguments are those of `keras.optimizers.Muon`.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        largest = [ops.max(ops.abs(g)) for g in grads if g is not None]
        # The squares must not overflow either, because the clipping sums them.
        finite = ops.isfinite(ops.sum(ops.square(ops.stack(largest))))
        safe = [
            g if g is None else ops.where(finite, g, ops.zeros_like(g)) for g in grads
        ]
        super().apply(safe, trainable_variables)
