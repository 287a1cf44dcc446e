"""Trust model: expected errors and error bars of the states of a rollout."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.layers.error_regression import add_waves, interpolate
from astrokeras.layers.nearest import nearest
from astrokeras.layers.registration import register
from astrokeras.system import arguments
from astrokeras.system.old_names import TRUST, rename_keys

NORMAL = 1.6448536
"""Half-width of the 90 % interval of a normal distribution, in sigma."""
SMALL = 0.01
"""Added to distances and spreads before their logarithms."""
KNOTS = 16
"""Knots of the correction of the expected error."""
CARRIED = ("age", "far_setting", "far_state", "mean_state")
"""Numbers that a step takes and returns: years since state 0, the largest distances so
far, and the mean distance of states so far, weighted by time."""


@register
class Trust(keras.layers.Layer):
    """Expected errors and error bars of the states of rollouts.

    The expected error of a state (mean over species, dex) is a smooth function of the
    distances of the state and of earlier states to the nearest training state, the
    latents, the parameters, the interval, the elapsed time and the spread of the
    members: linear in these and in random waves of them, its logarithm corrected by a
    monotone function. The half-width of a species' interval is a multiple of the
    expected error. Both are calibrated on held-out simulations, see
    `training.calibration`.

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
        random_features: Number of random waves. With 0, as in files of older versions,
            the expected error is log-linear and knows neither latents nor the interval.
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
        random_features: int = 0,
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
        self.random_features = arguments.whole(
            "random_features", random_features, low=0
        )
        features = 8 + 2 * parameters + (1 + latents) * bool(random_features)
        shapes = {
            "latent_offset": (latents,),
            "latent_scale": (latents,),
            "centre": (parameters,),
            "whitening": (parameters, parameters),
            "states": (references, latents + parameters),
            "settings": (references, parameters),
            "coefficients": (features + self.random_features,),
            "error_range": (2,),
            "half_width": (species,),
            "constant_width": (species,),  # equal for all states, for comparison
            "totals": (2, elements),
            "largest": (3,),  # distances of parameters and states, reconstruction
        }
        if self.random_features:
            shapes["frequencies"] = (features, self.random_features)
            shapes["phases"] = (self.random_features,)
            # Predicted logarithms of errors, and those of the errors found there.
            shapes["knots"] = (2, KNOTS)
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
            after = self.advance(before, given[:, :-1], given[:, -1:])
            return after, after

        # One array, since TensorFlow cannot scan several of unknown length.
        given = ops.concatenate([positions, years[..., None]], axis=-1)
        if positions.shape[1] == 1:  # a single step, as codes take it, needs no loop
            last = self.advance(carried, positions[:, 0], years)
            steps = last[:, None]
        else:
            start = ops.concatenate([carried, none, none], axis=1)
            last, steps = ops.scan(advance, start, ops.swapaxes(given, 0, 1))
            steps = ops.swapaxes(steps, 0, 1)
        elapsed, far_setting, far_state, mean, setting, state = ops.unstack(
            steps, len(CARRIED) + 2, axis=-1
        )
        columns = [ops.ones_like(state), ops.log(ops.maximum(elapsed, 1.0))]
        for amount in (setting, far_setting, state, far_state, mean, spread):
            columns.append(ops.log(amount + SMALL))
        where = 2.0 * positions[..., self.latents :]
        parts = [ops.stack(columns, axis=-1), where, ops.square(where)]
        if self.random_features:
            parts.append(ops.log(ops.maximum(years, 1e-6))[..., None])
            parts.append(positions[..., : self.latents])
        features = ops.concatenate(parts, axis=-1)
        return features, steps[..., 1:3], last[:, : len(CARRIED)]

    def with_waves(self, features: Any) -> Any:
        """Return features with their random Fourier features, `(..., F + W)`."""
        if not self.random_features:
            return features
        numbers = self.numbers
        return add_waves(features, numbers["frequencies"], numbers["phases"])

    def expected_error(self, features: Any) -> Any:
        """Return the expected mean error of states, dex, `(..., F)` to `(...)`."""
        numbers = self.numbers
        logarithm = ops.matmul(self.with_waves(features), numbers["coefficients"])
        if self.random_features:
            bounded = interpolate(logarithm, numbers["knots"])
        else:
            low, high = ops.unstack(ops.log(numbers["error_range"]))
            bounded = ops.clip(logarithm, low, high)
        # What is not a number would become one on some backends.
        return ops.exp(ops.where(ops.isnan(logarithm), logarithm, bounded))

    def sigma(self, expected: np.ndarray) -> np.ndarray:
        """Return each species' error bar, dex, `(...)` to `(..., S)`.

        90 % of errors lie within 1.645 error bars.
        """
        unit = self.value("half_width") / NORMAL
        return (expected[..., None] * unit).astype("float32")

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
            "random_features": self.random_features,
        }
