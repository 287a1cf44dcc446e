"""Recurrence: the rollout of a cell over a sequence of intervals."""

from typing import Any

import keras
from keras import ops

from astrokeras.layers.consensus_cell import ConsensusCell
from astrokeras.layers.registration import register
from astrokeras.layers.residual_cell import ResidualCell


@register
class Recurrence(keras.layers.Layer):
    """Rolls a cell over a sequence of intervals.

    TensorFlow and JAX use `keras.layers.RNN`, which compiles in seconds and exports to
    ONNX. PyTorch, which runs operation by operation, is twice as fast in a plain loop.

    Args:
        cell: The `ResidualCell` or `ConsensusCell` (or its serialised configuration).
        **kwargs: Base layer arguments.

    Call arguments:
        initial: Latent state 0, `(batch, latents)`.
        features: Features of the intervals, `(batch, steps, features)`; entry t drives
            state t to state t + 1.
        training: Whether the members of a `ConsensusCell` roll out apart.

    Returns the states 1 to `steps`, `(batch, steps, latents)`, and the spread of the
    members in each step, `(batch, steps)`, 0 for a single cell.
    """

    def __init__(self, cell: ResidualCell | ConsensusCell, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(cell, dict):
            cell = keras.saving.deserialize_keras_object(cell)
        self.drive = keras.layers.Dense(cell.width, dtype=cell.precision, name="drive")
        # Built on every backend, so that model files have the same paths on all three.
        self.rnn = keras.layers.RNN(
            cell, return_sequences=True, dtype=self.dtype_policy, name="rnn"
        )

    @property
    def cell(self) -> ResidualCell | ConsensusCell:
        """The cell."""
        return self.rnn.cell

    @property
    def members(self) -> list[ResidualCell]:
        """All residual cells: the members of a consensus, or a single cell."""
        return getattr(self.cell, "members", [self.cell])

    def build(self, initial_shape: Any, features_shape: Any) -> None:
        self.drive.build(features_shape)
        self.rnn.build((*features_shape[:-1], self.cell.width))

    def call(self, initial: Any, features: Any, training: bool = False) -> Any:
        outputs = self._roll(initial, self.drive(features), training)
        states = outputs[..., : self.cell.latents]
        if len(self.members) == 1:
            return states, ops.zeros_like(outputs[..., 0])
        return states, outputs[..., -1]

    def _roll(self, initial: Any, drive: Any, training: bool) -> Any:
        """Return the outputs of the cell in each step, `(batch, steps, outputs)`."""
        mesh = _device_mesh(initial)
        if mesh is not None:
            return self._roll_on_each_device(mesh, initial, drive, training)
        if keras.backend.backend() != "torch":
            return self.rnn(drive, initial_state=[initial], training=training)
        outputs, states = [], [initial]
        for step in drive.unbind(1):
            output, states = self.cell(step, states, training=training)
            outputs.append(output)
        return ops.stack(outputs, axis=1)

    def _roll_on_each_device(
        self, mesh: Any, initial: Any, drive: Any, training: bool
    ) -> Any:
        """Roll out each device's part of a batch separately.

        Otherwise the compiler sums the gradients over the devices in every step of the
        backward loop, and two processes were ten times slower than one. Here it sums
        them once, after the loop.
        """
        import jax

        split, copied = (jax.sharding.PartitionSpec(*axis) for axis in (["batch"], []))

        def roll(weights: Any, initial: Any, drive: Any) -> Any:
            given = {"initial_state": [initial], "training": training}
            return self.rnn.stateless_call(weights, [], drive, **given)[0]

        roll_parts = jax.shard_map(
            roll,
            mesh=mesh,
            in_specs=(copied, split, split),
            out_specs=split,
            check_vma=False,
        )
        weights = [weight.value for weight in self.rnn.trainable_variables]
        return roll_parts(weights, initial, drive)

    def get_config(self) -> dict[str, Any]:
        cell = keras.saving.serialize_keras_object(self.cell)
        return super().get_config() | {"cell": cell}


def _device_mesh(batch: Any) -> Any:
    """Return JAX's mesh of the devices that share a batch, `None` for one device."""
    distribution = keras.distribution.distribution()
    if distribution is None or batch.shape[0] is None:
        return None
    mesh = distribution.device_mesh
    return None if batch.shape[0] % mesh.devices.size else mesh.backend_mesh
