"""Keras metrics on scaled abundances: the mean error of each species."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from astrokeras.layers.precision import OWN_DTYPE
from astrokeras.layers.registration import register

REDUCTIONS = ("mean", "max")


class _SpeciesError(keras.metrics.Metric):
    """Averages an error over states for each species, then over the species.

    Args:
        species: Number of species.
        decades: Decades between floor and 1, the unit of the scaled abundances.
        reduction: `"mean"` over species, or `"max"` for the worst species.
        **kwargs: Base metric arguments.
    """

    def __init__(
        self,
        species: int,
        decades: float = 20.0,
        reduction: str = "mean",
        **kwargs: Any,
    ):
        super().__init__(**OWN_DTYPE | kwargs)
        if reduction not in REDUCTIONS:
            msg = f"`reduction` must be one of {REDUCTIONS}. Received: {reduction!r}"
            raise ValueError(msg)
        self.species = species
        self.decades = decades
        self.reduction = reduction
        # Keras adds the variables of several devices, so the state is a sum.
        self.total = self.add_variable((species,), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")
        self.mean = self.add_variable((species,), "zeros", name="mean")

    def error(self, truth: Any, prediction: Any) -> Any:
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth = ops.cast(y_true, self.dtype)
        prediction = ops.clip(ops.cast(y_pred, self.dtype), 0.0, 1.0)
        error = ops.reshape(self.error(truth, prediction), (-1, self.species))
        if sample_weight is None:
            count = ops.cast(ops.shape(error)[0], self.dtype)
        else:
            # Every state with a positive weight counts the same.
            weight = ops.reshape(ops.cast(sample_weight > 0, self.dtype), (-1, 1))
            error, count = error * weight, ops.sum(weight)
        # A running mean: float32 sums over 1e9 states would lose small terms.
        self.count.assign_add(count)
        share = ops.sum(error, axis=0) - count * self.mean
        self.mean.assign_add(share / ops.maximum(self.count, 1.0))
        self.total.assign(self.mean * self.count)

    def per_species(self) -> np.ndarray:
        """Return the mean error of each species, `(species,)`."""
        return ops.convert_to_numpy(self._mean())

    def result(self) -> Any:
        return (
            ops.max(self._mean()) if self.reduction == "max" else ops.mean(self._mean())
        )

    def _mean(self) -> Any:
        return self.total / ops.maximum(self.count, 1.0)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "species": self.species,
            "decades": self.decades,
            "reduction": self.reduction,
        }


@register
class Dex(_SpeciesError):
    """Mean |log10 p - log10 x| in dex, with predictions clipped to the scale."""

    def error(self, truth: Any, prediction: Any) -> Any:
        return ops.abs(prediction - truth) * self.decades


@register
class RelativeError(_SpeciesError):
    """Mean |p - x| / x, AstroChemNet's validation loss; large errors dominate it."""

    def error(self, truth: Any, prediction: Any) -> Any:
        ratio = (prediction - truth) * (self.decades * math.log(10.0))
        return ops.abs(ops.expm1(ratio))
