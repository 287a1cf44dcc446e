"""The rollout of a cell: one of the few places that know the backend."""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.register import register
from astrokeras.layers.residual_cell import ResidualCell


@register
class Recurrence(keras.layers.Layer):
    """Rolls a residual cell over a sequence of intervals.

    TensorFlow and JAX run `keras.layers.RNN`, which compiles in seconds and exports to
    ONNX; PyTorch, which runs op by op, is twice as fast in a plain loop.

    Args:
        cell: The `ResidualCell` (or its serialised configuration).
        **kwargs: Base layer arguments.

    Call arguments:
        initial: Latent state 0, `(batch, latents)`.
        features: Of the intervals, `(batch, steps, features)`; entry t drives state t
            to state t + 1.

    Returns the states 1 to `steps`, `(batch, steps, latents)`.
    """

    def __init__(self, cell: ResidualCell, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(cell, dict):
            cell = keras.saving.deserialize_keras_object(cell)
        self.drive = keras.layers.Dense(
            cell.hidden[0], dtype=cell.precision, name="drive"
        )
        # Held on every backend, so that a model file has the same paths on all three.
        self.rnn = keras.layers.RNN(
            cell, return_sequences=True, dtype=self.dtype_policy, name="rnn"
        )

    @property
    def cell(self) -> ResidualCell:
        """The cell that is rolled."""
        return self.rnn.cell

    def build(self, initial_shape: Any, features_shape: Any) -> None:
        self.drive.build(features_shape)
        self.rnn.build((*features_shape[:-1], self.cell.hidden[0]))

    def call(self, initial: Any, features: Any) -> Any:
        drive = self.drive(features)
        if keras.backend.backend() != "torch":
            return self.rnn(drive, initial_state=[initial])
        states, state = [], initial
        for step in drive.unbind(1):
            state, _ = self.cell(step, [state])
            states.append(state)
        return ops.stack(states, axis=1)

    def get_config(self) -> dict[str, Any]:
        cell = keras.saving.serialize_keras_object(self.cell)
        return super().get_config() | {"cell": cell}
