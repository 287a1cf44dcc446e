"""Dense autoencoder with tied weights, and the base of both autoencoders."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from astrokeras.layers.annealed_noise import AnnealedDropout, LatentNoise
from astrokeras.layers.precision import OWN_DTYPE, check_precision
from astrokeras.layers.registration import register
from astrokeras.layers.reversible_dense import ReversibleDense
from astrokeras.layers.scalers import AffineScaler
from astrokeras.system import arguments

OUTPUTS = ("linear", "sigmoid")


def _as_rows(inputs: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return inputs as a matrix of rows, and the leading axes to restore.

    Keras' batch normalisation accepts only the rank for which it was built.
    """
    return ops.reshape(inputs, (-1, inputs.shape[-1])), ops.shape(inputs)[:-1]


class BaseAutoencoder(keras.Model):
    """Common arguments, regularisation and training pass of both autoencoders.

    Subclasses define `encode` and `decode`, and call `add_regularisation` last.
    """

    def __init__(
        self,
        species: int,
        widths: Sequence[int],
        latents: int,
        activation: str,
        noise: float,
        dropout: float,
        seed: int | None,
        precision: str,
        **kwargs: Any,
    ):
        super().__init__(**OWN_DTYPE | kwargs)
        self.species = arguments.whole("species", species, low=1)
        self.widths = arguments.wholes("widths", widths, low=1)
        self.latents = arguments.whole("latents", latents, low=1)
        self.activation = activation
        self.noise = noise
        self.dropout = dropout
        self.seed = seed
        self.precision = check_precision(precision)
        self.species_scaler = AffineScaler(
            self.species, dtype=self.variable_dtype, name="species_scaler"
        )

    def add_regularisation(self) -> None:
        """Add dropout and latent noise, last in the order that checkpoints keep."""
        own = {"seed": self.seed, "dtype": self.variable_dtype}
        self.drop = AnnealedDropout(self.dropout, name="drop", **own)
        self.latent_noise = LatentNoise(self.noise, name="latent_noise", **own)

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


@register
class Autoencoder(BaseAutoencoder):
    """Compresses scaled abundances to a few latents with tied dense layers.

    The encoder has a dense layer, a batch normalisation and an activation for each of
    `widths` and, with `latent_activation`, for the latents too. The decoder has the
    transposed kernels in reverse order, with its own biases and batch normalisations.
    The architecture follows AstroChemNet, whose original form is the variant
    `reference` of the configuration. `species_scaler` scales inputs and linear outputs;
    it gives every species zero mean and unit spread after a call of
    `species_scaler.set_scales`.

    Args:
        species: Number of species.
        widths: Widths of the hidden layers, from the input inwards.
        latents: Number of latents.
        activation: Activation after each batch normalisation.
        latent_activation: Whether the latents have normalisation and activation too.
        normalise: Whether to use batch normalisation.
        output: `"linear"` or `"sigmoid"`, on the scaled abundances.
        noise: Standard deviation of the Gaussian noise on the latents in training.
        dropout: Dropout rate after each hidden layer in training.
        momentum: Momentum of the batch normalisations.
        seed: Seed of noise and dropout.
        precision: Precision of the dense layers, `"float32"` or `"mixed_bfloat16"`;
            latents and outputs are float32.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: Scaled abundances, `(..., species)`, in [0, 1].
        training: Whether noise, dropout and batch statistics are used.

    Returns scaled abundances of the same shape.
    """

    def __init__(
        self,
        species: int,
        widths: Sequence[int] = (320, 160),
        latents: int = 14,
        activation: str = "gelu",
        latent_activation: bool = True,
        normalise: bool = True,
        output: str = "sigmoid",
        noise: float = 0.0,
        dropout: float = 0.0,
        momentum: float = 0.99,
        seed: int | None = None,
        precision: str = "float32",
        **kwargs: Any,
    ):
        common = (species, widths, latents, activation, noise, dropout, seed, precision)
        super().__init__(*common, **kwargs)
        arguments.choice("output", output, *OUTPUTS)
        momentum = arguments.number("momentum", momentum, 0, 1)
        arguments.flags(latent_activation=latent_activation, normalise=normalise)
        self.latent_activation = latent_activation
        self.normalise = normalise
        self.output_activation = output
        self.momentum = momentum
        own = {"dtype": self.variable_dtype}

        def norms(name: str, count: int) -> list[keras.layers.Layer]:
            names = [f"{name}_{i}" for i in range(count)]
            if not normalise:
                return [keras.layers.Identity(name=each, **own) for each in names]
            return [
                keras.layers.BatchNormalization(
                    momentum=momentum, epsilon=1e-5, name=each, **own
                )
                for each in names
            ]

        encoded = [*self.widths, self.latents]
        self.dense = [
            ReversibleDense(width, dtype=precision, name=f"dense_{i}")
            for i, width in enumerate(encoded)
        ]
        self.encoder_norms = norms("encoder_norm", len(widths) + latent_activation)
        self.decoder_norms = norms("decoder_norm", len(widths))
        self.activate = keras.activations.get(activation)
        self.add_regularisation()

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if self.built:
            return
        sizes = [self.species, *self.widths, self.latents]
        for layer, size in zip(self.dense, sizes[:-1], strict=True):
            layer.build((None, size))
        for i, layer in enumerate(self.encoder_norms):
            layer.build((None, sizes[i + 1]))
        for i, layer in enumerate(self.decoder_norms):
            layer.build((None, sizes[-2 - i]))
        self.built: bool = True

    def encode(self, scaled: Any, training: bool = False) -> Any:
        """Return the latents `(..., latents)` of scaled abundances `(..., species)`."""
        features, leading = _as_rows(self.species_scaler(scaled))
        for i, layer in enumerate(self.dense):
            features = layer(features)
            if i < len(self.encoder_norms):
                features = self.encoder_norms[i](features, training=training)
                features = self.activate(features)
            if i < len(self.widths):
                features = self.drop(features, training=training)
        latents = ops.cast(features, self.compute_dtype)
        return ops.reshape(latents, (*leading, self.latents))

    def decode(self, latents: Any, training: bool = False, outputs: Any = None) -> Any:
        """Return scaled abundances `(..., species)` of latents `(..., latents)`.

        With `outputs`, indices of species, it computes only these.
        """
        features, leading = _as_rows(latents)
        for layer, norm in zip(self.dense[:0:-1], self.decoder_norms, strict=True):
            features = layer(features, reverse=True)
            features = self.activate(norm(features, training=training))
            features = self.drop(features, training=training)
        scaled = self.dense[0](features, reverse=True, outputs=outputs)
        scaled = ops.cast(scaled, self.compute_dtype)
        if self.output_activation == "sigmoid":
            scaled = ops.sigmoid(scaled)
        else:
            scaled = self.species_scaler(scaled, reverse=True, outputs=outputs)
        return ops.reshape(scaled, (*leading, ops.shape(scaled)[-1]))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "latent_activation": self.latent_activation,
            "normalise": self.normalise,
            "output": self.output_activation,
            "momentum": self.momentum,
        }
