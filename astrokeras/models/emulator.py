"""Residual recurrent emulator, which evolves the chemistry in latent space."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.tracers.timestep_features import feature_count
from astrokeras.errors import InputError
from astrokeras.layers.consensus_cell import ConsensusCell
from astrokeras.layers.exposure_features import ExposureFeatures
from astrokeras.layers.precision import OWN_DTYPE
from astrokeras.layers.rate_features import RateFeatures
from astrokeras.layers.recurrence import Recurrence
from astrokeras.layers.registration import register
from astrokeras.layers.residual_cell import ResidualCell
from astrokeras.layers.scalers import AffineScaler
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.system import arguments
from astrokeras.system.old_names import EMULATOR, rename_keys

AnyAutoencoder = Autoencoder | ProjectionAutoencoder


@register
class Emulator(keras.Model):
    """Rolls out a state's chemistry in an autoencoder's latent space.

    `z[0] = encode(x[0])`, `z[t+1] = z[t] + g(f[t], z[t])`, `x[t] = decode(z[t])`, with
    latents scaled to unit spread in each dimension and `f[t]` the features of the
    interval from state t to t + 1, see `data.tracers.timestep_features`. Training goes
    through the rollout and the decoder, on abundances. The autoencoder runs in
    inference mode and is frozen unless `finetune_autoencoder`. The output begins with
    the reconstruction `decode(encode(x[0]))`, so that fine-tuning can preserve it.

    Args:
        autoencoder: The trained autoencoder of either kind (or its serialised
            configuration).
        parameter_count: Number of physical parameters.
        hidden: Widths of the cell's hidden layers.
        activation: Activation of the cell's hidden layers.
        finetune_autoencoder: Whether training changes the autoencoder's kernels too.
        use_timestep: Whether the features include the length of an interval and the
            change of the parameters within it; otherwise they are the mean parameters.
        relaxing: Whether the latents relax towards an equilibrium, see `ResidualCell`.
        rates: Arguments of `RateFeatures`, which adds features; `None` for none.
        exposures: Arguments of `ExposureFeatures`, which needs `use_timestep` and adds
            features; `None` for none.
        bounds: Lowest and highest latents of a predicted state, `(2, latents)`, in
            units of their spread; `None` for no bounds.
        members: Number of cells. Several share one latent state, see `ConsensusCell`;
            in training a batch must have as many windows for each of them.
        precision: Precision of the cells' dense layers, `"float32"` or
            `"mixed_bfloat16"`; the state and the outputs are float32. The autoencoder
            has its own precision.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: `(initial, features)` or `(initial, features, index)`: scaled abundances
            of state 0 `(batch, species)`, features of the intervals `(batch, steps,
            features)` and the numbers of the states to decode, `(batch, states)`
            integers in `[0, steps]`.
        training: Whether several cells roll out apart from one another.

    Returns scaled abundances, `(batch, steps + 1 or states, species)`.
    """

    def __init__(
        self,
        autoencoder: AnyAutoencoder,
        parameter_count: int,
        hidden: Sequence[int] = (180, 180),
        activation: str = "gelu",
        finetune_autoencoder: bool = False,
        use_timestep: bool = False,
        relaxing: bool = False,
        rates: Mapping[str, Any] | None = None,
        exposures: Mapping[str, Any] | None = None,
        bounds: ArrayLike | None = None,
        members: int = 1,
        precision: str = "float32",
        **kwargs: Any,
    ):
        super().__init__(**OWN_DTYPE | kwargs)
        if isinstance(autoencoder, dict):
            autoencoder = keras.saving.deserialize_keras_object(autoencoder)
        arguments.flags(
            finetune_autoencoder=finetune_autoencoder,
            use_timestep=use_timestep,
            relaxing=relaxing,
        )
        self.autoencoder = autoencoder
        self.autoencoder.trainable = finetune_autoencoder
        self.parameter_count = arguments.whole("parameter_count", parameter_count, 1)
        self.hidden = arguments.wholes("hidden", hidden, low=1, least=1)
        self.activation = activation
        self.finetune_autoencoder = finetune_autoencoder
        self.use_timestep = use_timestep
        self.relaxing = relaxing
        self.members = arguments.whole("members", members, low=1)
        own = {"dtype": self.variable_dtype}
        self.rates = None if rates is None else RateFeatures(**rates, **own)
        self.exposures = None
        if exposures is not None:
            if not use_timestep:
                msg = "exposures need the length of a time step; set use_timestep=True."
                raise InputError(msg)
            self.exposures = ExposureFeatures(**exposures, **own)
        self.precision = precision
        self.latent_scaler = AffineScaler(
            autoencoder.latents, **own, name="latent_scaler"
        )
        sizes = (autoencoder.latents, hidden, activation, precision, relaxing, bounds)
        if members == 1:
            cell: Any = ResidualCell(*sizes, **own, name="cell")
        else:
            names = [f"member_{k}" for k in range(members)]
            cells = [ResidualCell(*sizes, **own, name=name) for name in names]
            cell = ConsensusCell(cells, **own, name="cell")
        self.recurrence = Recurrence(cell, **own, name="recurrence")

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
        """Number of features of an interval, the input of the cell."""
        own = feature_count(self.parameter_count, self.use_timestep)
        added = [layer.count for layer in (self.rates, self.exposures) if layer]
        return own + sum(added)

    def encode(self, scaled: Any) -> Any:
        """Return unit-spread latents of scaled abundances `(..., species)`."""
        return self.latent_scaler(self.autoencoder.encode(scaled))

    def decode(self, latents: Any, outputs: Any = None) -> Any:
        """Return scaled abundances of unit-spread latents `(..., latents)`."""
        latents = self.latent_scaler(latents, reverse=True)
        return self.autoencoder.decode(latents, outputs=outputs)

    def rollout(self, latents: Any, features: Any, training: bool = False) -> Any:
        """Return the latents of states 1 to `steps`, and the spread of the cells.

        Their shapes are `(batch, steps, latents)` and `(batch, steps)`.
        """
        # The exposures come first, since they read the length of the interval.
        if self.exposures:
            features = self.exposures(features)
        if self.rates:
            features = self.rates(features)
        return self.recurrence(latents, features, training=training)

    def call(self, inputs: Any, training: bool = False) -> Any:
        initial, features, *index = inputs
        encoded = self.encode(initial)
        rolled, _ = self.rollout(encoded, features, training)
        latents = ops.concatenate([encoded[:, None], rolled], axis=1)
        if index:
            latents = ops.take_along_axis(latents, index[0][:, :, None], axis=1)
        return self.decode(latents)

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> Any:
        return super().from_config(rename_keys(config, EMULATOR), **kwargs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "autoencoder": keras.saving.serialize_keras_object(self.autoencoder),
            "parameter_count": self.parameter_count,
            "hidden": self.hidden,
            "activation": self.activation,
            "finetune_autoencoder": self.finetune_autoencoder,
            "use_timestep": self.use_timestep,
            "relaxing": self.relaxing,
            "rates": self.rates and self.rates.arguments,
            "exposures": self.exposures and self.exposures.arguments,
            "bounds": self.recurrence.members[0].get_config()["bounds"],
            "members": self.members,
            "precision": self.precision,
        }


def copy_model(
    model: AnyAutoencoder | Emulator,
    precision: str = "float32",
    **settings: Any,
) -> Any:
    """Return a copy without optimizer and loss, which a model file does not need.

    Args:
        model: The model.
        precision: Precision of the copy; files use float32, whatever trained the model.
        **settings: Other arguments of the copy.
    """
    config = model.get_config() | {"precision": precision} | settings
    if isinstance(model, Emulator):
        config["autoencoder"] = copy_model(model.autoencoder, precision)
    copy = type(model).from_config(config)
    copy.build()
    copy.set_weights(model.get_weights())
    return copy
