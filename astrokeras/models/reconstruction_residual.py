"""Reconstruction residual: the part of state 0 that the decoder misses."""

from dataclasses import dataclass
from typing import Any

from keras import ops


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
        """Return the residual of some of the states."""
        if self.residual is None:
            return self
        return ReconstructionResidual(
            self.residual, ops.take(self.weight, states, axis=1)
        )

    def weighted(self, columns: Any = None) -> Any:
        """Return the term to add to each state, `(batch, T, S or columns)`, or 0."""
        if self.residual is None:
            return 0.0
        residual = self.residual
        if columns is not None:
            residual = ops.take(residual, columns, axis=-1)
        return residual[:, None] * self.weight[..., None]
