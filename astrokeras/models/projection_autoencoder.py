"""The autoencoder whose decoder is undone by its encoder, to rounding."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from astrokeras.errors import InputError
from astrokeras.layers.annealed_noise import AnnealedDropout, LatentNoise
from astrokeras.layers.orthonormal import Orthonormal
from astrokeras.layers.precision import OWN_DTYPE, check_precision
from astrokeras.layers.registration import register
from astrokeras.layers.scalers import AffineScaler
from astrokeras.system import arguments


@register
class ProjectionAutoencoder(keras.Model):
    """Compresses scaled abundances to their coordinates along learned directions.

    With u the abundances of zero mean and unit spread for each species, K a kernel
    `(species, latents)` with orthonormal columns and N a dense network:

        encoder: z = K' u
        decoder: u = N(z) + K (z - K' N(z))

    The network says what the directions leave out, the tied kernel what they hold. So
    `encode(decode(z)) = z`: a state that was decoded is encoded to where it came from,
    as often as a code likes, and what the decoder misses of a state is invisible to the
    encoder. A deep encoder has neither, and compresses no better. An autoencoder of
    this kind is a learned nonlinear projection (Otto, Macchio & Rowley 2023,
    arXiv:2307.15288).

    Args:
        species: Number of species.
        widths: Widths of the hidden layers, from the species inwards: the decoder has
            them in reverse order.
        latents: Number of latents, at most the number of species.
        activation: Activation of the hidden layers.
        noise: Standard deviation of the Gaussian noise on the latents in training.
        dropout: Dropout rate after each hidden layer in training.
        seed: Seed of noise and dropout.
        precision: Of the hidden layers, `"float32"` or `"mixed_bfloat16"`; latents and
            outputs are float32.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: Scaled abundances, `(..., species)`.
        training: Whether noise and dropout are used.

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
        super().__init__(**OWN_DTYPE | kwargs)
        species = arguments.whole("species", species, low=1)
        latents = arguments.whole("latents", latents, low=1)
        if latents > species:
            msg = (
                f"`latents` must not exceed `species`. Received: latents={latents}, "
                f"species={species}"
            )
            raise InputError(msg)
        self.species = species
        self.widths = arguments.wholes("widths", widths, low=1)
        self.latents = latents
        self.activation = activation
        self.noise = noise
        self.dropout = dropout
        self.seed = seed
        self.precision = check_precision(precision)
        self.species_scaler = AffineScaler(
            species, dtype=self.variable_dtype, name="species_scaler"
        )
        self.dense = [
            keras.layers.Dense(width, activation, dtype=precision, name=f"dense_{i}")
            for i, width in enumerate(reversed(self.widths))
        ]
        self.last = keras.layers.Dense(species, dtype=precision, name="last")
        own = {"seed": seed, "dtype": self.variable_dtype}
        self.drop = AnnealedDropout(dropout, name="drop", **own)
        self.latent_noise = LatentNoise(noise, name="latent_noise", **own)

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

        With `outputs`, indices of species, only these are returned.
        """
        features = latents = ops.convert_to_tensor(latents)
        for layer in self.dense:
            features = self.drop(layer(features), training=training)
        said, along = self._say(features, outputs)
        kernel = self.kernel if outputs is None else ops.take(self.kernel, outputs, 0)
        whole = said + ops.matmul(latents - along, ops.transpose(kernel))
        return self.species_scaler(whole, reverse=True, outputs=outputs)

    def _say(self, features: Any, outputs: Any) -> tuple[Any, Any]:
        """Return what the network says, N(z), and its coordinates, K' N(z)."""
        if outputs is None:
            said = ops.cast(self.last(features), self.compute_dtype)
            return said, ops.matmul(said, self.kernel)
        # Some species alone: the coordinates come without the others.
        features = ops.cast(features, self.compute_dtype)
        weights, bias = self.last.kernel, self.last.bias
        said = ops.matmul(features, ops.take(weights, outputs, axis=1))
        along = ops.matmul(features, ops.matmul(weights, self.kernel))
        return said + ops.take(bias, outputs), along + ops.matmul(bias, self.kernel)

    def call(self, inputs: Any, training: bool = False) -> Any:
        latents = self.encode(inputs, training=training)
        latents = self.latent_noise(latents, training=training)
        return self.decode(latents, training=training)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "species": self.species,
            "widths": self.widths,
            "latents": self.latents,
            "activation": self.activation,
            "noise": self.noise,
            "dropout": self.dropout,
            "seed": self.seed,
            "precision": self.precision,
        }
