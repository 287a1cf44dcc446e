"""Requested outputs: the species, states and quantities that `emulate` returns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest


@dataclass(frozen=True)
class RequestedOutputs:
    """The outputs that a caller of `emulate` requests.

    Attributes:
        columns: Columns of the species to decode; `None` for all.
        mixing: Matrix that adds these up to the requested species, (requested,
            columns).
        states: Numbers of the states, (K,); `None` for all T+1.
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


def choose_columns(
    known_species: Sequence[str], species: Sequence[str] | str | None
) -> tuple[tuple[int, ...] | None, np.ndarray]:
    """Return the columns to decode and the matrix that adds them up.

    Args:
        known_species: Names in column order.
        species: Requested names, `$X` for `#X` + `@X`; `None` for all.

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
        phases = [f"#{name[1:]}", f"@{name[1:]}"] if name[:1] == "$" else [name]
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
