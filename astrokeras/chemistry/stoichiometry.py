"""Stoichiometric matrix of species and elements, and element totals."""

from collections.abc import Sequence

import numpy as np

from astrokeras.chemistry.species import find_elements, order_elements, parse_species
from astrokeras.system import arguments


def stoichiometric_matrix(
    names: Sequence[str], elements: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the number of atoms of each element in each species.

    Args:
        names: Species names.
        elements: Symbols that may occur; `None` derives them from the names.

    Returns:
        The counts, (S, E) float64, and the elements that are present, (E,), in the
        order of the periodic table.

    Raises:
        InputError: If a name cannot be parsed or is ambiguous.

    Example:
    >>> stoichiometric_matrix(["H2O", "CO"])[1]
    ('H', 'C', 'O')
    """
    names = arguments.texts("species", names)
    allowed = find_elements(names) if elements is None else elements
    species = [parse_species(name, allowed) for name in names]
    present = order_elements({e for s in species for e in s.elements})
    counts = [[s.elements.get(e, 0) for e in present] for s in species]
    return np.array(counts, np.float64).reshape(len(names), len(present)), present


def element_totals(abundances: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return abundances summed by element, in double precision.

    Args:
        abundances: Relative to H nuclei, (..., S).
        matrix: Atoms of each element in each species, (S, E).

    Returns:
        Atoms relative to H nuclei, (..., E).
    """
    return np.asarray(abundances, np.float64) @ matrix
