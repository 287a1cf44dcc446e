"""Outputs of `emulate`: what the caller requests, and the arrays that hold it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import astrokeras
from astrokeras.data.tracers.block import to_dataset
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError, UnphysicalWarning, UnreliableWarning
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.status import MEANINGS, Status, count_bits, is_reliable
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest

UNRELIABLE_SHARE = 0.05
"""Largest share of states that are not reliable without a warning."""
UNPHYSICAL = 1e-3
"""Largest relative error of a conserved element total in a physical state."""


@dataclass(frozen=True)
class RequestedOutputs:
    """The outputs that a caller of `emulate` requests.

    Attributes:
        columns: Columns of the species to decode; `None` for all.
        mixing: Matrix that adds these up to the requested species, (requested,
            columns).
        states: Numbers of the states, (K,) or of each tracer's, (N, K); `None` for all.
        conserve: Whether all states have the element totals of state 0.
        sigma: Whether error bars are returned.
        reliability: Whether expected errors and the whole status are computed.
    """

    columns: tuple[int, ...] | None
    mixing: np.ndarray
    states: np.ndarray | None
    conserve: bool
    sigma: bool = False
    reliability: bool = False

    def select(self, abundances: np.ndarray) -> np.ndarray:
        """Return the requested species of all, `(..., S)` to `(..., requested)`."""
        if self.columns is None:
            return abundances
        return abundances[..., self.columns] @ self.mixing.T

    def add_up(
        self, decoded: np.ndarray, sigma: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the requested species of the decoded ones, and their error bars."""
        if self.columns is None:
            return decoded, sigma
        summed = decoded @ self.mixing.T
        if sigma is not None:
            # The errors of the terms of a sum are fully correlated.
            errors = decoded * sigma[..., self.columns]
            sigma = (errors @ self.mixing.T) / summed
        return summed, sigma


@dataclass(frozen=True)
class EvolvedTracers:
    """Outputs of N tracers at K states.

    Tracers that were not evolved are NaN.

    Attributes:
        abundances: (N, K, requested species).
        sigma: Error bars, dex, of the same shape; of no size if not requested.
        expected_error: Expected errors, dex, (N, K); NaN if not computed.
        status: Status bits, (N, K).
        unphysical: Whether each state is unphysical, (N, K).
    """

    abundances: np.ndarray
    sigma: np.ndarray
    expected_error: np.ndarray
    status: np.ndarray
    unphysical: np.ndarray

    @classmethod
    def empty(
        cls, tracers: int, requested: RequestedOutputs, states: int, species: int
    ) -> "EvolvedTracers":
        """Return arrays for a number of tracers, not evolved yet."""
        shape = (tracers, states, len(requested.mixing) or species)
        return cls(
            np.full(shape, np.nan, "float32"),
            np.full(shape if requested.sigma else (tracers, 0, 0), np.nan, "float32"),
            np.full(shape[:2], np.nan, "float32"),
            np.zeros(shape[:2], "uint8"),
            np.zeros(shape[:2], bool),
        )

    def fill(self, first: int, other: "EvolvedTracers") -> None:
        """Copy the tracers of `other`, to row `first` and after."""
        for name in self.__dataclass_fields__:
            values = getattr(other, name)
            getattr(self, name)[first : first + len(values)] = values

    def blank(self, rejected: np.ndarray) -> None:
        """Blank the rejected tracers, whose rows hold another tracer's evolution."""
        rows = rejected > 0
        for values in (self.abundances, self.sigma, self.expected_error):
            values[rows] = np.nan
        self.unphysical[rows] = False
        self.status[rows] = rejected[rows, None]

    def outputs(self) -> tuple[np.ndarray, ...]:
        """Return abundances, sigma, expected error, reliability and status."""
        reliable = is_reliable(self.status)
        return self.abundances, self.sigma, self.expected_error, reliable, self.status

    def to_dataset(
        self,
        metadata: SurrogateMetadata,
        time: np.ndarray,
        requested: RequestedOutputs,
        species: Sequence[str],
    ) -> Any:
        """Return the outputs as an `xarray.Dataset`; see `block.to_dataset`.

        Args:
            metadata: Of the surrogate.
            time: Years of all states, (N, T+1).
            requested: The requested outputs.
            species: Names of the requested species.
        """
        values = self.described()
        if not requested.sigma:
            del values["sigma"]
        if not requested.reliability:
            del values["expected_error"], values["reliable"]
        if requested.states is not None:
            time = time[:, requested.states]
        return to_dataset(values, time, species, _origin(metadata))

    def described(self) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
        """Return the outputs by name with their attributes, in the words of CF."""
        meanings = {
            "abundances": ("abundance relative to H nuclei", "1"),
            "sigma": ("error bar of log10 abundance", "dex"),
            "expected_error": ("expected error, mean over species", "dex"),
            "reliable": ("whether the state is reliable", "1"),
            "status": ("sum of the bits that speak against the state", "1"),
        }
        found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
            name: (array, {"long_name": meaning, "units": unit})
            for array, (name, (meaning, unit)) in zip(
                self.outputs(), meanings.items(), strict=True
            )
        }
        bits = [str(bit.name).lower() for bit in MEANINGS]
        status = found["status"][1]
        status["flag_masks"] = np.array(list(MEANINGS), "uint8")
        status["flag_meanings"] = " ".join(bits)
        return found

    def warn_unreliable(self, stacklevel: int) -> None:
        """Warn if more than `UNRELIABLE_SHARE` of the states are not reliable."""
        bad = ~is_reliable(self.status)
        if not bad.size or bad.mean() <= UNRELIABLE_SHARE:
            return
        reasons = "; ".join(
            f"{count}: {MEANINGS[Status[name.upper()]]}"
            for name, count in count_bits(self.status[bad]).items()
        )
        line = (
            f"{int(bad.sum())} of {bad.size} states are not reliable ({reasons}); "
            "return_reliable=True says which, `covers` answers beforehand; solve them "
            "(fallback=), or train on tracers like these."
        )
        warnings.warn(line, UnreliableWarning, stacklevel=stacklevel + 1)

    def warn_unphysical(self, stacklevel: int) -> None:
        """Warn of unphysical states, if there are any."""
        if self.unphysical.any():
            line = (
                f"{int(self.unphysical.sum())} of {self.status.size} states are "
                "unphysical: not finite, not positive, or element totals are off by "
                f"more than {UNPHYSICAL:g}; see `return_status`."
            )
            warnings.warn(line, UnphysicalWarning, stacklevel=stacklevel + 1)


def _origin(metadata: SurrogateMetadata) -> dict[str, str]:
    """Return attributes on where the values of a surrogate come from."""
    configuration = metadata.provenance.get("configuration")
    run = configuration if isinstance(configuration, dict) else {}
    data = run["dataset"] if isinstance(run.get("dataset"), dict) else {}
    pairs = zip(metadata.parameters, metadata.units, strict=True)
    found = {
        "source": f"astrokeras {astrokeras.__version__}",
        "surrogate": run.get("name"),
        "parameters": ", ".join(f"{name} [{unit}]" for name, unit in pairs),
        "fixed": ", ".join(metadata.fixed),
        "training_data": data.get("source"),
        "training_data_sha256": metadata.provenance.get("data_sha256"),
        "network": data.get("network"),
        "citation": data.get("citation"),
    }
    return {key: str(value) for key, value in found.items() if value}


def check_request(
    calibrated: bool, needed: bool, fallback: Any, return_cost: bool
) -> None:
    """Check that a surrogate can give what is requested.

    Args:
        calibrated: Whether the surrogate is calibrated.
        needed: Whether the request needs calibration.
        fallback: The caller's solver, `None` for none.
        return_cost: Whether its cost is requested.

    Raises:
        InputError: If it cannot, or the solver is no function.
    """
    if fallback is not None:
        arguments.function("fallback", fallback)
    elif return_cost:
        raise InputError("return_cost is True without a solver; give `fallback` too.")
    if needed and not calibrated:
        raise InputError(
            "this surrogate is not calibrated and has neither error bars nor "
            "expected errors; train it with a validation split, or request neither."
        )


def choose_columns(
    known_species: Sequence[str], species: Sequence[str] | str | None
) -> tuple[tuple[int, ...] | None, np.ndarray]:
    """Return the columns to decode and the matrix that adds them up.

    Args:
        known_species: Names in column order.
        species: Requested names, `$X` for `#X` + `@X` unless there is a column `$X`;
            `None` for all.

    Returns:
        Column numbers, `None` for all, and the matrix, `(requested, columns)`.

    Raises:
        InputError: For an unknown name.
    """
    if species is None:
        return None, np.zeros((0, 0), "float32")
    if isinstance(species, str):  # one name, not a sequence of letters
        species = [species]
    species = arguments.texts("species", species, least=1)
    column = {name: i for i, name in enumerate(known_species)}
    terms = []
    for name in species:
        total = name[:1] == "$" and name not in column
        phases = [f"#{name[1:]}", f"@{name[1:]}"] if total else [name]
        present = [phase for phase in phases if phase in column]
        if not present:
            remedy = suggest(name, column, "; see its `species`.")
            raise InputError(
                f"species {arguments.shown(name)} is not among the {len(column)} of "
                f"this surrogate{remedy}"
            )
        terms.append(present)
    needed = list(dict.fromkeys(name for present in terms for name in present))
    mixing = np.zeros((len(terms), len(needed)), "float32")
    for i, present in enumerate(terms):
        mixing[i, [needed.index(name) for name in present]] = 1.0
    return tuple(column[name] for name in needed), mixing


def choose_states(state_indices: Sequence[int] | None, steps: int) -> np.ndarray | None:
    """Return the numbers of the requested states, each in [0, steps], or `None`.

    Raises:
        InputError: For a number beyond the states.
    """
    if state_indices is None:
        return None
    states = np.atleast_1d(as_numbers("state_indices", state_indices, None))
    if states.ndim != 1 or not states.size or states.dtype.kind not in "iu":
        raise InputError(
            f"state_indices are {arguments.shown(state_indices)}; give a list of "
            f"numbers of states, 0 to {steps}, not years."
        )
    as_floats = states.astype("float64")  # which hold any integer's size
    if ((as_floats < -steps - 1) | (as_floats > steps)).any():
        raise InputError(
            f"state_indices {arguments.shown(state_indices)} reach beyond the "
            f"{steps + 1} states; give numbers of states from {-steps - 1} to {steps}, "
            "not years."
        )
    return states.astype("int64") % (steps + 1)
