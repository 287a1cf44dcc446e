"""The residual recurrent emulator: chemistry evolved in latent space."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.intervals import feature_count
from astrokeras.layers.recurrence import Recurrence
from astrokeras.layers.register import register
from astrokeras.layers.residual_cell import ResidualCell
from astrokeras.layers.scalers import AffineScaler
from astrokeras.models.autoencoder import Autoencoder

# Distance of latents, in units of their spread, below which its loss is quadratic.
WIDTH = 0.01


@register
class Emulator(keras.Model):
    """Rolls out a state's chemistry through an autoencoder's latent space.

    `z[0] = encode(x[0])`, `z[t+1] = z[t] + g(f[t], z[t])`, `x[t] = decode(z[t])`, with
    the latents brought to unit spread per dimension inside the model and `f[t]` the
    features of the interval from state t to t + 1, see `data.intervals`. It is trained
    through the rollout and through the decoder, on abundances; the autoencoder runs in
    inference mode and is frozen unless `joint`. Its output begins with state 0,
    `decode(encode(x[0]))`, so that a joint training can hold on to the reconstruction.

    Given the truth, a training with `consistency` keeps latents and abundances two ways
    to say one thing: the output goes on with the truth's reconstruction, and the loss
    has the distances of predicted latents to those of the truth and to those of their
    own abundances, which a code that mixes its cells encodes anew after every step.

    Args:
        autoencoder: The trained `Autoencoder` (or its serialised configuration).
        parameter_count: Number of physical parameters.
        hidden: Widths of the cell's hidden layers.
        activation: Activation of the cell's hidden layers.
        joint: Whether training moves the autoencoder's kernels too.
        consistency: Weight of the distances between latents.
        timed: Whether the features tell the length of an interval and what parameters
            do within it; otherwise they are the parameters alone.
        relaxing: Whether the latents relax towards an equilibrium, see `ResidualCell`.
        bounds: Lowest and highest latents of a predicted state, `(2, latents)`, in
            units of their spread; `None` for none.
        precision: Of the cell's dense layers, `"float32"` or `"mixed_bfloat16"`; the
            state and the outputs are float32. The autoencoder has its own.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: `(initial, features)`, `(initial, features, index)` or `(initial,
            features, index, truth)`: scaled abundances of state 0 `(batch, species)`,
            features of the intervals `(batch, steps, features)`, the numbers of the
            states to decode, `(batch, wanted)` integers in `[0, steps]`, and their
            true scaled abundances, `(batch, wanted, species)`.

    Returns scaled abundances, `(batch, steps + 1 or wanted, species)`; given the truth,
    `(batch, 2 wanted, species)`.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        parameter_count: int,
        hidden: Sequence[int] = (180, 180),
        activation: str = "gelu",
        joint: bool = False,
        consistency: float = 0.0,
        timed: bool = False,
        relaxing: bool = False,
        bounds: ArrayLike | None = None,
        precision: str = "float32",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if isinstance(autoencoder, dict):
            autoencoder = keras.saving.deserialize_keras_object(autoencoder)
        self.autoencoder = autoencoder
        self.autoencoder.trainable = joint
        self.parameter_count = parameter_count
        self.hidden = list(hidden)
        self.activation = activation
        self.joint = joint
        self.consistency = consistency
        self.timed = timed
        self.relaxing = relaxing
        self.precision = precision
        self.latent_scaler = AffineScaler(autoencoder.latents, name="latent_scaler")
        cell = ResidualCell(
            autoencoder.latents,
            hidden,
            activation,
            precision,
            relaxing,
            bounds,
            name="cell",
        )
        self.recurrence = Recurrence(cell, name="recurrence")

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if self.built:
            return
        self.autoencoder.build()
        self.recurrence.build((None, self.latents), (None, None, self.features))
        self.built: bool = True

    @property
    def latents(self) -> int:
        """Number of latents."""
        return self.autoencoder.latents

    @property
    def features(self) -> int:
        """Number of features of an interval."""
        return feature_count(self.parameter_count, self.timed)

    def encode(self, scaled: Any) -> Any:
        """Return unit-spread latents of scaled abundances `(..., species)`."""
        return self.latent_scaler(self.autoencoder.encode(scaled))

    def decode(self, latents: Any, outputs: Any = None) -> Any:
        """Return scaled abundances of unit-spread latents `(..., latents)`."""
        latents = self.latent_scaler(latents, reverse=True)
        return self.autoencoder.decode(latents, outputs=outputs)

    def rollout(self, latents: Any, features: Any) -> Any:
        """Return the latents of states 1 to `steps`, `(batch, steps, latents)`."""
        return self.recurrence(latents, features)

    def call(self, inputs: Any) -> Any:
        initial, features, *more = inputs
        encoded = self.encode(initial)
        rolled = self.rollout(encoded, features)
        latents = ops.concatenate([encoded[:, None], rolled], axis=1)
        if more:
            latents = ops.take_along_axis(latents, more[0][:, :, None], axis=1)
        decoded = self.decode(latents)
        return self._teach(latents, decoded, more[1]) if more[1:] else decoded

    def _teach(self, latents: Any, decoded: Any, truth: Any) -> Any:
        """Add the losses of latents; return predictions and reconstructions."""
        taught = self.encode(truth)
        # As the next step gets them: in [0, 1], the range of abundances.
        again = self.encode(ops.clip(decoded, 0.0, 1.0))
        apart = _distance(latents, taught) + _distance(latents, again)
        self.add_loss(self.consistency * apart)
        return ops.concatenate([decoded, self.decode(taught)], axis=1)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "autoencoder": keras.saving.serialize_keras_object(self.autoencoder),
            "parameter_count": self.parameter_count,
            "hidden": self.hidden,
            "activation": self.activation,
            "joint": self.joint,
            "consistency": self.consistency,
            "timed": self.timed,
            "relaxing": self.relaxing,
            "bounds": self.recurrence.cell.get_config()["bounds"],
            "precision": self.precision,
        }


def _distance(one: Any, other: Any) -> Any:
    """Return the mean distance of latents, smooth below `WIDTH`."""
    return ops.mean(ops.sqrt(ops.square(one - other) + WIDTH**2)) - WIDTH
