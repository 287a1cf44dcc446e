"""Losses on scaled abundances: one in dex with bounded gradients, and AstroChemNet's.

Both return a value per state, which Keras weights and averages, and both compute in
float32 whatever the dtype policy of the model.
"""

import math
import operator
from functools import reduce
from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.layers.precision import OWN_DTYPE
from astrokeras.layers.registration import register
from astrokeras.system import arguments


def _element_dex(y_true: Any, y_pred: Any, matrix: Any, decades: float) -> Any:
    """Return |log10 n_e(p) - log10 n_e(x)| of each element, `(..., elements)`.

    The element totals of scaled abundances s are n = `10^(decades (s - 1)) @ matrix`.
    """

    def totals(scaled: Any) -> Any:
        abundances = ops.exp((scaled - 1.0) * (decades * math.log(10.0)))
        # The total of an element may be zero, and log10(0) must not occur.
        return ops.log10(ops.maximum(ops.matmul(abundances, matrix), 1e-30))

    return ops.abs(totals(y_pred) - totals(y_true))


class _AbundanceLoss(keras.losses.Loss):
    """Base of losses that are a sum of named terms.

    `terms(y_true, y_pred)` returns, for each state, the weighted terms whose weight is
    not zero.
    """

    def __init__(
        self,
        stoichiometry: ArrayLike,
        decades: float = 20.0,
        conservation: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**OWN_DTYPE | kwargs)
        self.stoichiometry = as_numbers("stoichiometry", stoichiometry)
        if self.stoichiometry.ndim != 2:
            msg = (
                "`stoichiometry` must have shape (species, elements). "
                f"Received: shape={self.stoichiometry.shape}"
            )
            raise InputError(msg)
        self.decades = arguments.number("decades", decades, low=1e-3)
        self.conservation = arguments.number("conservation", conservation, low=0)

    def terms(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return reduce(operator.add, self.terms(y_true, y_pred).values())

    def _element_term(self, y_true: Any, y_pred: Any) -> Any:
        return _element_dex(y_true, y_pred, self.stoichiometry, self.decades)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "stoichiometry": self.stoichiometry.tolist(),
            "decades": self.decades,
            "conservation": self.conservation,
        }


@register
class DexLoss(_AbundanceLoss):
    """Pseudo-Huber loss of the error in dex, with a tail term for the worst species.

    With e_s the error of species s in dex, per state:

        mean_s (sqrt(e_s^2 + width^2) - width) + tail * sqrt(mean_s e_s^2)
        + conservation * mean_e |log10 n_e(p) - log10 n_e(x)|

    It is linear in large errors and quadratic below `width`. A true abundance at the
    floor is only known to be at most the floor: with `censored`, a prediction below the
    floor then costs nothing, as in a Tobit model (Tobin 1958, Econometrica 26, 24), as
    long as it lies within half a decade of the floor, as the output of surrogates does.

    Args:
        stoichiometry: Atom counts, `(species, elements)`.
        decades: Decades between floor and 1, the unit of the scaled abundances.
        width: Error in dex below which the loss is quadratic.
        tail: Weight of the root mean square over species.
        conservation: Weight of the element totals.
        censored: Whether predictions within half a decade below the floor cost nothing
            where the true abundance is at the floor.
        **kwargs: Base loss arguments.
    """

    def __init__(
        self,
        stoichiometry: ArrayLike,
        decades: float = 20.0,
        width: float = 0.1,
        tail: float = 0.0,
        conservation: float = 0.0,
        censored: bool = True,
        name: str = "dex_loss",
        **kwargs: Any,
    ):
        super().__init__(stoichiometry, decades, conservation, name=name, **kwargs)
        self.width = arguments.number("width", width, low=1e-6)
        self.tail = arguments.number("tail", tail, low=0)
        self.censored = arguments.flag("censored", censored)

    def terms(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        error = (y_pred - y_true) * self.decades
        if self.censored:
            below = ops.minimum(error + MARGIN_DEX, 0.0)
            free = ops.maximum(error, 0.0) + below
            error = ops.where(y_true > 1e-6, error, free)
        square = ops.square(error)
        huber = ops.mean(ops.sqrt(square + self.width**2), axis=-1) - self.width
        terms = {"huber": huber}
        if self.tail:
            terms["tail"] = self.tail * ops.sqrt(ops.mean(square, axis=-1) + 1e-8)
        if self.conservation:
            elements = self._element_term(y_true, ops.clip(y_pred, 0.0, 1.0))
            terms["conservation"] = self.conservation * ops.mean(elements, axis=-1)
        return terms

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "width": self.width,
            "tail": self.tail,
            "censored": self.censored,
        }


@register
class ReferenceLoss(_AbundanceLoss):
    """AstroChemNet's loss, unbounded in the error.

    With d_s = |scaled p_s - scaled x_s| and w = `weight`, per state:

        1e-3 * (sum_s (10^(w d_s) - 1) + 2 max_s (10^(w d_s) - 1))
        + conservation * sum_e |log10 n_e(p) - log10 n_e(x)|

    Args:
        stoichiometry: Atom counts, `(species, elements)`.
        decades: Decades between floor and 1, the unit of the scaled abundances.
        weight: w; with w = `decades` the terms are ratios of abundances minus 1.
        conservation: Weight of the element totals; AstroChemNet uses 1e2 for the
            autoencoder and 5e2 for the emulator.
        **kwargs: Base loss arguments.
    """

    def __init__(
        self,
        stoichiometry: ArrayLike,
        decades: float = 20.0,
        weight: float = 20.0,
        conservation: float = 100.0,
        name: str = "reference_loss",
        **kwargs: Any,
    ):
        super().__init__(stoichiometry, decades, conservation, name=name, **kwargs)
        self.weight = arguments.number("weight", weight, low=1e-3)

    def terms(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        distance = ops.abs(y_pred - y_true)
        excess = ops.expm1(distance * (self.weight * math.log(10.0)))
        worst = ops.max(excess, axis=-1)
        elements = ops.sum(self._element_term(y_true, y_pred), axis=-1)
        return {
            "excess": 1e-3 * (ops.sum(excess, axis=-1) + 2.0 * worst),
            "conservation": self.conservation * elements,
        }

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"weight": self.weight}
