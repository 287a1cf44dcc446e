"""Exposure features: rates of the chemistry, times the length of an interval."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

YEAR = 3.156e7
"""Seconds."""
FREEZE_OUT = 5e-18
"""cm^3 s^-1 K^-1/2, rate at which molecules hit grains, per H nucleus and root of the
gas temperature; 1e9 yr at 1 cm^-3 and 40 K (Tielens 2005, *The Physics and Chemistry of
the Interstellar Medium*)."""
ION_MOLECULE = 1e-18
"""cm^3 s^-1, rate of an ion-molecule reaction, 1e-9, with a partner of 1e-9."""
IONISATION = 1.3e-17
"""s^-1, cosmic-ray ionisation rate in units of which `zeta` is given."""
SECONDARY = 1e4
"""Rate of photoreactions by secondary photons, relative to the ionisation."""
PHOTOREACTIONS = ((1e-10, 1.8), (1e-10, 3.0))
"""Rate in a field of 1 Habing, s^-1, and shielding exponent (McElroy et al. 2013)."""
H2_DISSOCIATION = (5e-11, 3.7)
"""The same of H2, which also shields itself (Draine & Bertoldi 1996, ApJ 468, 269)."""
H2_COLUMN = 5e14
"""cm^-2, unit of the column in their equation 37."""
H2_WIDTH = 3.0
"""km/s, width of the lines in the same equation."""
ATTEMPTS = 1e12
"""s^-1, at which a molecule on ice attempts to leave it."""
BINDING = (800.0, 1150.0, 1300.0, 1900.0, 2600.0, 5700.0)
"""K, binding energies to ice: N2, CO, CH4, species like H2CO, CO2 and H2O (Penteado et
al. 2017, ApJ 844, 71)."""
LEVELS = (-2.0, 0.0, 2.0)
"""Logarithms of exposures at which the features change sign."""
WIDTH = 1.5
"""Width of this change, dex."""
BLACK = 100.0
"""Mag, above which no light is left."""
LARGEST_COLUMN = 24.0
"""log10 of the column of H2 above which its shielding is constant, cm^-2."""


class ExposureFeatures(keras.layers.Layer):
    """Adds the expected numbers of events in an interval to its features.

    What an interval does to a molecule depends on rates times the length of the
    interval, n sqrt(T) dt, zeta dt, G0 exp(-g Av) dt and nu exp(-E / Td) dt, and
    saturates in them: gas that froze out ten times over is frozen out. Of each such
    exposure x the layer adds tanh((log10 x - c) / 1.5) for c of -2, 0 and 2.

    Parameters are identified by their units: `cm^-3` a density, `K` temperatures, of
    which the one named after dust is that of the ice, `Habing`, `mag`, `s^-1` the
    ionisation rate, and `NH2` the column of H2. An exposure whose parameters are
    missing is left out.

    Args:
        parameters: Names, `(P,)`.
        units: Their units, `(P,)`.
        offset: Offset of the scaled logarithms `(log10 p - offset) / scale`, `(P,)`.
        scale: Scale of the scaled logarithms, `(P,)`.
        step: Length of the interval whose feature is 0, years.
        **kwargs: Base layer arguments.

    Call arguments:
        inputs: Features, of which the first P are scaled parameters and number 3 P is
            `log10(years / step)`, see `data.tracers.timestep_features`, `(..., F)`.

    Returns the features, followed by those of the exposures, `(..., F + count)`.
    """

    def __init__(
        self,
        parameters: Sequence[str],
        units: Sequence[str],
        offset: ArrayLike,
        scale: ArrayLike,
        step: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.parameters = list(parameters)
        self.units = list(units)
        self.offset = np.asarray(offset, "float32")
        self.scale = np.asarray(scale, "float32")
        self.step = float(step)
        self.built = True

    @property
    def count(self) -> int:
        """Number of features of exposures."""
        zeros = [np.zeros(1)] * len(self.units)
        return len(LEVELS) * len(self.logarithms(zeros, np.zeros(1), np))

    def call(self, inputs: Any) -> Any:
        count = len(self.units)
        scale, offset = map(ops.convert_to_tensor, (self.scale, self.offset))
        logs = inputs[..., :count] * scale + offset
        columns = [logs[..., i] for i in range(count)]
        years = inputs[..., 3 * count] + math.log10(self.step)
        exposures = self.logarithms(columns, years + math.log10(YEAR), ops)
        if not exposures:
            return inputs
        stacked = ops.stack(exposures, axis=-1)
        added = [ops.tanh((stacked - level) / WIDTH) for level in LEVELS]
        return ops.concatenate([inputs, *added], axis=-1)

    def logarithms(self, logs: Sequence[Any], time: Any, xp: Any) -> list[Any]:
        """Return the logarithms of the exposures, each of the shape of `time`.

        Args:
            logs: log10 of the parameters, `(...)` each.
            time: log10 of the interval in seconds, `(...)`.
            xp: NumPy or `keras.ops`.
        """
        found: list[Any] = []

        def add(rate: float, *terms: Any) -> None:
            found.append(sum(terms) + (math.log10(rate) + time))

        density = self._find(logs, "cm^-3")
        gas = self._find(logs, "K")
        dust = self._find(logs, "K", "dust") if gas is not None else None
        dust = gas if dust is None else dust
        if density is not None and gas is not None:
            add(FREEZE_OUT, density, 0.5 * gas)
        if density is not None:
            add(ION_MOLECULE, density)
        ionisation = self._find(logs, "s^-1")
        if ionisation is not None:
            add(IONISATION, ionisation)
            add(IONISATION * SECONDARY, ionisation)
        field, extinction = self._find(logs, "Habing"), self._find(logs, "mag")
        if field is not None and extinction is not None:
            depth = -xp.power(10.0, xp.minimum(extinction, math.log10(BLACK)))
            depth = depth / math.log(10.0)
            for rate, shield in PHOTOREACTIONS:
                add(rate, field, shield * depth)
            column = self._find(logs, "cm^-2", "NH2")
            if column is not None:
                rate, shield = H2_DISSOCIATION
                add(rate, field, shield * depth, _shielding(column, xp))
        if dust is not None:
            inverse = xp.power(10.0, -xp.maximum(dust, 0.0)) / math.log(10.0)
            for energy in BINDING:
                add(ATTEMPTS, -energy * inverse)
        return found

    def _find(self, logs: Sequence[Any], unit: str, name: str = "") -> Any:
        """Return the first parameter whose unit ends so and whose name holds `name`."""
        for log, own, parameter in zip(logs, self.units, self.parameters, strict=True):
            if own.endswith(unit) and name.lower() in parameter.lower():
                return log
        return None

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that build the same layer."""
        return {
            "parameters": self.parameters,
            "units": self.units,
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
            "step": self.step,
        }

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | self.arguments


def _shielding(column: Any, xp: Any) -> Any:
    """Return log10 of the self-shielding of H2 of a log10 column, cm^-2."""
    bounded = xp.minimum(column, LARGEST_COLUMN)
    x = xp.power(10.0, bounded - math.log10(H2_COLUMN))
    depth = xp.sqrt(1.0 + x)
    wings = 0.035 / depth * xp.exp(-8.5e-4 * depth)
    return xp.log10(0.965 / xp.square(1.0 + x / H2_WIDTH) + wings)
