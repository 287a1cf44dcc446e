"""Projection autoencoder, whose encoder inverts its decoder up to rounding."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from astrokeras.errors import InputError
from astrokeras.layers.orthonormal import Orthonormal
from astrokeras.layers.registration import register
from astrokeras.models.autoencoder import BaseAutoencoder


@register
class ProjectionAutoencoder(BaseAutoencoder):
    """Compresses scaled abundances to their coordinates along learned directions.

    With u the abundances of zero mean and unit spread for each species, K a kernel
    `(species, latents)` with orthonormal columns and N a dense network:

        encoder: z = K' u
        decoder: u = N(z) + K (z - K' N(z))

    The network models the component outside the linear subspace, the tied kernel the
    one inside. Therefore `encode(decode(z)) = z`: re-encoding a decoded state recovers
    its latents, any number of times, and the encoder does not see the reconstruction
    error. A deep encoder has neither property and compresses no better. An autoencoder
    of this kind is a learned nonlinear projection (Otto, Macchio & Rowley 2023,
    arXiv:2307.15288).

    Args:
        species: Number of species.
        widths: Widths of the hidden layers, from the species inwards; the decoder uses
            them in reverse order.
        latents: Number of latents, at most the number of species.
        activation: Activation of the hidden layers.
        noise: Standard deviation of the Gaussian noise on the latents in training.
        dropout: Dropout rate after each hidden layer in training.
        seed: Seed of noise and dropout.
        precision: Precision of the dense layers, `"float32"` or `"mixed_bfloat16"`;
            latents and outputs are float32.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: Scaled abundances, `(..., species)`.
        training: Whether to use noise and dropout.

    Returns scaled abundances of the same shape.
    """

    def __init__(
        self,
        species: int,
        widths: Sequence[int] = (320, 160),
        latents: int = 48,
        activation: str = "silu",
        noise: float = 0.0,
        dropout: float = 0.0,
        seed: int | None = None,
        precision: str = "float32",
        **kwargs: Any,
    ):
        common = (species, widths, latents, activation, noise, dropout, seed, precision)
        super().__init__(*common, **kwargs)
        if latents > species:
            msg = (
                f"`latents` must not exceed `species`. Received: latents={latents}, "
                f"species={species}"
            )
            raise InputError(msg)
        self.dense = [
            keras.layers.Dense(width, activation, dtype=precision, name=f"dense_{i}")
            for i, width in enumerate(reversed(self.widths))
        ]
        self.last = keras.layers.Dense(self.species, dtype=precision, name="last")
        self.add_regularisation()

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if self.built:
            return
        self.kernel = self.add_weight(
            (self.species, self.latents),
            keras.initializers.Orthogonal(seed=self.seed),
            constraint=Orthonormal(),
            name="kernel",
        )
        size = self.latents
        for layer in (*self.dense, self.last):
            layer.build((None, size))
            size = layer.units
        self.built: bool = True

    def encode(self, scaled: Any, training: bool = False) -> Any:
        """Return the latents `(..., latents)` of scaled abundances `(..., species)`."""
        return ops.matmul(self.species_scaler(scaled), self.kernel)

    def decode(self, latents: Any, training: bool = False, outputs: Any = None) -> Any:
        """Return scaled abundances `(..., species)` of latents `(..., latents)`.

        With `outputs`, indices of species, it returns only these.
        """
        features = latents = ops.convert_to_tensor(latents)
        for layer in self.dense:
            features = self.drop(layer(features), training=training)
        network, coordinates = self._network(features, outputs)
        kernel = self.kernel if outputs is None else ops.take(self.kernel, outputs, 0)
        inside = ops.matmul(latents - coordinates, ops.transpose(kernel))
        return self.species_scaler(network + inside, reverse=True, outputs=outputs)

    def _network(self, features: Any, outputs: Any) -> tuple[Any, Any]:
        """Return the output N(z) of the network and its coordinates K' N(z)."""
        if outputs is None:
            network = ops.cast(self.last(features), self.compute_dtype)
            return network, ops.matmul(network, self.kernel)
        # The coordinates do not need the output for the other species.
        features = ops.cast(features, self.compute_dtype)
        weights, bias = self.last.kernel, self.last.bias
        network = ops.matmul(features, ops.take(weights, outputs, axis=1))
        coordinates = ops.matmul(features, ops.matmul(weights, self.kernel))
        return (
            network + ops.take(bias, outputs),
            coordinates + ops.matmul(bias, self.kernel),
        )
