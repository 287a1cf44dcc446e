"""Residual cell: one time step of the chemistry in latent space."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.layers.precision import check_precision
from astrokeras.layers.registration import register
from astrokeras.system import arguments

REACH = 10.0
"""Largest equilibrium, in units of the latents' spread; keeps rollouts bounded."""
SLOPE = 4.0
"""Slope of the equilibrium with the output of the last layer."""
FIRST_RATE = -3.0
"""Logit of the initial rate, 5 % a step."""


@register
class ResidualCell(keras.layers.Layer):
    """Recurrent cell `z[t+1] = z[t] + g(d[t], z[t])` with dense hidden layers.

    `d[t]`, the drive, is the first layer's product with the features of an interval,
    which `Recurrence` computes for all intervals at once. With `relaxing`, the state
    relaxes towards an equilibrium, `g = r (e - z)`; the rate r, in (0, 1), and the
    equilibrium e are functions of `d[t]` and `z[t]`. A `tanh` bounds the equilibria,
    and with them every rollout. The last layer starts at zero: an untrained cell leaves
    the state unchanged, or relaxes it towards zero. The cell draws no random numbers,
    since JAX's scan could not carry their state.

    Args:
        latents: Size of the latent state.
        hidden: Widths of the hidden layers; the drive has the first one's width.
        activation: Activation of the hidden layers.
        precision: Precision of the dense layers, `"float32"` or `"mixed_bfloat16"`; the
            state has the dtype of the cell.
        relaxing: Whether the state relaxes towards an equilibrium.
        bounds: Lowest and highest latents of a state, `(2, latents)`, which keep long
            rollouts within the range of the decoder; `None` for no bounds.
        **kwargs: Base layer arguments.

    Call arguments:
        inputs: Drive of this step, `(batch, hidden[0])`.
        states: List with the state, `(batch, latents)`.
    """

    def __init__(
        self,
        latents: int,
        hidden: Sequence[int] = (180, 180),
        activation: str = "gelu",
        precision: str = "float32",
        relaxing: bool = False,
        bounds: ArrayLike | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.hidden = hidden = arguments.wholes("hidden", hidden, low=1, least=1)
        self.width = self.hidden[0]
        self.latents = latents = arguments.whole("latents", latents, low=1)
        self.activation = activation
        self.activate = keras.activations.get(activation)
        self.state_size = self.output_size = latents
        self.precision = policy = check_precision(precision)
        self.relaxing = relaxing
        self.bounds = None if bounds is None else np.asarray(bounds, "float32")
        # The drive includes the bias of the first layer.
        self.first = keras.layers.Dense(
            self.hidden[0], use_bias=False, dtype=policy, name="first"
        )
        self.inner = [
            keras.layers.Dense(width, activation, dtype=policy, name=f"inner_{i}")
            for i, width in enumerate(self.hidden[1:])
        ]
        self.last = keras.layers.Dense(
            latents, kernel_initializer="zeros", dtype=policy, name="last"
        )
        if relaxing:
            self.rate = keras.layers.Dense(
                latents,
                "sigmoid",
                kernel_initializer="zeros",
                bias_initializer=keras.initializers.Constant(FIRST_RATE),
                dtype=policy,
                name="rate",
            )

    def build(self, input_shape: Any) -> None:
        self.first.build((None, self.latents))
        for layer, width in zip(self.inner, self.hidden[:-1], strict=True):
            layer.build((None, width))
        self.last.build((None, self.hidden[-1]))
        if self.relaxing:
            self.rate.build((None, self.hidden[-1]))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        state = states[0]
        features = self.activate(ops.add(inputs, self.first(state)))
        for layer in self.inner:
            features = layer(features)
        change = ops.cast(self.last(features), state.dtype)
        if self.relaxing:
            rate = ops.cast(self.rate(features), state.dtype)
            equilibrium = REACH * ops.tanh(change * (SLOPE / REACH))
            change = rate * (equilibrium - state)
        state = ops.add(state, change)
        if self.bounds is not None:
            state = ops.clip(state, *self.bounds)
        return state, [state]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "latents": self.latents,
            "hidden": self.hidden,
            "activation": self.activation,
            "precision": self.precision,
            "relaxing": self.relaxing,
            "bounds": None if self.bounds is None else self.bounds.tolist(),
        }
