"""What rates of reactions depend on, beside the logarithms of parameters."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

SWITCHES = (17.0, 22.0, 30.0, 50.0, 100.0)
"""K, about where ices of N2 and CO, CH4, H2S, CO2 and H2O leave the grains (Collings
et al. 2004, MNRAS 354, 1133)."""
WIDTH = 0.06
"""Over which they do, dex."""
COOL = 15.0
"""K, the unit of inverse temperatures."""
LARGEST = 10.0
"""Of an inverse temperature, in that unit."""
COLDEST = math.log10(LARGEST / COOL)
"""Its logarithm, of 1 / K."""
SHIELDS = (0.7, 1.8, 3.0)
"""How extinction dims photons, exp(-0.7 Av) to exp(-3 Av): the range of photoreactions
in UMIST (McElroy et al. 2013, A&A 550, A36)."""
DARK = 1e-4
"""Habing, a field below which cosmic rays make more photons than come from outside."""
OPAQUE = 8.0
"""Mag, from where on extinction as such matters no more."""
BLACK = 100.0
"""Mag, from where on no light is left."""


class RateFeatures(keras.layers.Layer):
    """Adds to the features of intervals what rates are functions of.

    Networks extrapolate poorly in steep functions of what they are given. So of each
    temperature there is its inverse, as in exp(-E / T), and where it lies about those
    at which ices desorb; of an extinction its amount and the logarithm of the radiation
    field (1 Habing where none is a parameter) that it lets through. Parameters are
    known by their units, K, mag and Habing; others have no such features.

    Args:
        units: Of the parameters, `(P,)`.
        offset: Of their scaled logarithms `(log10 p - offset) / scale`, `(P,)`.
        scale: The same.
        **kwargs: Base layer arguments.

    Call arguments:
        inputs: Features of which the first P are scaled parameters, `(..., F)`.

    Returns the features with those of the rates behind, `(..., F + count)`.
    """

    def __init__(
        self, units: Sequence[str], offset: ArrayLike, scale: ArrayLike, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units = list(units)
        self.offset = np.asarray(offset, "float32")
        self.scale = np.asarray(scale, "float32")
        self.built = True

    @property
    def count(self) -> int:
        """How many features it adds."""
        counts = {"K": 1 + len(SWITCHES), "mag": 1 + len(SHIELDS)}
        return sum(counts.get(unit, 0) for unit in self.units)

    def call(self, inputs: Any) -> Any:
        scale, offset = map(ops.convert_to_tensor, (self.scale, self.offset))
        logs = inputs[..., : len(self.units)] * scale + offset
        return ops.concatenate([inputs, *self.added(logs)], axis=-1)

    def added(self, logs: Any) -> list[Any]:
        """Return the features of `log10 p`, `(..., P)`; each `(..., 1)`."""
        found = []
        for log in self._having("K", logs):
            # Bounded before the power: a gradient through infinity is none.
            inverse = COOL * ops.power(10.0, ops.minimum(-log, COLDEST))
            found.append(inverse - 1.0)
            found += [ops.tanh((log - math.log10(one)) / WIDTH) for one in SWITCHES]
        fields = self._having("Habing", logs)
        for log in self._having("mag", logs):
            extinction = ops.power(10.0, ops.minimum(log, math.log10(BLACK)))
            found.append(2.0 * ops.minimum(extinction, OPAQUE) / OPAQUE - 0.5)
            field = fields[0] if fields else 0.0
            for shield in SHIELDS:
                light = field - shield / math.log(10.0) * extinction
                found.append(ops.log10(ops.power(10.0, light) + DARK) / 2.0)
        return found

    def _having(self, unit: str, logs: Any) -> list[Any]:
        found = [i for i, one in enumerate(self.units) if one == unit]
        return [logs[..., i : i + 1] for i in found]

    @property
    def arguments(self) -> dict[str, Any]:
        """What makes the same layer."""
        return {
            "units": self.units,
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
        }

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.arguments
