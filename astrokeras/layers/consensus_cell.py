"""Consensus cell: residual cells that share one latent state."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from astrokeras.layers.registration import register
from astrokeras.layers.residual_cell import ResidualCell
from astrokeras.layers.root import root


@register
class ConsensusCell(keras.layers.Layer):
    """Recurrent cell whose next state is the mean of its members' next states.

    All members start each step from the same state. Their spread estimates the part of
    the error that more data would reduce, as in an ensemble (Lakshminarayanan et al.
    2017, *Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles*),
    but a grid code carries one state, and only one state is decoded.

    In training the members roll out apart from one another, each a part of the batch,
    so that they see different windows and remain independent estimates.

    Args:
        members: The cells, with the same sizes (or their serialised configurations).
        **kwargs: Base layer arguments.

    Call arguments:
        inputs: Drives of the members, one after the other, `(batch, members * width)`.
        states: List with the state, `(batch, latents)`. In training, the batch has as
            many rows for each member.

    Returns the state followed by the spread, the root mean square deviation of the
    members from it, `(batch, latents + 1)` (0 in training), and the list of states.
    """

    def __init__(self, members: Sequence[ResidualCell], **kwargs: Any):
        super().__init__(**kwargs)
        self.members = [
            keras.saving.deserialize_keras_object(member)
            if isinstance(member, dict)
            else member
            for member in members
        ]
        first = self.members[0]
        self.latents = self.state_size = first.latents
        self.output_size = first.latents + 1
        self.width = len(self.members) * first.width
        self.precision = first.precision
        self.bounds = first.bounds

    def build(self, input_shape: Any) -> None:
        for member in self.members:
            member.build((None, member.width))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        count, state = len(self.members), states[0]
        drives = ops.split(inputs, count, axis=-1)
        if training:
            rows = ops.split(state, count, axis=0)
            own = [ops.split(drive, count, axis=0)[k] for k, drive in enumerate(drives)]
            state = ops.concatenate(self._next(own, rows), axis=0)
            spread = ops.zeros_like(state[:, :1])
        else:
            nexts = ops.stack(self._next(drives, [state] * count))
            state = ops.mean(nexts, axis=0)
            deviation = ops.mean(ops.square(nexts - state), axis=(0, 2))
            spread = root(deviation)[:, None]
        return ops.concatenate([state, spread], axis=-1), [state]

    def _next(self, drives: Sequence[Any], states: Sequence[Any]) -> list[Any]:
        """Return the next state of each member."""
        return [
            member(drive, [state])[0]
            for member, drive, state in zip(self.members, drives, states, strict=True)
        ]

    def get_config(self) -> dict[str, Any]:
        members = [keras.saving.serialize_keras_object(each) for each in self.members]
        return super().get_config() | {"members": members}
