"""Trust model: expected errors and error bars of the states of a rollout."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.layers.registration import register
from astrokeras.system import arguments
from astrokeras.system.old_names import TRUST, rename_keys

NORMAL = 1.6448536
"""Half-width of the 90 % interval of a normal distribution, in sigma."""
SMALL = 0.01
"""Added to distances and spreads before their logarithms."""
BLOCK = 4096
"""States whose distances are computed at once."""
PARAMETER_DEX = 0.1
"""Distance of a parameter from its range, dex, that is still reliable."""
TOTALS_DEX = 0.02
"""Distance of an element total from its trained range, dex, that is still reliable."""
UNREPAIRED = 1e-5
"""Relative error of a conserved element total that is still reliable."""
RISKS = (
    "expected_error",
    "parameters",
    "states",
    "parameter_ranges",
    "totals",
    "reconstruction",
    "t_max",
    "conservation",
)
"""Risks of a state, each a multiple of the largest value that is still reliable."""


@register
class Trust(keras.layers.Layer):
    """Expected error, error bars and risks of the states of rollouts.

    The expected error of a state (mean over species, dex) is a log-linear model of the
    distances of the state and of earlier states to the nearest training state, the
    parameters, the elapsed time and the spread of the members. The half-width of a
    species' interval is a multiple of the expected error. Both are calibrated on
    held-out simulations, see `training.calibration`.

    A state has `RISKS`: the expected error relative to
    `reliability_threshold`, the largest distances of parameters and of states so far
    relative to those of the calibration, parameters outside their ranges relative to
    0.1 dex, element totals of the input outside the trained range relative to 0.02 dex,
    the reconstruction error of state 0, time beyond `t_max`, and element totals that
    conservation could not restore relative to 1e-5. A distance or an excursion counts
    for the rest of the rollout. A state with a risk above 1 is not reliable.

    All methods use NumPy on a rollout's latents and agree on every backend. The fitted
    numbers are weights, so that the model file holds them.

    Args:
        latents: Number of latents.
        parameters: Number of physical parameters.
        species: Number of species.
        elements: Number of elements.
        references: Number of training states from which distances are measured.
        reliability_threshold: Largest expected error that is still reliable, dex.
        **kwargs: Base layer arguments.
    """

    def __init__(
        self,
        latents: int,
        parameters: int,
        species: int,
        elements: int,
        references: int = 1024,
        reliability_threshold: float = 0.3,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        latents, parameters, species, elements, references = arguments.wholes(
            "counts of a Trust",
            (latents, parameters, species, elements, references),
            low=1,
        )
        self.latents = latents
        self.parameter_count = parameters
        self.species = species
        self.elements = elements
        self.references = references
        self.reliability_threshold = arguments.number(
            "reliability_threshold", reliability_threshold, low=1e-6
        )
        shapes = {
            "latent_offset": (latents,),
            "latent_scale": (latents,),
            "centre": (parameters,),
            "whitening": (parameters, parameters),
            "states": (references, latents + parameters),
            "settings": (references, parameters),
            "coefficients": (feature_count(parameters),),
            "error_range": (2,),
            "half_width": (species,),
            "constant_width": (species,),  # equal for all states, for comparison
            "totals": (2, elements),
            "largest": (3,),  # distances of parameters and states, reconstruction
        }
        self.numbers = {
            name: self.add_weight(shape, "zeros", trainable=False, name=name)
            for name, shape in shapes.items()
        }
        self.built = True

    def assign(self, **values: ArrayLike) -> None:
        """Set fitted numbers by name."""
        for name, value in values.items():
            self.numbers[name].assign(np.asarray(value, "float32"))

    def value(self, name: str) -> np.ndarray:
        """Return fitted numbers by name."""
        return np.asarray(ops.convert_to_numpy(self.numbers[name]))

    def positions(self, latents: np.ndarray, scaled: np.ndarray) -> np.ndarray:
        """Return positions of states, `(..., L + P)`; the last P depend on parameters.

        Args:
            latents: `(..., L)`.
            scaled: Scaled parameters, `(..., P)`.
        """
        state = (latents - self.value("latent_offset")) / self.value("latent_scale")
        setting = (scaled - self.value("centre")) @ self.value("whitening")
        return np.concatenate([state, setting], axis=-1).astype("float32")

    def distances(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distances to the nearest reference, in parameters alone and in all."""
        setting = positions[..., self.latents :]
        return (
            nearest(setting, self.value("settings")),
            nearest(positions, self.value("states")),
        )

    def distance_of_parameters(self, scaled: np.ndarray) -> np.ndarray:
        """Return the largest distance so far of scaled parameters, `(N, T)`."""
        setting = (scaled - self.value("centre")) @ self.value("whitening")
        far = nearest(setting.astype("float32"), self.value("settings"))
        return np.maximum.accumulate(far, axis=1)

    def features(
        self,
        positions: np.ndarray,
        elapsed: np.ndarray,
        spread: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features of the expected error, and the largest distances so far.

        Args:
            positions: Positions of states 1 to T, `(N, T, L + P)`.
            elapsed: Years since state 0, `(N, T)`.
            spread: Spread of the emulator's members, `(N, T)`.

        Returns:
            Features `(N, T, F)`, and the largest distances so far in parameters alone
            and in latents and parameters, `(N, T)` each.
        """
        setting, state = self.distances(positions)
        far_setting = np.maximum.accumulate(setting, axis=1)
        far_state = np.maximum.accumulate(state, axis=1)
        years = np.diff(elapsed, axis=1, prepend=0.0)
        mean_state = np.cumsum(state * years, axis=1) / np.maximum(elapsed, 1e-30)
        amounts = (setting, far_setting, state, far_state, mean_state, spread)
        where = positions[..., self.latents :] * 2.0
        columns = [
            np.ones_like(state),
            np.log(np.maximum(elapsed, 1.0)),
            *(np.log(amount + SMALL) for amount in amounts),
            *np.moveaxis(where, -1, 0),
            *np.moveaxis(np.square(where), -1, 0),
        ]
        return np.stack(columns, axis=-1), far_setting, far_state

    def expected_error(self, features: np.ndarray) -> np.ndarray:
        """Return the expected mean error of states, dex, `(..., F)` to `(...)`."""
        low, high = self.value("error_range")
        logarithm = features @ self.value("coefficients").astype("f8")
        return np.exp(np.clip(logarithm, np.log(low), np.log(high)))

    def sigma(self, expected: np.ndarray) -> np.ndarray:
        """Return each species' error bar, dex, `(...)` to `(..., S)`.

        90 % of errors lie within 1.645 error bars.
        """
        unit = self.value("half_width") / NORMAL
        return (expected[..., None] * unit).astype("float32")

    def risks(
        self,
        expected: np.ndarray,
        far_setting: np.ndarray,
        far_state: np.ndarray,
        outside: np.ndarray,
        totals: np.ndarray,
        reconstruction: np.ndarray,
        late: np.ndarray,
        unrepaired: np.ndarray,
    ) -> np.ndarray:
        """Return the `RISKS` of states 0 to T, `(N, T+1, len(RISKS))`.

        Args:
            expected: Expected errors of states 1 to T, dex, `(N, T)`.
            far_setting: Largest distance so far in parameters, `(N, T)`.
            far_state: Largest distance so far in latents and parameters, `(N, T)`.
            outside: Distance of parameters from their ranges, dex, `(N, T)`.
            totals: Element totals of state 0, `(N, E)`.
            reconstruction: Reconstruction error of state 0, dex, `(N,)`.
            late: Elapsed time of states 1 to T in units of `t_max` if it is longer,
                otherwise 0, `(N, T)`.
            unrepaired: Largest relative error of a conserved element total, `(N, T)`;
                NaN counts as infinite.
        """
        setting, state, restored = self.value("largest")
        low, high = self.value("totals").astype("f8")
        logs = np.log10(np.maximum(totals, 1e-30))
        off = np.maximum(low - logs, logs - high).max(-1)
        found = np.zeros((len(expected), expected.shape[1] + 1, len(RISKS)), "f4")
        found[:, 1:, 0] = expected / self.reliability_threshold
        found[:, 1:, 1] = far_setting / setting
        found[:, 1:, 2] = far_state / state
        found[:, 1:, 3] = np.maximum.accumulate(outside, axis=1) / PARAMETER_DEX
        found[..., 4] = np.maximum(off, 0.0)[:, None] / TOTALS_DEX
        found[..., 5] = reconstruction[:, None] / restored
        found[:, 1:, 6] = late
        found[:, 1:, 7] = (
            np.where(np.isnan(unrepaired), np.inf, unrepaired) / UNREPAIRED
        )
        return found

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> Any:
        return super().from_config(rename_keys(config, TRUST), **kwargs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "latents": self.latents,
            "parameters": self.parameter_count,
            "species": self.species,
            "elements": self.elements,
            "references": self.references,
            "reliability_threshold": self.reliability_threshold,
        }


def feature_count(parameters: int) -> int:
    """Return the number of features of the expected error."""
    return 8 + 2 * parameters


def nearest(points: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest reference, `(..., D)` to `(...)`."""
    rows = points.reshape(-1, points.shape[-1])
    square = np.square(references).sum(1)
    found = np.full(len(rows), np.nan, "float32")
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        least = (square - 2.0 * block @ references.T).min(1)
        found[start : start + BLOCK] = least + np.square(block).sum(1)
    return np.sqrt(np.maximum(found, 0.0)).reshape(points.shape[:-1])


def spread_out(points: np.ndarray, count: int) -> Sequence[int]:
    """Return indices of points that cover all, each the farthest from earlier ones.

    Gonzalez 1985, Theoretical Computer Science 38, 293.
    """
    distance = np.full(len(points), np.inf, "float32")
    chosen = [0]
    for _ in range(1, min(count, len(points))):
        step = np.square(points - points[chosen[-1]]).sum(1)
        distance = np.minimum(distance, step)
        chosen.append(int(distance.argmax()))
    # Too few points are repeated, since the shape of the weight is fixed.
    return np.resize(chosen, count).tolist()
