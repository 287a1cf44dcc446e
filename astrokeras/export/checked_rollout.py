"""Rollouts with expected errors and status, as operations of tensors for export."""

from typing import Any

import numpy as np
from keras import ops

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.data.tracers.file_format import HIGHEST, LOWEST, STEP_MARGIN
from astrokeras.layers.trust_model import CARRIED
from astrokeras.models.metadata import INITIAL_MARGIN_DEX, PARAMETER_MARGIN
from astrokeras.models.physical_emulator import PhysicalEmulator
from astrokeras.models.status import Status
from astrokeras.models.trust_assessment import TOTALS_DEX, UNREPAIRED


class CheckedRollout:
    """Rollout of a surrogate that tells what speaks against its states.

    It says of each state what `Surrogate.emulate(..., return_expected_error=True,
    return_status=True, on_error="flag")` says, but for the bits of tracers with invalid
    input: these come back unchanged, and spoil no others.

    Args:
        surrogate: The surrogate.

    Call arguments:
        abundances: Of state 0, `(N, S)`.
        physical: Parameters of each interval, `(N, T, P)`.
        years: Length of each interval, `(N, T)`.
        carried: The `CARRIED` numbers at state 0, `(N, 4)`, to go on from an earlier
            call; `None` at the start.

    Returns abundances of states 1 to T `(N, T, S)`, their expected errors in dex, NaN
    where the input is invalid or the surrogate is not calibrated, `(N, T)`, their
    status `(N, T)` int32, and the carried numbers of the last state `(N, 4)`.
    """

    def __init__(self, surrogate: PhysicalEmulator):
        self.surrogate = surrogate
        metadata = surrogate.metadata
        bounds = np.array([metadata.parameter_ranges[p] for p in metadata.parameters]).T
        margin = np.array([[1 - PARAMETER_MARGIN], [1 + PARAMETER_MARGIN]])
        self.parameter_bounds = (bounds * margin).astype("float32")
        self.typical = np.sqrt(bounds.prod(0)).astype("float32")
        ranges = np.maximum(metadata.species_ranges, metadata.floor)
        margin = 10.0 ** np.array([[-INITIAL_MARGIN_DEX], [INITIAL_MARGIN_DEX]])
        self.species_bounds = (ranges * margin).astype("float32")
        self.typical_state = np.sqrt(ranges.prod(0)).astype("float32")
        low, high = metadata.dt_range
        self.shortest = np.float32(low * (1 - STEP_MARGIN))
        self.longest = np.float32(high * (1 + STEP_MARGIN))
        self.last = np.float32(metadata.t_max * (1 + STEP_MARGIN))

    def __call__(
        self, abundances: Any, physical: Any, years: Any, carried: Any = None
    ) -> tuple[Any, Any, Any, Any]:
        rejected = self.rejected(abundances, physical, years)
        bad = rejected > 0
        given = abundances
        abundances = ops.where(bad[:, None], self.typical_state, abundances)
        floor = self.surrogate.floor
        absent = abundances < floor * 10.0 ** (-MARGIN_DEX - 0.01)
        abundances = ops.minimum(ops.where(absent, floor, abundances), 1.0)
        physical = ops.where(bad[:, None, None], self.typical, physical)
        years = ops.where(bad[:, None], self.shortest, years)
        if carried is None:
            carried = ops.zeros_like(abundances[:, : len(CARRIED)])
        surrogate = self.surrogate
        latents, residual, spread = surrogate.rollout(abundances, physical, years)
        kept = abundances if surrogate.conserve else None
        evolved = surrogate.abundances(latents, kept, residual)
        violation = surrogate.physical_violation(evolved, kept)
        expected, unlike, after = self._trust(
            abundances, physical, years, latents, spread, carried
        )
        age = carried[:, :1] + ops.cumsum(years, axis=1)
        status = _bit(~(violation <= UNREPAIRED), Status.TOTALS)
        status += _bit(self._leaves(physical), Status.PARAMETER)
        status += _bit(age > self.last, Status.TIME)
        status += _bit(unlike | self._unlike_state(abundances), Status.UNLIKE)
        if surrogate.trust is not None:
            threshold = surrogate.trust.reliability_threshold
            status += _bit(~(expected <= threshold), Status.ERROR)
        nothing = ops.full_like(expected, np.nan)
        return (
            ops.where(bad[:, None, None], given[:, None], evolved),
            ops.where(bad[:, None], nothing, expected),
            ops.where(bad[:, None], rejected[:, None], status),
            ops.where(bad[:, None], carried, after),
        )

    def rejected(self, abundances: Any, physical: Any, years: Any) -> Any:
        """Return the bits of tracers with invalid input, `(N,)` int32, 0 for others."""
        possible = ops.all((abundances >= LOWEST) & (abundances <= HIGHEST), axis=-1)
        positive = ops.all(ops.isfinite(physical) & (physical > 0), axis=(1, 2))
        increasing = ops.all(ops.isfinite(years) & (years > 0), axis=1)
        trained = ops.all((years >= self.shortest) & (years <= self.longest), axis=1)
        invalid = ~(possible & positive & increasing)
        return _bit(invalid, Status.INPUT) + _bit(increasing & ~trained, Status.TIME)

    def _leaves(self, physical: Any) -> Any:
        """Return whether a parameter has left its range so far, `(N, T)`."""
        low, high = map(ops.convert_to_tensor, self.parameter_bounds)
        outside = ops.any((physical < low) | (physical > high), axis=-1)
        return ops.cumsum(ops.cast(outside, "int32"), axis=1) > 0

    def _unlike_state(self, abundances: Any) -> Any:
        """Return whether state 0 lies outside the trained ranges, `(N, 1)`."""
        low, high = map(ops.convert_to_tensor, self.species_bounds)
        floored = ops.maximum(abundances, self.surrogate.floor)
        return ops.any((floored < low) | (floored > high), axis=-1, keepdims=True)

    def _trust(
        self,
        abundances: Any,
        physical: Any,
        years: Any,
        latents: Any,
        spread: Any,
        carried: Any,
    ) -> tuple[Any, Any, Any]:
        """Return expected errors `(N, T)`, unlike states `(N, T)`, and carried numbers.

        A state is unlike those of training by its distance, or because of state 0.
        """
        surrogate = self.surrogate
        trust = surrogate.trust
        if trust is None:
            none = ops.full_like(years, np.nan)
            age = carried[:, :1] + ops.sum(years, axis=1, keepdims=True)
            return none, years < 0, ops.concatenate([age, carried[:, 1:]], axis=1)
        scaled = surrogate.parameter_scaler(physical)
        expected, far, after = trust(latents, scaled, years, spread, carried)
        numbers = trust.numbers
        setting, state, restored = (numbers["largest"][i] for i in range(3))
        away = (far[..., 0] > setting) | (far[..., 1] > state)
        low, high = numbers["totals"][0], numbers["totals"][1]
        totals = ops.log10(
            ops.maximum(surrogate.conservation.totals(abundances), 1e-30)
        )
        off = ops.maximum(low - totals, totals - high)
        scaler = surrogate.abundance_scaler
        given = scaler(abundances)
        decoded = scaler(surrogate.abundances(surrogate.emulator.encode(given)))
        decades = -np.log10(surrogate.floor)
        error = ops.mean(ops.abs(decoded - given), axis=-1) * decades
        start = (ops.max(off, axis=-1) > TOTALS_DEX) | (error > restored)
        return expected, away | start[:, None], after


def _bit(where: Any, bit: Status) -> Any:
    return ops.cast(where, "int32") * int(bit)
