"""How far a rollout may be trusted: from what it left behind, not from what it says."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.layers.registration import register
from astrokeras.system import arguments
from astrokeras.system.old_names import TRUST, rename_keys

NORMAL = 1.6448536  # half of the 90 % interval of a normal distribution, in sigma
SMALL = 0.01  # added to distances and spreads before their logarithms
BLOCK = 4096  # states whose distances are computed at once
BOX_DEX = 0.1  # a parameter may leave its range by this much
TOTALS_DEX = 0.02  # so may an element total of the input leave what was trained
UNREPAIRED = 1e-5  # an element total may be off by this much where it is conserved
RISKS = (
    "expected_error",
    "parameters",
    "states",
    "box",
    "totals",
    "reconstruction",
    "duration",
    "conservation",
)
"""What speaks against a state, each as a multiple of what is still trusted."""


@register
class Trust(keras.layers.Layer):
    """Expected error, error bars and a trust score of the states of rollouts.

    The expected error of a state (mean over species, dex) is a log-linear model of how
    far its latents and parameters are from the nearest training state, of how far those
    before it were, of the parameters themselves, of the elapsed time and of the spread
    of an ensemble. The half-width of a species' interval is a multiple of it. Both are
    fitted to rollouts of simulations that are used for nothing else, see
    `workflows.calibrate`.

    The risk of a state is the largest of `RISKS`: its expected error beside a
    tolerance, the distance of parameters and of states so far beside what calibration
    saw, parameters outside their range beside 0.1 dex, the input's element totals
    outside the trained ones beside 0.02 dex, its reconstruction error, time beyond the
    trained duration, and totals that conservation could not restore beside 1e-5. What
    was far or outside once stays so for the rest of the rollout. The trust score is
    `1 / (1 + risk)`: below 0.5 a state belongs to the solver.

    All of it is NumPy on a rollout's latents, the same on every backend; the numbers
    are weights, so that they travel with the model file.

    Args:
        latents: Number of latents.
        parameters: Number of physical parameters.
        species: Number of species.
        elements: Number of elements.
        references: Training states that distances are measured to.
        reliability_threshold: Expected error of a state that is still trusted, dex.
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
            "constant_width": (species,),  # the same for all states, to compare with
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
        """Return where states lie, `(..., L + P)`, the last P by parameters alone.

        Args:
            latents: `(..., L)`.
            scaled: Scaled parameters, `(..., P)`.
        """
        inside = (latents - self.value("latent_offset")) / self.value("latent_scale")
        setting = (scaled - self.value("centre")) @ self.value("whitening")
        return np.concatenate([inside, setting], axis=-1).astype("float32")

    def distances(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distances to the nearest reference: by parameters alone, and all."""
        setting = positions[..., self.latents :]
        return (
            nearest(setting, self.value("settings")),
            nearest(positions, self.value("states")),
        )

    def features(
        self,
        positions: np.ndarray,
        elapsed: np.ndarray,
        spread: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the expected error is a model of, and both distances so far.

        Args:
            positions: Of states 1 to T, `(N, T, L + P)`.
            elapsed: Years since state 0, `(N, T)`.
            spread: Of an ensemble, dex, `(N, T)`.

        Returns:
            Features `(N, T, F)`, and the largest distance so far by parameters and by
            all, `(N, T)` each.
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
            *(np.log(one + SMALL) for one in amounts),
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

        90 % of errors are within 1.645 of it.
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
            expected: Errors of states 1 to T, dex, `(N, T)`.
            far_setting: Largest distance so far by parameters, `(N, T)`.
            far_state: The same by latents and parameters, `(N, T)`.
            outside: How far parameters leave their range, dex, `(N, T)`.
            totals: Element totals of state 0, `(N, E)`.
            reconstruction: Error of decoding the encoded state 0, dex, `(N,)`.
            late: Elapsed time of states 1 to T beyond the trained duration, as a
                multiple of it, 0 within, `(N, T)`.
            unrepaired: Largest relative error of an element total that is conserved;
                what is not a number is as bad as can be, `(N, T)`.
        """
        setting, state, restored = self.value("largest")
        low, high = self.value("totals").astype("f8")
        logs = np.log10(np.maximum(totals, 1e-30))
        off = np.maximum(low - logs, logs - high).max(-1)
        found = np.zeros((len(expected), expected.shape[1] + 1, len(RISKS)), "f4")
        found[:, 1:, 0] = expected / self.reliability_threshold
        found[:, 1:, 1] = far_setting / setting
        found[:, 1:, 2] = far_state / state
        found[:, 1:, 3] = np.maximum.accumulate(outside, axis=1) / BOX_DEX
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
    """Return how many features the expected error is a model of."""
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
    """Return which points cover all of them best, each the farthest from those before.

    Gonzalez 1985, Theoretical Computer Science 38, 293.
    """
    distance = np.full(len(points), np.inf, "float32")
    chosen = [0]
    for _ in range(1, min(count, len(points))):
        step = np.square(points - points[chosen[-1]]).sum(1)
        distance = np.minimum(distance, step)
        chosen.append(int(distance.argmax()))
    # Fewer points than wanted are repeated: shapes are those of the layer.
    return np.resize(chosen, count).tolist()
