"""Physical emulator: an emulator between abundances and parameters in their units."""

from typing import Any

import keras
import numpy as np
from keras import ops

from astrokeras.data.tracers.abundance_scaling import (
    MARGIN_DEX,
    RANGE_DEX,
    scale_abundances,
)
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.timestep_features import timestep_features
from astrokeras.errors import InputError
from astrokeras.layers.conservation import Conservation
from astrokeras.layers.precision import OWN_DTYPE
from astrokeras.layers.scalers import AbundanceScaler, AffineScaler
from astrokeras.layers.trust_model import Trust
from astrokeras.models.compiled_functions import CompiledFunctions
from astrokeras.models.emulator import Emulator
from astrokeras.models.input_checks import check_abundances
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.reconstruction_residual import (
    ReconstructionResidual,
    latent_path,
    residual_weight,
)
from astrokeras.models.requested_outputs import choose_columns
from astrokeras.system import arguments


class PhysicalEmulator(keras.Model):
    """An emulator with its scales, element conservation and trust model.

    `Surrogate` adds the input checks and the batches. The methods up to
    `physical_violation` take and return tensors, and are differentiable; `encode`,
    `decode` and `reconstruct` take and return NumPy arrays.

    Args:
        emulator: The trained `Emulator` (or its serialised configuration).
        metadata: Species, parameters, units and training ranges.
        trust: The fitted `Trust` (or its serialised configuration); `None` if the
            surrogate is not calibrated.
        **kwargs: Base model arguments.
    """

    def __init__(
        self,
        emulator: Emulator,
        metadata: SurrogateMetadata,
        trust: Trust | None = None,
        **kwargs: Any,
    ):
        super().__init__(**OWN_DTYPE | kwargs)
        if isinstance(emulator, dict):
            emulator = keras.saving.deserialize_keras_object(emulator)
        if isinstance(trust, dict):
            trust = keras.saving.deserialize_keras_object(trust)
        self.emulator = emulator
        self.trust: Any = trust
        self.metadata = metadata
        own = {"dtype": self.variable_dtype}
        floor = metadata.floor
        self.abundance_scaler = AbundanceScaler(floor, name="abundance_scaler", **own)
        self.parameter_scaler = AffineScaler(
            len(metadata.parameters), log=True, name="parameter_scaler", **own
        )
        low, high = metadata.species_ranges
        below = 10.0 ** -np.where(low > floor, RANGE_DEX, MARGIN_DEX)
        edges = np.stack([low * below, high * 10.0**RANGE_DEX])
        bounds = scale_abundances(edges, floor, margin=MARGIN_DEX)
        self.decoded_range = np.minimum(bounds, 1.0).astype("float32")
        self.conservation = Conservation(
            metadata.stoichiometry, name="conservation", **own
        )
        self.functions = CompiledFunctions(self)

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, (S,), in column order."""
        return self.metadata.species

    # Not `parameters`: PyTorch's modules have a method of that name.
    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the physical parameters, (P,), in column order."""
        return self.metadata.parameters

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the physical parameters, (P,)."""
        return self.metadata.units

    @property
    def elements(self) -> tuple[str, ...]:
        """Names of the elements, (E,)."""
        return self.metadata.elements

    @property
    def stoichiometry(self) -> np.ndarray:
        """Atom counts, (S, E)."""
        return self.metadata.stoichiometry.copy()

    @property
    def dt_range(self) -> tuple[float, float]:
        """Shortest and longest trained time step, years."""
        return self.metadata.dt_range

    @property
    def t_max(self) -> float:
        """Longest time over which training followed a tracer, years."""
        return self.metadata.t_max

    @property
    def parameter_ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest trained value of each parameter, in its unit."""
        return dict(self.metadata.parameter_ranges)

    @property
    def initial_conditions(self) -> dict[str, np.ndarray]:
        """Named initial abundances, (S,) each."""
        return {k: v.copy() for k, v in self.metadata.initial_conditions.items()}

    def initial_condition(self, name: str) -> np.ndarray:
        """Return the named initial abundances, `(S,)`.

        Raises:
            InputError: If none has this name; the message lists the names.
        """
        return self.metadata.initial_condition(name)

    @property
    def floor(self) -> float:
        """Smallest abundance relative to H nuclei."""
        return self.metadata.floor

    @property
    def conserve(self) -> bool:
        """Whether rollouts keep the element totals of their initial state."""
        return self.metadata.conserve

    @property
    def residual_decay_length(self) -> float:
        """e-folding latent path length of the initial reconstruction residual."""
        return self.metadata.residual_decay_length

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if not self.built:
            self.emulator.build()
            self.built: bool = True

    def call(self, inputs: Any) -> Any:
        initial, physical, years, *states = inputs
        latents, residual, _ = self.rollout(initial, physical, years)
        if states:
            latents = ops.take(latents, states[0], axis=1)
            residual = residual.take(states[0])
        totals_of = initial if self.conserve else None
        return self.abundances(latents, totals_of, residual)

    def rollout(
        self, initial: Any, physical: Any, years: Any
    ) -> tuple[Any, ReconstructionResidual, Any]:
        """Return latents of states 1 to T, the residual of 0 and the spread of cells.

        The latents have the shape `(batch, T, L)`, the spread `(batch, T)`.

        Args:
            initial: Abundances of state 0, `(batch, S)`.
            physical: Parameters, see `features`.
            years: Length of each interval, `(batch, T)`.
        """
        scaled = self.abundance_scaler(initial)
        encoded = self.emulator.encode(scaled)
        latents, spread = self.emulator.rollout(encoded, self.features(physical, years))
        if not self.residual_decay_length:
            return latents, ReconstructionResidual(), spread
        residual = scaled - self.emulator.decode(encoded)
        path = latent_path(encoded, latents)
        weight = residual_weight(path, self.residual_decay_length)
        return latents, ReconstructionResidual(residual, weight), spread

    def features(self, physical: Any, years: Any) -> Any:
        """Return the emulator's features of the intervals, `(batch, T, features)`.

        Args:
            physical: Parameters in their units, `(batch, T, P)`, or mean, first and
                last value of each interval, `(batch, T, 3, P)`.
            years: Length of each interval, `(batch, T)`.
        """
        scaled = self.parameter_scaler(physical)
        constant = len(scaled.shape) == 3
        mean, first, last = [scaled] * 3 if constant else ops.unstack(scaled, axis=2)
        if not self.emulator.use_timestep:
            return mean
        return timestep_features(mean, first, last, years, self.dt_range[0], xp=ops)

    def abundances(
        self,
        latents: Any,
        initial: Any = None,
        residual: ReconstructionResidual | None = None,
        columns: Any = None,
    ) -> Any:
        """Return the abundances of latents.

        Args:
            latents: `(..., L)`; of a rollout, `(batch, T, L)`.
            initial: Abundances `(batch, S)` whose element totals each state of the
                rollout receives; `None` for no conservation.
            residual: Reconstruction residual of state 0.
            columns: Columns of the requested species; `None` for all.

        Returns:
            Abundances, `(..., S or len(columns))`.
        """
        residual = residual or ReconstructionResidual()
        if initial is None:
            scaled = self._decode(latents, residual, columns)
            return self.abundance_scaler(scaled, reverse=True)
        # The weights of the conservation depend on all species.
        scaled = self._decode(latents, residual)
        abundances = self.abundance_scaler(scaled, reverse=True)
        totals = self.conservation.totals(initial)
        abundances = self.conservation(abundances, totals[:, None])
        return abundances if columns is None else ops.take(abundances, columns, axis=-1)

    def _decode(
        self, latents: Any, residual: ReconstructionResidual, columns: Any = None
    ) -> Any:
        """Return scaled abundances, clipped to the trained range with its margin."""
        scaled = self.emulator.decode(latents, columns) + residual.weighted(columns)
        low, high = self.decoded_range
        if columns is not None:
            low, high = low[columns], high[columns]
        return ops.clip(scaled, low, high)

    def physical_violation(self, abundances: Any, initial: Any = None) -> Any:
        """Return how unphysical the states of a rollout are, `(batch, T)`.

        Args:
            abundances: `(batch, T, S)`, or some of the species if `initial` is `None`.
            initial: Abundances `(batch, S)` whose element totals the states must have.

        Returns:
            The largest relative error of an element total (0 without `initial`), and
            infinity where an abundance is not finite or not positive.
        """
        good = ops.logical_and(ops.isfinite(abundances), abundances > 0)
        if initial is None:
            error = ops.zeros_like(abundances[..., 0])
        else:
            totals = self.conservation.totals(initial)[:, None]
            error = self.conservation.residual(abundances, totals)
        return ops.where(ops.all(good, axis=-1), error, float("inf"))

    def encode(self, abundances: Any) -> np.ndarray:
        """Return latents `(..., L)` of abundances `(..., S)`.

        Raises:
            InputError: For abundances that are masked, do not have the surrogate's
                species, or lie outside [0, 1].
        """
        return self.functions.encode(check_abundances(self.metadata, abundances))

    def decode(self, latents: Any, species: Any = None) -> np.ndarray:
        """Return abundances `(..., S or len(species))` of latents `(..., L)`.

        Raises:
            InputError: For another number of latents, an unknown species, or latents
                that are not finite or too large to decode.
        """
        latents = as_numbers("latents", latents)
        size = self.emulator.latents
        if latents.shape[-1:] != (size,):
            raise InputError(
                f"latents have shape {latents.shape}; the last axis must be {size}."
            )
        columns, mixing = choose_columns(self.species, species)
        decoded = self.functions.decode(latents, columns)
        bad = ~np.isfinite(decoded).all(-1)
        if bad.any():
            first = tuple(np.argwhere(bad)[0])
            raise InputError(
                f"latents of state {', '.join(map(str, first)) or 0} are "
                f"{arguments.shown(latents[first].tolist())} and decode to no finite "
                "abundances; give what `encode` returns."
            )
        return decoded if columns is None else (decoded @ mixing.T).astype("float32")

    def reconstruct(self, abundances: Any) -> np.ndarray:
        """Return `decode(encode(x))` of abundances `(..., S)`, of the same shape."""
        return self.functions.decode(self.encode(abundances))
