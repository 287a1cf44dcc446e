"""Reversible dense layer: the tied pair of layers in the dense autoencoder."""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.registration import register
from astrokeras.system import arguments


@register
class ReversibleDense(keras.layers.Layer):
    """Dense layer that also runs in reverse, through its transposed kernel.

    The layer maps `(..., inputs)` to `(..., units)`, and back with `reverse=True`. Each
    direction has its own bias. The kernel exists once, so that no copy, reload or
    further training can untie the pair.

    Args:
        units: Width of the forward output.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: `(..., inputs)`, or `(..., units)` in reverse.
        reverse: Whether to run through the transposed kernel.
        outputs: Indices of the requested outputs in reverse, all by default; only
            their columns are multiplied.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = arguments.whole("units", units, low=1)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inputs = input_shape[-1]
        self.kernel = self.add_weight(
            (inputs, self.units), "glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.reverse_bias = self.add_weight((inputs,), "zeros", name="reverse_bias")

    def call(self, inputs: Any, reverse: bool = False, outputs: Any = None) -> Any:
        if not reverse:
            return ops.add(ops.matmul(inputs, self.kernel), self.bias)
        kernel, bias = self.kernel, self.reverse_bias
        if outputs is not None:
            kernel = ops.take(kernel, outputs, axis=0)
            bias = ops.take(bias, outputs, axis=0)
        return ops.add(ops.matmul(inputs, ops.transpose(kernel)), bias)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units}
