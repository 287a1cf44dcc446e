"""Dropout and Gaussian noise whose strength can be lowered during training.

Compilation would freeze a Python float into the training step. The strength is
therefore a non-trainable weight: every backend respects an assignment, and a saved
model keeps it.
"""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.registration import register
from astrokeras.system import arguments

MOST = 0.999
"""Largest dropout rate; the inputs that remain are divided by 1 minus the rate."""


class _AnnealedLayer(keras.layers.Layer):
    """A layer with a strength, which is a weight, and its own seed generator."""

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = None if seed is None else arguments.whole("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.strength = self.add_weight(
            (), keras.initializers.Constant(rate), trainable=False, name="strength"
        )
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@register
class AnnealedDropout(_AnnealedLayer):
    """Dropout whose rate is the weight `strength`.

    Args:
        rate: Initial fraction of inputs set to zero while training, in [0, 0.999].
        seed: Seed of the layer's generator.
        **kwargs: Base layer arguments.
    """

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs: Any):
        rate = arguments.number("rate", rate, 0, MOST)
        super().__init__(rate, seed, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        keep = 1.0 - self.strength
        # 2147483520 is the largest float32 below 2^31.
        mask = _random_bits(inputs, self.seed_generator) < ops.cast(
            keep * 2147483520.0, "int32"
        )
        scale = ops.cast(1.0 / keep, inputs.dtype)
        return ops.where(mask, inputs * scale, ops.zeros_like(inputs))


def _random_bits(inputs: Any, seed: keras.random.SeedGenerator) -> Any:
    """Return a random integer in [0, 2^31) for each of `inputs`.

    One number is drawn for each row and one for each feature, and the 32-bit finaliser
    of MurmurHash3 (A. Appleby) mixes each pair. A compiled step fuses this with the use
    of the mask; drawing all numbers took a fifth of a training step.
    """
    shape = ops.shape(inputs)
    rows = keras.random.randint((*shape[:-1], 1), 0, 2**31 - 1, "int32", seed=seed)
    features = keras.random.randint((shape[-1],), 0, 2**31 - 1, "int32", seed=seed)
    bits = ops.bitwise_xor(rows, features)
    for shift, factor in ((16, -2048144789), (13, -1028477387)):
        # The mask makes the shift logical; products wrap around.
        high = ops.bitwise_and(ops.right_shift(bits, shift), 2 ** (32 - shift) - 1)
        bits = ops.bitwise_xor(bits, high) * factor
    high = ops.bitwise_and(ops.right_shift(bits, 16), 2**16 - 1)
    return ops.bitwise_and(ops.bitwise_xor(bits, high), 2**31 - 1)


@register
class LatentNoise(_AnnealedLayer):
    """Additive Gaussian noise whose standard deviation is the weight `strength`.

    Args:
        rate: Initial standard deviation, in units of the inputs, not negative.
        seed: Seed of the layer's generator.
        **kwargs: Base layer arguments.
    """

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs: Any):
        rate = arguments.number("rate", rate, low=0)
        super().__init__(rate, seed, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        draw = keras.random.normal(
            ops.shape(inputs), dtype=inputs.dtype, seed=self.seed_generator
        )
        return inputs + ops.cast(self.strength, inputs.dtype) * draw
