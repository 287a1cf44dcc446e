"""Rate features: functions of the parameters on which reaction rates depend."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

SWITCHES = (17.0, 22.0, 30.0, 50.0, 100.0)
"""K, desorption temperatures of N2 and CO, CH4, H2S, CO2 and H2O ice (Collings et al.
2004, MNRAS 354, 1133)."""
WIDTH = 0.06
"""Width of the desorption switches, dex."""
COOL = 15.0
"""K, unit of the inverse temperatures."""
LARGEST = 10.0
"""Largest inverse temperature, in units of 1 / `COOL`."""
COLDEST = math.log10(LARGEST / COOL)
"""log10 of the largest inverse temperature, 1 / K."""
SHIELDS = (0.7, 1.8, 3.0)
"""Shielding exponents, exp(-0.7 Av) to exp(-3 Av): the range of photoreactions in UMIST
(McElroy et al. 2013, A&A 550, A36)."""
DARK = 1e-4
"""Habing, the field below which most photons are due to cosmic rays."""
OPAQUE = 8.0
"""Extinction above which its own feature is constant, mag."""
BLACK = 100.0
"""Extinction above which no light is left, mag."""


class RateFeatures(keras.layers.Layer):
    """Adds rate features to the features of the intervals.

    Networks extrapolate poorly in steep functions of their inputs. Each temperature
    therefore adds its inverse, as in exp(-E / T), and its position relative to the
    desorption temperatures of ices; each extinction adds its value and the logarithm of
    the shielded radiation field (1 Habing if no parameter is a field). Parameters are
    identified by their units K, mag and Habing; others add no features.

    Args:
        units: Units of the parameters, `(P,)`.
        offset: Offset of the scaled logarithms `(log10 p - offset) / scale`, `(P,)`.
        scale: Scale of the scaled logarithms, `(P,)`.
        **kwargs: Base layer arguments.

    Call arguments:
        inputs: Features, the first P of which are scaled parameters, `(..., F)`.

    Returns the features, followed by the rate features, `(..., F + count)`.
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
        """Number of rate features."""
        counts = {"K": 1 + len(SWITCHES), "mag": 1 + len(SHIELDS)}
        return sum(counts.get(unit, 0) for unit in self.units)

    def call(self, inputs: Any) -> Any:
        scale, offset = map(ops.convert_to_tensor, (self.scale, self.offset))
        logs = inputs[..., : len(self.units)] * scale + offset
        return ops.concatenate([inputs, *self.added(logs)], axis=-1)

    def added(self, logs: Any) -> list[Any]:
        """Return the rate features of `log10 p`, `(..., P)`; each `(..., 1)`."""
        features = []
        for log in self._with_unit("K", logs):
            # The bound comes before the power, so that the gradient is finite.
            inverse = COOL * ops.power(10.0, ops.minimum(-log, COLDEST))
            features.append(inverse - 1.0)
            features += [
                ops.tanh((log - math.log10(switch)) / WIDTH) for switch in SWITCHES
            ]
        fields = self._with_unit("Habing", logs)
        for log in self._with_unit("mag", logs):
            extinction = ops.power(10.0, ops.minimum(log, math.log10(BLACK)))
            features.append(2.0 * ops.minimum(extinction, OPAQUE) / OPAQUE - 0.5)
            field = fields[0] if fields else 0.0
            for shield in SHIELDS:
                light = field - shield / math.log(10.0) * extinction
                features.append(ops.log10(ops.power(10.0, light) + DARK) / 2.0)
        return features

    def _with_unit(self, unit: str, logs: Any) -> list[Any]:
        columns = [i for i, each in enumerate(self.units) if each == unit]
        return [logs[..., i : i + 1] for i in columns]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that build the same layer."""
        return {
            "units": self.units,
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
        }

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.arguments
