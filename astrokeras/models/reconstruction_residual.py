"""Reconstruction residual: the part of state 0 that the decoder misses."""

from dataclasses import dataclass
from typing import Any

from keras import ops


def take_states(values: Any, states: Any) -> Any:
    """Return values of some states, `(batch, K)` or `(batch, K, L)`.

    Args:
        values: `(batch, T)` or `(batch, T, L)`.
        states: Numbers of the states, `(K,)`, or of each tracer's, `(batch, K)`.
    """
    if len(states.shape) == 1:
        return ops.take(values, states, axis=1)
    if len(values.shape) == 3:
        states = states[..., None]
    return ops.take_along_axis(values, states, axis=1)


@dataclass(frozen=True)
class ReconstructionResidual:
    """The reconstruction error of state 0, which a rollout adds back to later states.

    A decoder does not return exactly the state that was encoded. The residual is added
    to later states with a weight that decays with the path of the latents. A grid code,
    which decodes and re-encodes at every step, then loses nothing at each step, and its
    error does not grow with the number of steps.

    Attributes:
        residual: Scaled state 0 minus its reconstruction, `(batch, S)`; `None` if no
            residual is added.
        weight: Weight of the residual in each state, `(batch, T)`.
    """

    residual: Any = None
    weight: Any = None

    def take(self, states: Any) -> "ReconstructionResidual":
        """Return the residual of some of the states, see `take_states`."""
        if self.residual is None:
            return self
        return ReconstructionResidual(self.residual, take_states(self.weight, states))

    def weighted(self, columns: Any = None) -> Any:
        """Return the term to add to each state, `(batch, T, S or columns)`, or 0."""
        if self.residual is None:
            return 0.0
        residual = self.residual
        if columns is not None:
            residual = ops.take(residual, columns, axis=-1)
        return residual[:, None] * self.weight[..., None]
