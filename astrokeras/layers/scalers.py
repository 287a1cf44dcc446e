"""Scaling layers, whose offsets and scales are saved with a surrogate's weights."""

from typing import Any

import keras
import numpy as np
from keras import ops

from astrokeras.data.tracers.abundance_scaling import (
    MARGIN_DEX,
    scale_abundances,
    unscale_abundances,
)
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.layers.registration import register
from astrokeras.system import arguments


@register
class AbundanceScaler(keras.layers.Layer):
    """Maps abundances to the fraction of the decades above the floor, and back.

    An abundance of 1 maps to 1, and the floor to 0. For species at the floor, decoded
    values may lie up to half a decade below it; they are kept, so that re-encoding a
    decoded state recovers its latents.

    Args:
        floor: Smallest abundance that differs from zero, relative to H nuclei.
        **kwargs: Base layer arguments.
    """

    def __init__(self, floor: float = 1e-20, **kwargs: Any):
        super().__init__(**kwargs)
        # The scaling divides by its logarithm, so the floor must not be 1.
        self.floor = arguments.number("floor", floor, 1e-40, 0.1)

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        scale = unscale_abundances if reverse else scale_abundances
        return scale(inputs, self.floor, xp=ops, margin=MARGIN_DEX)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"floor": self.floor}


@register
class AffineScaler(keras.layers.Layer):
    """Subtracts an offset and divides by a scale per feature; `reverse` undoes it.

    Args:
        features: Size of the last axis.
        log: Whether to take log10 of the inputs first (and 10^x last, in reverse).
        **kwargs: Base layer arguments.

    Call arguments:
        inputs: `(..., features)`.
        reverse: Whether to undo the scaling.
        outputs: Indices of the features in the inputs, all by default.
    """

    def __init__(self, features: int, log: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.features = features = arguments.whole("features", features, low=1)
        self.log = arguments.flag("log", log)
        self.offset = self.add_weight(
            (features,), "zeros", trainable=False, name="offset"
        )
        self.scale = self.add_weight((features,), "ones", trainable=False, name="scale")
        self.built = True

    def set_scales(self, offset: np.ndarray, scale: np.ndarray) -> None:
        """Set both vectors, each of shape `(features,)`; no scale may be zero."""
        offset = as_numbers("offset", offset)
        scale = as_numbers("scale", scale)
        if offset.shape != scale.shape or scale.shape != (self.features,):
            raise InputError(
                f"offset and scale have shapes {offset.shape} and {scale.shape}; give "
                f"{(self.features,)} for both."
            )
        if not np.isfinite(offset).all():
            raise InputError(f"offset is {arguments.shown(offset)}; it must be finite.")
        if not (np.isfinite(scale).all() and (scale != 0).all()):
            msg = f"`scale` must be finite and not zero. Received: scale={scale}"
            raise InputError(msg)
        self.offset.assign(offset)
        self.scale.assign(scale)

    def call(self, inputs: Any, reverse: bool = False, outputs: Any = None) -> Any:
        offset, scale = self.offset, self.scale
        if outputs is not None:
            offset = ops.take(offset, outputs, axis=0)
            scale = ops.take(scale, outputs, axis=0)
        if reverse:
            restored = inputs * scale + offset
            return ops.power(10.0, restored) if self.log else restored
        values = ops.log10(inputs) if self.log else inputs
        return (values - offset) / scale

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"features": self.features, "log": self.log}
