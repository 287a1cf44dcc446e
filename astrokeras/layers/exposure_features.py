"""Exposure features: rates of the chemistry, times the length of an interval."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.tracers.units import YEAR
from astrokeras.layers.rate_features import BLACK

LN10 = math.log(10.0)
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
        self.curves: list[tuple[str, int]] = []
        terms = self._terms()
        rows = len(self.units) + 1 + len(self.curves)
        self.matrix = np.zeros((rows, len(terms)), "float32")
        self.constant = np.log10([rate * YEAR for rate, _ in terms]).astype("float32")
        for column, (_, factors) in enumerate(terms):
            for row, factor in factors.items():
                self.matrix[row, column] = factor
            self.matrix[len(self.units), column] = 1.0  # the time
        self.built = True

    @property
    def count(self) -> int:
        """Number of features of exposures."""
        return len(LEVELS) * len(self.constant)

    def call(self, inputs: Any) -> Any:
        count = len(self.units)
        scale, offset = map(ops.convert_to_tensor, (self.scale, self.offset))
        logs = inputs[..., :count] * scale + offset
        time = inputs[..., 3 * count : 3 * count + 1] + math.log10(self.step)
        exposures = self.exposures(logs, time)
        added = [ops.tanh((exposures - level) / WIDTH) for level in LEVELS]
        return ops.concatenate([inputs, *added], axis=-1)

    def exposures(self, logs: Any, time: Any) -> Any:
        """Return the logarithms of the exposures, `(..., exposures)`.

        They are linear in the logarithms of parameters and time, and in curves of some
        parameters.

        Args:
            logs: log10 of the parameters, `(..., P)`.
            time: log10 of the interval in years, `(..., 1)`.
        """
        columns = [logs, time]
        columns += [CURVES[name](logs[..., i : i + 1]) for name, i in self.curves]
        matrix, constant = map(ops.convert_to_tensor, (self.matrix, self.constant))
        return ops.matmul(ops.concatenate(columns, axis=-1), matrix) + constant

    def _terms(self) -> list[tuple[float, dict[int, float]]]:
        """Return the rate and the factors of each exposure, by row of the matrix."""
        terms: list[tuple[float, dict[int, float]]] = []
        density, gas = self._find("cm^-3"), self._find("K")
        ionisation = self._find("s^-1")
        field, extinction = self._find("Habing"), self._find("mag")
        dust, column = self._find("K", "dust"), self._find("cm^-2", "NH2")
        ice = gas if dust is None else dust
        if density is not None:
            terms.append((ION_MOLECULE, {density: 1.0}))
            if gas is not None:
                terms.append((FREEZE_OUT, {density: 1.0, gas: 0.5}))
        if ionisation is not None:
            terms.append((IONISATION, {ionisation: 1.0}))
            terms.append((IONISATION * SECONDARY, {ionisation: 1.0}))
        if field is not None and extinction is not None:
            depth = self._curve("extinction", extinction)
            for rate, shield in PHOTOREACTIONS:
                terms.append((rate, {field: 1.0, depth: -shield / LN10}))
            if column is not None:
                rate, shield = H2_DISSOCIATION
                own = self._curve("shielding", column)
                terms.append((rate, {field: 1.0, depth: -shield / LN10, own: 1.0}))
        if ice is not None:
            inverse = self._curve("inverse", ice)
            terms += [(ATTEMPTS, {inverse: -energy / LN10}) for energy in BINDING]
        return terms

    def _curve(self, name: str, parameter: int) -> int:
        """Add a curve of a parameter, and return its row in the matrix."""
        self.curves.append((name, parameter))
        return len(self.units) + len(self.curves)

    def _find(self, unit: str, name: str = "") -> int | None:
        """Return the index of the first parameter with a unit and a part of a name."""
        for i, (own, parameter) in enumerate(
            zip(self.units, self.parameters, strict=True)
        ):
            if own.endswith(unit) and name.lower() in parameter.lower():
                return i
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


def _extinction(log: Any) -> Any:
    """Return the extinction, mag."""
    return ops.power(10.0, ops.minimum(log, math.log10(BLACK)))


def _inverse(log: Any) -> Any:
    """Return the inverse of a temperature, 1 / K."""
    return ops.power(10.0, -ops.maximum(log, 0.0))


def _shielding(log: Any) -> Any:
    """Return log10 of the self-shielding of H2 by a column, cm^-2."""
    x = ops.power(10.0, ops.minimum(log, LARGEST_COLUMN) - math.log10(H2_COLUMN))
    depth = ops.sqrt(1.0 + x)
    wings = 0.035 / depth * ops.exp(-8.5e-4 * depth)
    return ops.log10(0.965 / ops.square(1.0 + x / H2_WIDTH) + wings)


CURVES = {"extinction": _extinction, "inverse": _inverse, "shielding": _shielding}
"""Functions of a parameter's logarithm in which exposures are linear."""
