"""The surrogate: a trained emulator in physical units that knows its limits."""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from astrokeras.data.tracers.block import import_xarray
from astrokeras.layers.registration import register
from astrokeras.layers.trust_model import Trust
from astrokeras.models.batched_evolution import evolve
from astrokeras.models.emulator import Emulator
from astrokeras.models.input_checks import check_tracers
from astrokeras.models.log_abundances import PureFunction
from astrokeras.models.metadata import FORMAT, SurrogateMetadata
from astrokeras.models.named_quantities import NamedQuantities
from astrokeras.models.out_of_range import warn_of_inputs
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.requested_outputs import (
    RequestedOutputs,
    check_request,
    choose_columns,
    choose_states,
)
from astrokeras.models.trust_assessment import covered
from astrokeras.system import arguments, progress
from astrokeras.system.old_names import SURROGATE, rename_keys


@register
class Surrogate(NamedQuantities, PureFunction, PhysicalEmulator):
    """A trained emulator with its scales, names, units and training ranges.

    All arguments and results of its methods are in physical units. The model file
    holds everything that they need.

    Args:
        emulator: The trained `Emulator` (or its serialised configuration).
        species: Names in column order, `(S,)`.
        parameters: Names in column order, `(P,)`.
        units: Units of the parameters, `(P,)`.
        elements: Names of the elements, `(E,)`.
        stoichiometry: Atom counts, `(S, E)`.
        dt_range: Shortest and longest trained time step, years.
        t_max: Longest time over which training followed a tracer, years.
        parameter_ranges: Lowest and highest trained value of each parameter, in its
            unit.
        species_ranges: Lowest and highest trained abundance of each species, `(2, S)`.
        initial_conditions: Named initial abundances, `(S,)` each.
        floor: Smallest abundance relative to H nuclei.
        fixed: Quantities that were held fixed in the training data, as text.
        conserve: Whether every state of a rollout receives the element totals of its
            state 0, by a `Conservation` after the decoder.
        residual_decay_length: e-folding latent path length of the initial
            reconstruction residual (root mean square, in units of the latents'
            spread); 0 adds no residual.
        trust: The fitted `Trust` (or its serialised configuration), which provides
            error bars and expected errors; `None` if the surrogate is not calibrated.
        version: Version of the format.
        **kwargs: Base model arguments.

    Call arguments:
        inputs: `(initial, physical, years)` or `(initial, physical, years, states)`:
            abundances `(batch, S)`, parameters in their units `(batch, T, P)`, or
            `(batch, T, 3, P)` with mean, first and last value of each interval, the
            length of each in years `(batch, T)`, and the numbers `(K,)` of the states
            to decode, 0 for state 1.

    Returns abundances, `(batch, T or K, S)`.
    """

    def __init__(
        self,
        emulator: Emulator,
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
        given: dict[str, Any] = {
            "species": species,
            "parameters": parameters,
            "units": units,
            "elements": elements,
            "stoichiometry": stoichiometry,
            "dt_range": dt_range,
            "t_max": t_max,
            "parameter_ranges": parameter_ranges,
            "species_ranges": species_ranges,
            "initial_conditions": initial_conditions,
            "floor": floor,
            "fixed": fixed,
            "conserve": conserve,
            "residual_decay_length": residual_decay_length,
            "calibrated": trust is not None,
            "version": version,
        }
        metadata = SurrogateMetadata(**given)
        super().__init__(emulator, metadata, trust, **kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any], **kwargs: Any) -> Any:
        return super().from_config(rename_keys(config, SURROGATE), **kwargs)

    def get_config(self) -> dict[str, Any]:
        parts = {"emulator": self.emulator, "trust": self.trust}
        stored = {
            name: part and keras.saving.serialize_keras_object(part)
            for name, part in parts.items()
        }
        return super().get_config() | stored | self.metadata.to_config()

    def replace(self, **changes: Any) -> "Surrogate":
        """Return a copy that differs in some arguments of the constructor.

        Args:
            **changes: Arguments of the constructor, such as `trust`.
        """
        own = {"emulator": self.emulator, "trust": self.trust}
        other = Surrogate.from_config(self.get_config() | own | changes)
        other.build()
        other.parameter_scaler.set_weights(self.parameter_scaler.get_weights())
        return other

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
        return_expected_error: bool = False,
        return_reliable: bool = False,
        return_status: bool = False,
        return_cost: bool = False,
        fallback: Callable[..., Any] | None = None,
        on_error: str = "raise",
        output: str = "arrays",
        substep: bool = False,
    ) -> Any:
        """Evolve tracers.

        Arrays may be labelled or have units, which are respected, and must not be
        masked. Abundances and parameters may be given by name in any order: in a
        dictionary, DataFrame, `xarray.Dataset` or structured array, constants as single
        numbers; see `data.tracers.labelled_arrays.as_numbers`. The same holds for the
        return value of `fallback`.

        Args:
            initial: Abundances of state 0 relative to H nuclei, `(N, S)` or `(S,)`, or
                the name of one of the `initial_conditions`.
            physical: Parameters, `(N, T, P)` or `(T, P)`, in `units`; entry t drives
                state t to state t + 1. If they vary within the intervals,
                `(N, T, 3, P)`: mean, first and last value of each (arithmetic mean for
                densities, geometric mean for the others). A surrogate of one fixed time
                step uses the mean alone. If P lacks `NH2` and `NCO`, N(H2) = 0.5 N(H)
                and N(CO) = 1e-5 N(H) are assumed, with a warning where this matters.
            time: Years of the states, `(N, T+1)` or `(T+1,)`, or one time step;
                intervals may differ within `dt_range`, see `substep`.
            species: Names of the requested species, all by default; `$H2O` is the total
                ice `#H2O` + `@H2O`. Only the requested species are decoded, unless
                element totals are conserved, which takes all species.
            state_indices: Numbers of the requested states, 0 to T, or negative ones.
            batch_size: Tracers evolved at once.
            strict: Whether leaving the training ranges is an error and not a warning.
            conserve: Whether every state receives the element totals of its tracer's
                state 0; by default the surrogate's own setting.
            return_sigma: Whether to return error bars: 90 % of errors
                |log10 p - log10 x| lie within 1.645 sigma, in dex, of the shape of the
                abundances.
            return_expected_error: Whether to return the expected error of each state,
                `(N, T+1 or len(state_indices))`, mean over species, dex; 0 for state 0.
            return_reliable: Whether to return which states are reliable, bool of the
                same shape: no bit of the status speaks against them. Other states
                should be solved instead.
            return_status: Whether to return the status, uint8 of the same shape: a sum
                of bits, see `models.status.Status`. 0 is fine; 1 a parameter outside
                the trained range, 2 the time, 4 unlike training, 8 an expected error
                above the threshold, 16 unphysical (element totals not restored,
                abundances not finite or not positive), 32 invalid input, 64 solved by
                the fallback. Without calibration it covers ranges and physics alone.
            return_cost: Whether to return the cost of `fallback`, a `FallbackCost`,
                in place of a line on stderr.
            fallback: Your solver, `fallback(initial, physical, time)` with `(n, S)`,
                `(n, T, ...)` and years `(n, T+1)` of the tracers that have a requested
                state that is not reliable. It returns abundances `(n, T+1, S)`, which
                replace the prediction, with sigma and expected error 0. A line on
                stderr says how many went back, and the time saved.
            on_error: `"raise"`, or `"flag"`: tracers with invalid values or intervals
                are returned as NaN with their status; the others are evolved.
            output: `"arrays"`, or `"xarray"` for a dataset that also has the status
                and, with calibration, expected errors and reliability.
            substep: Whether intervals longer than `dt_range` are split into equal ones
                within it, as few as possible, in which parameters are held (or change
                evenly in the logarithm, if they vary). The states at `time` are
                returned, with what every substep adds to error and status.

        Returns:
            Abundances, `(N, T+1 or len(state_indices), S or len(species))`, float32;
            with any `return_*` a tuple with what they request, in their order; or an
            `xarray.Dataset`, in a tuple with the cost if `return_cost`.

        Raises:
            InputError: For shapes that disagree, values that are masked, not finite or
                not physical, labels and units that do not match, unknown species, or
                time steps outside `dt_range`; for error bars, expected errors or
                reliability of a surrogate that is not calibrated.
        """
        batch_size = arguments.whole("batch_size", batch_size, low=1)
        flag = arguments.choice("on_error", on_error, "raise", "flag") == "flag"
        kind = arguments.choice("output", output, "arrays", "xarray")
        if labelled := kind == "xarray":
            import_xarray()
        conserve = self.conserve if conserve is None else conserve
        more = {
            "return_sigma": return_sigma,
            "return_expected_error": return_expected_error,
            "return_reliable": return_reliable,
            "return_status": return_status,
        }
        arguments.flags(strict=strict, substep=substep, conserve=conserve)
        arguments.flags(return_cost=return_cost, **more)
        asked = return_sigma or return_expected_error or return_reliable
        asked |= fallback is not None or (labelled and self.metadata.calibrated)
        check_request(self.metadata.calibrated, asked, fallback, return_cost)
        inputs = check_tracers(self.metadata, initial, physical, time, flag, substep)
        requested = RequestedOutputs(
            *choose_columns(self.species, species),
            choose_states(state_indices, inputs.time.shape[1] - 1),
            conserve,
            sigma=return_sigma,
            reliability=asked or (return_status and self.metadata.calibrated),
        )
        warn_of_inputs(self.metadata, inputs, strict, stacklevel=2)
        evolved, cost = evolve(self, inputs, requested, batch_size, fallback, substep)
        if cost is not None:
            if cost.returned and not return_cost:
                progress.report(str(cost))
        elif not (return_reliable or return_status):
            evolved.warn_unphysical(stacklevel=2)
            if self.metadata.calibrated:
                evolved.warn_unreliable(stacklevel=2)
        if labelled:
            names = self.species if species is None else np.atleast_1d(species).tolist()
            dataset = evolved.to_dataset(self.metadata, inputs.time, requested, names)
            return (dataset, cost) if return_cost else dataset
        chosen = (True, *more.values(), return_cost)
        outputs = tuple(compress((*evolved.outputs(), cost), chosen))
        return outputs if len(outputs) > 1 else outputs[0]

    def covers(
        self, initial: Any, physical: Any, time: Any, substep: bool = False
    ) -> np.ndarray:
        """Return which states can be reliable, before any rollout.

        A state is covered if state 0, the parameters up to the state and its time lie
        inside the training ranges and, with calibration, the parameters are not too far
        from those of training. Tracers with invalid values are not covered.

        Returns:
            Bool, `(N, T)`, one for each state after state 0.

        Raises:
            InputError: For shapes, masks and labels that `emulate` refuses too.
        """
        arguments.flags(substep=substep)
        inputs = check_tracers(self.metadata, initial, physical, time, True, substep)
        return covered(self, inputs)

    def __repr__(self) -> str:
        low, high = self.dt_range
        parts = (
            f"{len(self.species)} species",
            *self.parameter_names,
            f"steps of {low:.4g} to {high:.4g} yr",
            f"initial conditions {', '.join(self.initial_conditions)}",
        )
        return f"<Surrogate: {', '.join(parts)}>"
