"""Trust model: expected errors and error bars of the states of a rollout."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.layers.nearest import nearest
from astrokeras.layers.registration import register
from astrokeras.system import arguments
from astrokeras.system.old_names import TRUST, rename_keys

NORMAL = 1.6448536
"""Half-width of the 90 % interval of a normal distribution, in sigma."""
SMALL = 0.01
"""Added to distances and spreads before their logarithms."""
PARAMETER_DEX = 0.1
"""Distance of a parameter from its range, dex, that is still reliable."""
TOTALS_DEX = 0.02
"""Distance of an element total from its trained range, dex, that is still reliable."""
UNREPAIRED = 1e-5
"""Relative error of a conserved element total that is still reliable."""
CARRIED = ("age", "far_setting", "far_state", "mean_state")
"""Numbers that a step takes and returns: years since state 0, the largest distances so
far, and the mean distance of states so far, weighted by time."""
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

    Expected errors are functions of the state, its parameters, the interval and the
    four `CARRIED` numbers, so that a code which steps cells one interval at a time has
    them too. The fitted numbers are weights, so that the model file holds them.

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

    def call(
        self, latents: Any, scaled: Any, years: Any, spread: Any, carried: Any = None
    ) -> tuple[Any, Any, Any]:
        """Return the expected errors of a rollout, and what speaks against its states.

        Args:
            latents: Of states 1 to T, `(N, T, L)`.
            scaled: Scaled parameters of the intervals, `(N, T, P)`.
            years: Length of the intervals, `(N, T)`.
            spread: Spread of the emulator's members, `(N, T)`.
            carried: What an earlier call returned, `(N, 4)`, to go on from its last
                state; `None` at state 0.

        Returns:
            Expected errors, dex, `(N, T)`; the largest distances so far in parameters
            alone and in latents and parameters, `(N, T, 2)`; and the `CARRIED` numbers
            of the last state, `(N, 4)`.
        """
        positions = self.positions(latents, scaled)
        features, far, carried = self.features(positions, years, spread, carried)
        return self.expected_error(features), far, carried

    def positions(self, latents: Any, scaled: Any) -> Any:
        """Return positions of states, `(..., L + P)`; the last P depend on parameters.

        Args:
            latents: `(..., L)`.
            scaled: Scaled parameters, `(..., P)`.
        """
        numbers = self.numbers
        state = (latents - numbers["latent_offset"]) / numbers["latent_scale"]
        return ops.concatenate([state, self.settings(scaled)], axis=-1)

    def settings(self, scaled: Any) -> Any:
        """Return the part of the positions that depends on parameters, `(..., P)`."""
        centred = scaled - self.numbers["centre"]
        return ops.matmul(centred, self.numbers["whitening"])

    def advance(self, carried: Any, positions: Any, years: Any) -> Any:
        """Return the `CARRIED` numbers after an interval, and its two distances.

        Args:
            carried: Numbers before the interval, the first four of `(N, 4 or more)`.
            positions: Positions of the states after it, `(N, L + P)`.
            years: Its length, `(N, 1)`.

        Returns:
            The four numbers, and the distances to the nearest reference in parameters
            alone and in all, `(N, 6)`.
        """
        age, far_setting, far_state, mean = (carried[:, i : i + 1] for i in range(4))
        setting = nearest(positions[:, self.latents :], self.numbers["settings"])
        state = nearest(positions, self.numbers["states"])
        elapsed = age + years
        mean = (age * mean + state * years) / ops.maximum(elapsed, 1e-30)
        far = ops.maximum(far_setting, setting), ops.maximum(far_state, state)
        return ops.concatenate([elapsed, *far, mean, setting, state], axis=1)

    def features(
        self, positions: Any, years: Any, spread: Any, carried: Any = None
    ) -> tuple[Any, Any, Any]:
        """Return features of the expected error, the largest distances, and `CARRIED`.

        Args:
            positions: Positions of states 1 to T, `(N, T, L + P)`.
            years: Length of the intervals, `(N, T)`.
            spread: Spread of the emulator's members, `(N, T)`.
            carried: As in `call`.

        Returns:
            Features `(N, T, F)`, the largest distances so far `(N, T, 2)` and the
            carried numbers of the last state `(N, 4)`.
        """
        none = ops.zeros_like(positions[:, 0, :1])
        if carried is None:
            carried = ops.tile(none, (1, len(CARRIED)))

        # Distances to all references at once would take much memory.
        def advance(before: Any, given: Any) -> tuple[Any, Any]:
            after = self.advance(before, *given)
            return after, after

        given = ops.swapaxes(positions, 0, 1), ops.transpose(years)[..., None]
        start = ops.concatenate([carried, none, none], axis=1)
        last, steps = ops.scan(advance, start, given)
        steps = ops.swapaxes(steps, 0, 1)
        elapsed, far_setting, far_state, mean, setting, state = ops.unstack(
            steps, len(CARRIED) + 2, axis=-1
        )
        columns = [ops.ones_like(state), ops.log(ops.maximum(elapsed, 1.0))]
        for amount in (setting, far_setting, state, far_state, mean, spread):
            columns.append(ops.log(amount + SMALL))
        where = 2.0 * positions[..., self.latents :]
        features = ops.concatenate(
            [ops.stack(columns, axis=-1), where, ops.square(where)], axis=-1
        )
        return features, steps[..., 1:3], last[:, : len(CARRIED)]

    def expected_error(self, features: Any) -> Any:
        """Return the expected mean error of states, dex, `(..., F)` to `(...)`."""
        low, high = ops.unstack(ops.log(self.numbers["error_range"]))
        logarithm = ops.matmul(features, self.numbers["coefficients"])
        return ops.exp(ops.clip(logarithm, low, high))

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
