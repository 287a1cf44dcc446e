"""Log abundances: a surrogate as a pure function of tensors, with gradients."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from astrokeras.chemistry.assumed_parameters import COLUMNS, find_fillings
from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.errors import InputError
from astrokeras.layers.trust_model import NORMAL
from astrokeras.models.compiled_functions import own_precision
from astrokeras.models.input_checks import check_abundances
from astrokeras.models.named_quantities import choose_initial, match_parameters
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.requested_outputs import (
    check_request,
    choose_columns,
    choose_states,
)
from astrokeras.system import arguments
from astrokeras.trajectories.intervals import times_between


class PureFunction:
    """The method `log_abundances_function` of a `Surrogate`."""

    def log_abundances_function(
        self,
        species: Sequence[str] | None = None,
        time: Any = None,
        initial: Any = None,
        state_indices: Sequence[int] | None = None,
        conserve: bool | None = None,
        return_sigma: bool = False,
    ) -> "LogAbundances":
        """Return a pure function of tensors, from parameters to log10 abundances.

        It has the numbers of `emulate` and `static`, and the backend differentiates and
        compiles it: `jax.grad`, `jax.vmap` and `jax.jit`, `torch.autograd`, or
        `tf.GradientTape` and `tf.function`. It holds a copy of the weights, of which it
        takes no gradient. See `LogAbundances` for its arguments and for where gradients
        are zero.

        Args:
            species: Names of the requested species, all by default; `$H2O` is the total
                ice `#H2O` + `@H2O`.
            time: Years after state 0, one or increasing ones, `(K,)`: the function
                takes parameters that are held, as `static` does, and returns the states
                at these times. `None` for a function of parameters of each interval.
            initial: Abundances of state 0 relative to H nuclei, `(N, S)` or `(S,)`, or
                the name of one of the `initial_conditions`: by default
                "initial_abundances", otherwise the first of them.
            state_indices: Numbers of the requested states, 0 to T, or negative ones;
                not with `time`.
            conserve: Whether every state receives the element totals of its tracer's
                state 0; by default the surrogate's own setting.
            return_sigma: Whether the function also returns error bars, see `emulate`.

        Raises:
            InputError: For unknown species, impossible abundances, a time that no
                trained intervals add up to, and error bars of a surrogate that is not
                calibrated.
        """
        assert isinstance(self, PhysicalEmulator)
        return LogAbundances(
            self, species, time, initial, state_indices, conserve, return_sigma
        )


class LogAbundances:
    """A surrogate as a pure function of tensors, with gradients.

    `Surrogate.log_abundances_function` returns it, and documents the arguments of the
    constructor. Calls convert nothing to NumPy, change no state, and check names and
    shapes but no values: they give no warning outside the training ranges, where
    `Surrogate.covers` says no.

    The gradient is that of the returned numbers. It is exactly zero where they do not
    change: with respect to initial abundances below the floor or above 1; for a species
    whose prediction is clipped, half a decade below the floor or 0.2 dex beyond its
    trained range; where the cell's bounds clip latents; in features of the parameters
    that are constant far outside the usual ranges, such as extinctions above 100 mag.
    Error bars have kinks where the nearest training state changes, and are constant
    where the expected error is the smallest or largest of the calibration; TensorFlow
    differentiates them in a `tf.function`, but not with `jit_compile=True`.

    Arguments and results are float32: differentiate with respect to logarithms of
    densities and rates.

    Args:
        surrogate: The `Surrogate`; the others are those of its method.

    Call arguments:
        physical: Parameters in their units, in the order of `parameter_names`, or a
            dictionary of them by name. With `time`: `(N, P)` or `(P,)`. Without:
            `(N, T, P)`, `(T, P)`, mean, first and last value of each interval `(N, T,
            3, P)`, or `(P,)`. In a dictionary the arrays lack the axis P and are
            broadcast; `dustTemp = gasTemp`, `zeta = 1` and, as by `emulate`, the
            columns `NH2` and `NCO` are assumed if they are not given.
        years: Length of the intervals, years, `(N, T)`, `(T,)` or a number; not with
            `time`.
        initial: Abundances of state 0, `(N, S)` or `(S,)`, in place of those of the
            function.

    Returns log10 abundances, `(N, K, species)`, without the axis N if no argument has
    it; K is the number of requested states, all T + 1 by default. With `return_sigma`
    a tuple with the error bars, dex, of the same shape.
    """

    def __init__(
        self,
        surrogate: PhysicalEmulator,
        species: Sequence[str] | None = None,
        time: Any = None,
        initial: Any = None,
        state_indices: Sequence[int] | None = None,
        conserve: bool | None = None,
        return_sigma: bool = False,
    ):
        self.surrogate = surrogate
        metadata = surrogate.metadata
        if conserve is None:
            conserve = metadata.conserve
        arguments.flags(conserve=conserve, return_sigma=return_sigma)
        check_request(metadata.calibrated, return_sigma, None, False)
        self.conserve, self.return_sigma = conserve, return_sigma
        self.columns, self.mixing = choose_columns(metadata.species, species)
        names = metadata.species if species is None else np.atleast_1d(species).tolist()
        self.species = tuple(names)
        self.initial = check_abundances(metadata, choose_initial(metadata, initial))
        self.state_indices: Any = state_indices
        self.years: Any = None
        if time is not None:
            if state_indices is not None:
                raise InputError("time and state_indices are both given; give one.")
            years, self.state_indices = times_between(time, metadata.dt_range)
            self.years = np.diff(years).astype("float32")
        # No weight can be read while a compiled function runs.
        with surrogate.functions.lock:
            self._weights = [
                (weight, ops.copy(ops.stop_gradient(ops.convert_to_tensor(weight))))
                for weight in surrogate.variables
            ]

    def __call__(self, physical: Any, years: Any = None, initial: Any = None) -> Any:
        physical = self._parameters(physical)
        if (years is None) == (self.years is None):
            missing = "is needed, since the function was made without `time`"
            given = "was given when the function was made, as `time`"
            raise InputError(f"years: {missing if years is None else given}.")
        years = _tensor(self.years if years is None else years)
        initial = _tensor(self.initial if initial is None else initial)
        tensors, tracers = self._broadcast(physical, years, initial)
        mapping = keras.StatelessScope(state_mapping=self._weights)
        with own_precision(self.surrogate), mapping:
            outputs = self._evolve(*tensors)
        if not tracers:
            outputs = tuple(values[0] for values in outputs)
        return outputs if self.return_sigma else outputs[0]

    def __repr__(self) -> str:
        names = ", ".join(self.species[:3]) + ", ..." * (len(self.species) > 3)
        return f"<LogAbundances: {names} of {self.surrogate!r}>"

    def _parameters(self, physical: Any) -> Any:
        """Return all parameters, `(..., P)`, those that are assumed among them."""
        metadata = self.surrogate.metadata
        names = metadata.parameters
        if not isinstance(physical, Mapping):
            physical = _tensor(physical)
            width = physical.shape[-1] if physical.shape else 0
            if width == len(names):
                return self._held(physical)
            given = [name for name in names if name not in COLUMNS]
            if width != len(given) or "Av" not in given:
                raise InputError(
                    f"physical has shape {tuple(physical.shape)}; the last axis must "
                    f"hold {', '.join(names)}."
                )
            parts = ops.unstack(physical, len(given), axis=-1)
            physical = dict(zip(given, parts, strict=True))
        known = match_parameters(metadata, physical, "the function")
        values = [_tensor(value) for value in known.values()]
        for filling in find_fillings(list(known), names, {}):
            source = 1.0 if filling.source is None else values[filling.source]
            known[filling.name] = None
            values.append(_tensor(filling.factor * source))
        shape = _common_shape(*(value.shape for value in values))
        by_name = dict(zip(known, values, strict=True))
        parts = [ops.broadcast_to(by_name[name], shape) for name in names]
        return self._held(ops.stack(parts, axis=-1))

    def _held(self, physical: Any) -> Any:
        """Return parameters with an axis of intervals."""
        rank = len(physical.shape)
        if self.years is not None and rank > 2:
            raise InputError(
                f"physical has shape {tuple(physical.shape)}; with `time` parameters "
                "are held: give (N, P) or (P,)."
            )
        held = self.years is not None or rank == 1
        return physical[..., None, :] if held else physical

    def _broadcast(self, physical: Any, years: Any, initial: Any) -> tuple[Any, int]:
        """Return `(N, S)`, `(N, T, ...)` and `(N, T)`, and N, 0 if there is no axis."""
        width = len(self.surrogate.metadata.species)
        ranks = len(physical.shape), len(years.shape), len(initial.shape)
        if ranks[0] > 4 or ranks[1] > 2 or initial.shape[-1:] != (width,):
            raise InputError(
                f"physical, years and initial have shapes {tuple(physical.shape)}, "
                f"{tuple(years.shape)} and {tuple(initial.shape)}; give (N, T, P), "
                f"(N, T) and (N, {width})."
            )
        if ranks[0] == 2:
            physical = physical[None]
        steps = _common_shape(physical.shape[1:2], years.shape[-1:])
        count = _common_shape(
            physical.shape[:1], years.shape[:-1], tuple(initial.shape[:-1])
        )
        tensors = (
            ops.broadcast_to(initial, (*count, width)),
            ops.broadcast_to(physical, (*count, *steps, *physical.shape[2:])),
            ops.broadcast_to(years, (*count, *steps)),
        )
        tracers = ranks[0] > 2 or ranks[1] > 1 or len(initial.shape) > 1
        return tensors, count[0] if tracers else 0

    def _evolve(self, initial: Any, physical: Any, years: Any) -> tuple[Any, ...]:
        """Return log10 abundances and, if requested, error bars, `(N, K, species)`."""
        model, steps = self.surrogate, years.shape[1]
        # As `input_checks.raise_to_floor` does.
        least = model.floor * 10.0 ** (-MARGIN_DEX - 0.01)
        raised = ops.where(initial < least, model.floor, initial)
        initial = ops.minimum(raised, 1.0)
        latents, residual, spread = model.rollout(initial, physical, years)
        states = choose_states(self.state_indices, steps)
        if states is None:
            states = np.arange(steps + 1)
        later = states[states > 0] - 1
        # For state 0 alone, state 1 is decoded too: no axis may be empty.
        later = later if later.size else np.zeros(1, "int64")
        columns = None if self.columns is None else np.array(self.columns, "int32")
        abundances = model.abundances(
            ops.take(latents, later, axis=1),
            initial if self.conserve else None,
            residual.take(later),
            columns,
        )
        first = initial if columns is None else ops.take(initial, columns, axis=-1)
        order = np.where(states > 0, np.cumsum(states > 0), 0)
        abundances = ops.concatenate([first[:, None], abundances], axis=1)
        abundances = ops.take(abundances, order, axis=1)
        sigma = None
        if self.return_sigma:
            scaled = model.parameter_scaler(
                physical if len(physical.shape) == 3 else physical[:, :, 0]
            )
            expected, _, _ = model.trust(latents, scaled, years, spread)
            expected = ops.take(ops.pad(expected, ((0, 0), (1, 0))), states, axis=1)
            unit = ops.convert_to_tensor(model.trust.numbers["half_width"]) / NORMAL
            unit = unit if columns is None else ops.take(unit, columns)
            sigma = expected[..., None] * unit
        logs = ops.log10(abundances)
        if columns is not None:
            terms = ops.convert_to_tensor(self.mixing)
            of_terms = logs
            logs = ops.log10(ops.matmul(abundances, ops.transpose(terms)))
            if sigma is not None:
                # The errors of the terms of a sum are fully correlated. A quotient
                # would have no finite gradient below 1e-19, whose square is 0.
                shares = ops.power(10.0, of_terms[..., None, :] - logs[..., None])
                sigma = ops.sum(terms * shares * sigma[..., None, :], axis=-1)
        return (logs,) if sigma is None else (logs, sigma)


def _tensor(values: Any) -> Any:
    """Return a float32 tensor; that of a tensor keeps its gradient."""
    return ops.convert_to_tensor(values, "float32")


def _common_shape(*shapes: Any) -> tuple[int, ...]:
    """Return the shape to which all broadcast.

    Raises:
        InputError: If there is none.
    """
    plain = [tuple(shape) for shape in shapes]
    try:
        return np.broadcast_shapes(*plain)
    except ValueError as error:
        raise InputError(
            f"the arguments have shapes {', '.join(map(str, dict.fromkeys(plain)))}, "
            "which do not go together; give the same numbers of tracers and intervals."
        ) from error
