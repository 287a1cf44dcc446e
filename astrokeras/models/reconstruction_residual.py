"""Reconstruction residual: the part of state 0 that the decoder misses."""

from dataclasses import dataclass
from typing import Any

from keras import ops

from astrokeras.layers.root import root


def latent_path(start: Any, latents: Any) -> Any:
    """Return the lengths of the path from a state to later ones, `(batch, T)`.

    Args:
        start: Latents of the state, `(batch, L)`.
        latents: Those of the later states, `(batch, T, L)`.
    """
    moves = ops.diff(ops.concatenate([start[:, None], latents], axis=1), axis=1)
    return ops.cumsum(root(ops.mean(ops.square(moves), axis=-1)), axis=1)


def residual_weight(path: Any, decay_length: float) -> Any:
    """Return the weight of the residual after a path from state 0, `(...)`.

    Args:
        path: Length of the path, `(...)`.
        decay_length: e-folding length; 0 for no residual.
    """
    return ops.exp(-path / decay_length) if decay_length else ops.zeros_like(path)


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
        """Return the residual of some of the states, whose numbers are `(K,)`."""
        if self.residual is None:
            return self
        weight = ops.take(self.weight, states, axis=1)
        return ReconstructionResidual(self.residual, weight)

    def weighted(self, columns: Any = None) -> Any:
        """Return the term to add to each state, `(batch, T, S or columns)`, or 0."""
        if self.residual is None:
            return 0.0
        residual = self.residual
        if columns is not None:
            residual = ops.take(residual, columns, axis=-1)
        return residual[:, None] * self.weight[..., None]
