"""The surrogate: from physical units to physical units."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from astrokeras.data.tracers.abundance_scaling import (
    MARGIN_DEX,
    RANGE_DEX,
    decades,
    scale_abundances,
)
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.timestep_features import timestep_features
from astrokeras.errors import InputError, OutsideBoxWarning, UnphysicalWarning
from astrokeras.layers.conservation import Conservation
from astrokeras.layers.precision import OWN_DTYPE
from astrokeras.layers.registration import register
from astrokeras.layers.root import root
from astrokeras.layers.scalers import AbundanceScaler, AffineScaler
from astrokeras.layers.trust_model import Trust
from astrokeras.models import input_checks
from astrokeras.models.batched_evolution import (
    UNPHYSICAL,
    Given,
    Wanted,
    evolve,
    solve_doubtful,
)
from astrokeras.models.compiled_functions import Programs
from astrokeras.models.emulator import Emulator
from astrokeras.models.ensemble import Ensemble
from astrokeras.models.metadata import FORMAT
from astrokeras.models.surrogate_facts import Facts
from astrokeras.system import arguments
from astrokeras.system.old_names import SURROGATE, rename_keys

ROWS = 8192  # states encoded or decoded at once


@dataclass(frozen=True)
class ReconstructionResidual:
    """What rollouts keep of their state 0 beside its latents.

    No decoder returns just the state that was encoded. What it missed of state 0 is
    added to later states, as long as they are close: a code that decodes and encodes at
    every step then loses nothing each time, and the error does not grow with the number
    of steps.

    Attributes:
        missed: Scaled state 0 less what the decoder makes of it, `(batch, S)`; `None`
            if nothing is kept.
        fade: The share of it that is left in each state, `(batch, T)`.
    """

    missed: Any = None
    fade: Any = None

    def take(self, index: Any) -> ReconstructionResidual:
        """Return what is kept in some of the states."""
        if self.missed is None:
            return self
        return ReconstructionResidual(self.missed, ops.take(self.fade, index, axis=1))

    def share(self, outputs: Any = None) -> Any:
        """Return what is added to each state, `(batch, T, S or len(outputs))`, or 0."""
        if self.missed is None:
            return 0.0
        missed = self.missed
        if outputs is not None:
            missed = ops.take(missed, outputs, axis=-1)
        return missed[:, None] * self.fade[..., None]


@register
class Surrogate(Facts, keras.Model):
    """A trained emulator with its scales, names, units and limits.

    Everything a caller sees is in physical units; the model file needs nothing else.

    Args:
        emulator: The trained `Emulator` or `Ensemble` (or its serialised
            configuration).
        species: Names in column order, `(S,)`.
        parameters: Names in column order, `(P,)`.
        units: Units of the parameters, `(P,)`.
        elements: Names of the elements, `(E,)`.
        stoichiometry: Atom counts, `(S, E)`.
        dt_range: Shortest and longest interval between states that was trained, years.
        t_max: Longest time that training followed a tracer, years.
        parameter_ranges: Lowest and highest trained value of each parameter, in its
            unit.
        species_ranges: Lowest and highest trained abundance of each species, `(2, S)`.
        initial_conditions: Named initial abundances, `(S,)` each.
        floor: Smallest abundance relative to H nuclei.
        fixed: What was held fixed in the training data, for the record.
        conserve: Whether every state of a rollout is given the element totals of its
            state 0, by a `Conservation` after the decoder.
        residual_decay_length: Length of the path of the latents (root mean square, in
            units of their spread) over which the reconstruction residual of state 0
            fades to 1 / e; 0 adds none.
        trust: The fitted `Trust`, which knows error bars and what to distrust (or its
            serialised configuration); `None` for a surrogate that is not calibrated.
        version: Version of this format.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: `(initial, physical, years)` or `(initial, physical, years, index)`:
            abundances `(batch, S)`, parameters in their units `(batch, T, P)`, or
            `(batch, T, 3, P)` with mean, first and last value of each interval, the
            length of each in years `(batch, T)`, and `index` `(K,)`, the states to
            decode, 0 for state 1.

    Returns abundances, `(batch, T or K, S)`.
    """

    def __init__(
        self,
        emulator: Emulator | Ensemble,
        species: Sequence[str],
        parameters: Sequence[str],
        units: Sequence[str],
        elements: Sequence[str],
        stoichiometry: ArrayLike,
        dt_range: ArrayLike,
        t_max: float,
        parameter_ranges: Mapping[str, Sequence[float]],
        species_ranges: ArrayLike,
        initial_conditions: Mapping[str, ArrayLike],
        floor: float = 1e-20,
        fixed: Sequence[str] = (),
        conserve: bool = True,
        residual_decay_length: float = 0.0,
        trust: Trust | None = None,
        version: int = FORMAT,
        **kwargs: Any,
    ):
        super().__init__(**OWN_DTYPE | kwargs)
        if isinstance(emulator, dict):
            emulator = keras.saving.deserialize_keras_object(emulator)
        if isinstance(trust, dict):
            trust = keras.saving.deserialize_keras_object(trust)
        self.emulator = emulator
        self.trust = trust
        species = arguments.texts("species", species, least=1)
        parameters = arguments.texts("parameters", parameters, least=1)
        units = arguments.texts("units", units)
        ranged = set(parameter_ranges) == set(parameters)
        if len(units) != len(parameters) or not ranged:
            raise InputError(
                f"units are {arguments.shown(units)}, parameter_ranges holds "
                f"{arguments.shown(list(parameter_ranges))}; give one of each for the "
                f"parameters {', '.join(parameters)}."
            )
        arguments.flag("conserve", conserve)
        stoichiometry = as_numbers(
            "stoichiometry", stoichiometry, "float64", columns=elements
        )

        def abundances(name: str, values: Any) -> Any:
            known = {"columns": species, "units": [""]}
            return as_numbers(name, values, "float64", **known).tolist()

        self._facts = {
            "species": list(species),
            "parameters": list(parameters),
            "units": list(units),
            "elements": list(elements),
            "stoichiometry": stoichiometry.tolist(),
            "dt_range": np.asarray(dt_range, "float64").tolist(),
            "t_max": arguments.number("t_max", t_max, low=1e-300),
            "parameter_ranges": {
                name: [float(v) for v in bounds]
                for name, bounds in parameter_ranges.items()
            },
            "species_ranges": abundances("species_ranges", species_ranges),
            "initial_conditions": {
                k: abundances(f"initial_conditions[{k!r}]", v)
                for k, v in initial_conditions.items()
            },
            "floor": arguments.number("floor", floor),
            "fixed": list(fixed),
            "conserve": conserve,
            "residual_decay_length": arguments.number(
                "residual_decay_length", residual_decay_length, low=0
            ),
            "version": version,
        }
        own = {"dtype": self.variable_dtype}
        self.abundance_scaler = AbundanceScaler(floor, name="abundance_scaler", **own)
        self.parameter_scaler = AffineScaler(
            len(self._facts["parameters"]), log=True, name="parameter_scaler", **own
        )
        low, high = self.limits.species_ranges
        below = 10.0 ** -np.where(low > floor, RANGE_DEX, MARGIN_DEX)
        edges = np.stack([low * below, high * 10.0**RANGE_DEX])
        bounds = scale_abundances(edges, floor, margin=MARGIN_DEX)
        self.decoded_range = np.minimum(bounds, 1.0).astype("float32")
        self.conservation = Conservation(stoichiometry, name="conservation", **own)
        self.programs = Programs(self)

    def build(self, input_shape: Any = None) -> None:
        """Create all weights; the shapes follow from the configuration alone."""
        if not self.built:
            self.emulator.build()
            self.built: bool = True

    def replace(self, **parts: Any) -> Surrogate:
        """Return a surrogate that has other parts and is else the same.

        Args:
            **parts: Arguments of the constructor, such as `trust`.
        """
        own = {"emulator": self.emulator, "trust": self.trust}
        other = Surrogate.from_config(self.get_config() | own | parts)
        other.build()
        other.parameter_scaler.set_weights(self.parameter_scaler.get_weights())
        return other

    def call(self, inputs: Any) -> Any:
        initial, physical, years, *index = inputs
        latents, kept = self.roll(initial, physical, years)
        if index:
            latents, kept = ops.take(latents, index[0], axis=1), kept.take(index[0])
        return self.abundances(latents, initial if self.conserve else None, kept)

    def roll(
        self, initial: Any, physical: Any, years: Any
    ) -> tuple[Any, ReconstructionResidual]:
        """Return latents of states 1 to T, `(batch, T, L)`, and what is kept of 0.

        Inputs are those of `call`.
        """
        scaled = self.abundance_scaler(initial)
        encoded = self.emulator.encode(scaled)
        latents = self.emulator.rollout(encoded, self.features(physical, years))
        if not self.residual_decay_length:
            return latents, ReconstructionResidual()
        moves = ops.diff(ops.concatenate([encoded[:, None], latents], axis=1), axis=1)
        path = ops.cumsum(root(ops.mean(ops.square(moves), axis=-1)), axis=1)
        missed = scaled - self.emulator.decode(encoded)
        return latents, ReconstructionResidual(
            missed, ops.exp(-path / self.residual_decay_length)
        )

    def features(self, physical: Any, years: Any) -> Any:
        """Return what the emulator is told of intervals, `(batch, T, features)`.

        Args:
            physical: Parameters in their units, `(batch, T, P)`, or mean, first and
                last of each interval, `(batch, T, 3, P)`.
            years: Length of each interval, `(batch, T)`.
        """
        scaled = self.parameter_scaler(physical)
        held = len(scaled.shape) == 3
        mean, first, last = [scaled] * 3 if held else ops.unstack(scaled, axis=2)
        if not self.emulator.use_timestep:
            return mean
        return timestep_features(mean, first, last, years, self.dt_range[0], xp=ops)

    def abundances(
        self,
        latents: Any,
        initial: Any = None,
        kept: ReconstructionResidual | None = None,
        outputs: Any = None,
    ) -> Any:
        """Return abundances of latents.

        Args:
            latents: `(..., L)`; of a rollout, `(batch, T, L)`.
            initial: Abundances `(batch, S)` whose element totals each state of a
                rollout is given; `None` leaves what the decoder says.
            kept: What a rollout keeps of its state 0.
            outputs: Columns of the species wanted, all by default.

        Returns:
            Abundances, `(..., S or len(outputs))`.
        """
        kept = kept or ReconstructionResidual()
        if initial is None:
            scaled = self._decode(latents, kept, outputs)
            return self.abundance_scaler(scaled, reverse=True)
        # Who carries the atoms is known once all species are.
        scaled = self._decode(latents, kept)
        abundances = self.abundance_scaler(scaled, reverse=True)
        totals = self.conservation.totals(initial)
        abundances = self.conservation(abundances, totals[:, None])
        return abundances if outputs is None else ops.take(abundances, outputs, axis=-1)

    def _decode(
        self, latents: Any, kept: ReconstructionResidual, outputs: Any = None
    ) -> Any:
        """Return scaled abundances, within a margin of the trained range."""
        scaled = self.emulator.decode(latents, outputs) + kept.share(outputs)
        low, high = self.decoded_range
        if outputs is not None:
            low, high = low[outputs], high[outputs]
        return ops.clip(scaled, low, high)

    def physical_violation(self, abundances: Any, initial: Any = None) -> Any:
        """Return how unphysical states of a rollout are, `(batch, T)`.

        Args:
            abundances: `(batch, T, S)`, or some of the species if `initial` is `None`.
            initial: Abundances `(batch, S)` whose element totals they should have.

        Returns:
            The largest relative error of a total, 0 where none is given, and infinite
            where an abundance is not finite or not positive.
        """
        good = ops.logical_and(ops.isfinite(abundances), abundances > 0)
        if initial is None:
            off = ops.zeros_like(abundances[..., 0])
        else:
            totals = self.conservation.totals(initial)[:, None]
            off = self.conservation.residual(abundances, totals)
        return ops.where(ops.all(good, axis=-1), off, float("inf"))

    def spread(self, latents: Any) -> Any:
        """Return how far an ensemble's members are apart, `(..., L)` to `(...)`, dex.

        The standard deviation of the logarithms, mean over species; 0 for one emulator.
        """
        if not isinstance(self.emulator, Ensemble):
            return ops.zeros_like(latents[..., 0])
        scaled = ops.clip(self.emulator.decode_members(latents), *self.decoded_range)
        deviation = root(ops.var(scaled, axis=0))  # zero where all are at the floor
        return ops.mean(deviation, axis=-1) * decades(self.floor)

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> Any:
        return super().from_config(rename_keys(config, SURROGATE), **kwargs)

    def get_config(self) -> dict[str, Any]:
        parts = {"emulator": self.emulator, "trust": self.trust}
        stored = {
            name: part and keras.saving.serialize_keras_object(part)
            for name, part in parts.items()
        }
        return super().get_config() | stored | dict(self._facts)

    def emulate(
        self,
        initial: Any,
        physical: Any,
        time: Any,
        species: Sequence[str] | None = None,
        state_indices: Sequence[int] | None = None,
        batch_size: int = 256,
        strict: bool = False,
        conserve: bool | None = None,
        return_sigma: bool = False,
        return_trust: bool = False,
        fallback: Callable[..., Any] | None = None,
        return_status: bool = False,
        on_error: str = "raise",
    ) -> Any:
        """Evolve tracers.

        Arrays may be labelled or have units, which count, and must not be masked: see
        `data.tracers.labelled_arrays.as_numbers`. This holds for what `fallback`
        returns too.

        Args:
            initial: Abundances of state 0 relative to H nuclei, `(N, S)` or `(S,)`, or
                the name of one of `starts`.
            physical: Parameters, `(N, T, P)` or `(T, P)`, in `units`; entry t drives
                state t to state t + 1. If they move within the intervals,
                `(N, T, 3, P)`: mean, first and last value of each, the mean linear in
                densities and of the logarithm in all others. A surrogate that takes
                one interval alone sees the mean.
            time: Years of the states, `(N, T+1)` or `(T+1,)`, or one interval. Each
                tracer has its own, and each interval may have another length within
                `step`.
            species: Names of the species wanted, all by default; `$H2O` is the total
                ice `#H2O` + `@H2O`. Only what is asked for is decoded, unless element
                totals are conserved, which takes all of them.
            state_indices: Numbers of the states wanted, 0 to T or negative from the
                end.
            batch_size: Tracers evolved at once.
            strict: Whether leaving the training box is an error and not a warning.
            conserve: Whether every state is given the element totals of its tracer's
                state 0; by default what the surrogate was made with.
            return_sigma: Whether error bars follow: 90 % of errors |log10 p - log10 x|
                lie within 1.645 sigma, in dex, of the shape of the abundances.
            return_trust: Whether the trust scores follow, `(N, T+1 or len(times))`:
                1 to 0, states below 0.5 should be solved. See `layers.trust.Trust`.
                What cannot be has 0: abundances that are not finite or not positive,
                element totals that are off by more than 1e-3 where they are conserved.
                Who does not ask for it is warned of such states.
            fallback: Your solver, `fallback(initial, physical, time)` with `(n, S)`,
                `(n, T, ...)` and years `(n, T+1)` of the tracers that hold a wanted
                state of less trust than 0.5; it returns abundances `(n, T+1, S)`,
                which take the place of those predicted, with sigma 0 and trust 1.
            return_status: Whether the status follows, `(N, T+1 or len(times))`, uint8:
                the sum of what speaks against a state, see `models.status.Status`; 0 is
                fine. 1 a parameter outside the trained range, 2 the time, 4 unlike
                training, 8 a large expected error, 16 element totals not restored, 32
                bad input, 64 solved by the fallback. Without calibration only the
                ranges are known.
            on_error: "raise", or "flag": tracers whose values or intervals are refused
                come back as NaN, with trust 0 and their status; the others are evolved.

        Returns:
            Abundances, `(N, T+1 or len(times), S or len(species))`, float32; with
            `return_sigma`, `return_trust` and `return_status` a tuple of what was asked
            for, in this order.

        Raises:
            InputError: For shapes that disagree, values that are masked, not finite or
                not physical, labels and units that do not match, unknown species, or
                intervals that were not trained; for
                error bars or trust of a surrogate that is not calibrated.
        """
        batch_size = arguments.whole("batch_size", batch_size, low=1)
        flagged = arguments.choice("on_error", on_error, "raise", "flag") == "flag"
        conserve = self.conserve if conserve is None else conserve
        arguments.flags(
            strict=strict,
            conserve=conserve,
            return_sigma=return_sigma,
            return_trust=return_trust,
            return_status=return_status,
        )
        if fallback is not None:
            arguments.function("fallback", fallback)
        asked = return_sigma or return_trust or fallback is not None
        if asked and self.trust is None:
            raise InputError(
                "this surrogate is not calibrated: it knows neither error bars nor "
                "trust; train it with a validation split, or ask for neither."
            )
        if isinstance(initial, str):
            initial = self.initial_condition(initial)
        given = Given(
            *input_checks.check_tracers(self.limits, initial, physical, time, flagged)
        )
        steps = given.time.shape[1] - 1
        wanted = Wanted(
            *input_checks.choose_columns(self.species, species),
            None
            if state_indices is None
            else input_checks.choose_states(state_indices, steps),
            conserve,
            return_sigma,
            asked or (return_status and self.trust is not None),
            return_status,
        )
        sound = given.rows(given.refused == 0)
        outside = input_checks.describe_outside(self.limits, *sound)
        if outside and strict:
            raise InputError(f"{outside[0]}; stay inside or pass strict=False.")
        for line in outside:
            warnings.warn(line, OutsideBoxWarning, stacklevel=2)
        evolved = evolve(self, given, wanted, batch_size)
        if fallback is not None:
            solve_doubtful(evolved, given, wanted, fallback, self.limits.species)
        elif evolved.unphysical.any() and not (return_trust or return_status):
            count = int(evolved.unphysical.sum())
            line = (
                f"{count} of {evolved.trust.size} states cannot be: not "
                "finite, not positive, or element totals are off by more than "
                f"{UNPHYSICAL:g}; they have trust 0, `return_trust` tells which."
            )
            warnings.warn(line, UnphysicalWarning, stacklevel=2)
        extra = [
            values
            for wish, values in (
                (return_sigma, evolved.sigma),
                (return_trust, evolved.trust),
                (return_status, evolved.status),
            )
            if wish
        ]
        return (evolved.abundances, *extra) if extra else evolved.abundances

    def encode(self, abundances: Any) -> np.ndarray:
        """Return latents `(..., L)` of abundances `(..., S)`.

        Raises:
            InputError: For abundances that are masked, do not have the surrogate's
                species, or lie outside [0, 1].
        """
        abundances = input_checks.check_abundances(self.limits, abundances)
        return _by_rows(self.programs.encode, abundances, self.emulator.latents)

    def decode(self, latents: Any, species: Sequence[str] | None = None) -> np.ndarray:
        """Return abundances `(..., S or len(species))` of latents `(..., L)`.

        Raises:
            InputError: For another number of latents, an unknown species, or latents
                that are not finite or so far out that no abundances are.
        """
        latents = as_numbers("latents", latents)
        size = self.emulator.latents
        if latents.shape[-1:] != (size,):
            raise InputError(
                f"latents have shape {latents.shape}; the last axis must be {size}."
            )
        columns, mixing = input_checks.choose_columns(self.species, species)
        decoded = self._decode_rows(latents, columns)
        bad = ~np.isfinite(decoded).all(-1)
        if bad.any():
            first = tuple(np.argwhere(bad)[0])
            raise InputError(
                f"latents of state {', '.join(map(str, first)) or 0} are "
                f"{arguments.shown(latents[first].tolist())}; no abundances belong to "
                "them, give what `encode` returns."
            )
        return decoded if columns is None else (decoded @ mixing.T).astype("float32")

    def reconstruct(self, abundances: Any) -> np.ndarray:
        """Return `decode(encode(x))` of abundances `(..., S)`, of the same shape."""
        return self._decode_rows(self.encode(abundances))

    def _decode_rows(self, latents: np.ndarray, columns: Any = None) -> np.ndarray:
        width = len(self.species if columns is None else columns)
        return _by_rows(lambda z: self.programs.decode(z, columns), latents, width)


def _by_rows(
    function: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, width: int
) -> np.ndarray:
    """Apply a function of rows to arrays of any rank, in batches of one size."""
    rows = inputs.reshape(math.prod(inputs.shape[:-1]), inputs.shape[-1])
    pieces = [
        function(block) for _, (block,) in input_checks.equal_batches((rows,), ROWS)
    ]
    pieces.append(np.zeros((0, width), "float32"))
    result = np.concatenate(pieces)[: len(rows)]
    return result.reshape(*inputs.shape[:-1], width)
