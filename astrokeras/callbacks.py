"""Keras callbacks: annealing of noise and dropout, and the end of divergence.

Variables are read and assigned at the ends of epochs only: during an epoch JAX holds
them elsewhere.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from astrokeras.errors import WorkError


class AnnealOnPlateau(keras.callbacks.Callback):
    """Lowers the strength of dropout and noise layers when validation stagnates.

    Args:
        layers: Layers with a weight `strength`.
        monitor: Name of the monitored metric; smaller is better.
        factor: Factor by which the strengths are multiplied.
        patience: Epochs without improvement after which they are.
    """

    def __init__(
        self, layers: Sequence[Any], monitor: str, factor: float, patience: int
    ):
        super().__init__()
        self.layers = [layer for layer in layers if _strength(layer) > 0]
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.best, self.wait = math.inf, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        value = (logs or {}).get(self.monitor, math.inf)
        self.wait = 0 if value < self.best else self.wait + 1
        self.best = min(self.best, value)
        if self.wait >= self.patience:
            self.wait = 0
            for layer in self.layers:
                layer.strength.assign(layer.strength * self.factor)


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends a training with an error when its loss is no longer finite.

    Raises:
        WorkError: With the epoch and the usual remedies.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        bad = [key for key, value in (logs or {}).items() if not math.isfinite(value)]
        if bad:
            raise WorkError(
                f"training diverged in epoch {epoch + 1}: {bad[0]} is not finite; "
                "lower fit.learning_rate or fit.clip_norm."
            )


def _strength(layer: Any) -> float:
    """Return the strength of a layer, which may live on several devices."""
    return float(ops.convert_to_numpy(layer.strength))
