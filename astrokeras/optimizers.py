"""Muon that survives a batch whose gradient overflows."""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.registration import register


@register
class SteadyMuon(keras.optimizers.Muon):
    """Muon that leaves the weights to their momentum where a gradient is not finite.

    Through a rollout of 297 steps a gradient is a product of 297 Jacobians. At the high
    learning rates that pay here, a window in some thousands overflows float32, and one
    such batch would end a training of an hour. Its gradient is taken for zero; a
    training in which all of them overflow still ends, by `StopOnNonFinite` or without a
    new best.

    Muon (Jordan 2024; Liu et al. 2025, arXiv:2502.16982) moves a kernel by the nearest
    orthogonal matrix to its momentum, scaled so that learning rates are Adam's; what
    is no kernel is moved by Adam. Its arguments are those of `keras.optimizers.Muon`.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        largest = [ops.max(ops.abs(g)) for g in grads if g is not None]
        # Its square must not overflow either: the clipping sums squares.
        finite = ops.isfinite(ops.sum(ops.square(ops.stack(largest))))
        safe = [
            g if g is None else ops.where(finite, g, ops.zeros_like(g)) for g in grads
        ]
        super().apply(safe, trainable_variables)
