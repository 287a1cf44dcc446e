"""Ensemble of emulators, whose spread is a measure of their error."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from astrokeras.layers.precision import OWN_DTYPE
from astrokeras.layers.registration import register
from astrokeras.models.emulator import Emulator


@register
class Ensemble(keras.Model):
    """Emulators of the same data, trained with different random numbers.

    An ensemble has the methods of an `Emulator`. Its latents are the concatenated
    latents of its members, and its abundances are the geometric mean of theirs. The
    standard deviation estimates the part of the error that more data would reduce
    (Lakshminarayanan et al. 2017, *Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles*).

    Args:
        members: The trained emulators (or their serialised configurations).
        **kwargs: Base model arguments.
    """

    def __init__(self, members: Sequence[Emulator], **kwargs: Any):
        super().__init__(**OWN_DTYPE | kwargs)
        self.members = [
            keras.saving.deserialize_keras_object(member)
            if isinstance(member, dict)
            else member
            for member in members
        ]
        if len({member.use_timestep for member in self.members}) != 1:
            msg = (
                "`members` must be one or more with the same `use_timestep`. Received: "
                f"use_timestep={[member.use_timestep for member in self.members]}"
            )
            raise ValueError(msg)
        self.use_timestep = self.members[0].use_timestep

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if not self.built:
            for member in self.members:
                member.build()
            self.built: bool = True

    @property
    def latents(self) -> int:
        """Number of latents of all members together."""
        return sum(member.latents for member in self.members)

    def encode(self, scaled: Any) -> Any:
        """Return latents `(..., latents)` of scaled abundances `(..., species)`."""
        return ops.concatenate(
            [member.encode(scaled) for member in self.members], axis=-1
        )

    def rollout(self, latents: Any, features: Any) -> Any:
        """Return the latents of states 1 to `steps`, and the mean spread of cells.

        Their shapes are `(batch, steps, latents)` and `(batch, steps)`.
        """
        rolled = self._each(lambda member, own: member.rollout(own, features), latents)
        states, spreads = zip(*rolled, strict=True)
        return ops.concatenate(states, axis=-1), ops.mean(ops.stack(spreads), axis=0)

    def decode(self, latents: Any, outputs: Any = None) -> Any:
        """Return the members' mean scaled abundances of latents `(..., latents)`."""
        return ops.mean(self.decode_members(latents, outputs), axis=0)

    def decode_members(self, latents: Any, outputs: Any = None) -> Any:
        """Return each member's scaled abundances, `(members, ..., species)`."""
        return ops.stack(
            self._each(lambda member, own: member.decode(own, outputs), latents)
        )

    def call(self, inputs: Any) -> Any:
        return ops.mean(ops.stack([member(inputs) for member in self.members]), axis=0)

    def get_config(self) -> dict[str, Any]:
        members = [keras.saving.serialize_keras_object(each) for each in self.members]
        return super().get_config() | {"members": members}

    def _each(self, function: Callable[[Emulator, Any], Any], latents: Any) -> list:
        """Apply a function to each member and its part of the latents."""
        results, start = [], 0
        for member in self.members:
            stop = start + member.latents
            results.append(function(member, latents[..., start:stop]))
            start = stop
        return results
