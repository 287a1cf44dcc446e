"""Definitions of abundances by other codes, totals of hydrogen, and electrons.

Abundances of this package are relative to H nuclei, so that hydrogen adds up to 1 over
all species. Other codes divide by the density of H2 or by nothing, or count species per
mass of the gas, 1.4 hydrogen masses for each H nucleus with helium and metals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.chemistry.stoichiometry import element_totals, stoichiometric_matrix

DEFINITIONS = {
    "per_h": "abundances relative to H nuclei",
    "per_h2": "fractions of n(H2)",
    "per_cm3": "number densities in cm^-3",
    "per_mass": "numbers per hydrogen mass of gas",
    "mass_fraction": "mass fractions",
}
"""What abundances can be relative to, by the values of `dataset.abundances`."""
GAS_MASS = 1.4
"""Mass of gas for each H nucleus, in hydrogen masses, with helium and metals."""
TOTAL_MARGIN = 0.05
"""Largest difference of the hydrogen total from 1 that is accepted."""
CHARGE_MARGIN = 0.01
"""Largest accepted sum of charges, relative to that of all ions."""
ELECTRON = "E-"
LEAST_IONS = 1e-15
"""Sum of the ions below which electrons may be missing."""
# Atomic masses in hydrogen masses; an element that is not listed has none.
_MASSES = {
    **{"H": 1.0, "D": 2.0, "HE": 3.971, "C": 11.92, "N": 13.90, "O": 15.87, "F": 18.85},
    **{"NA": 22.81, "MG": 24.11, "AL": 26.77, "SI": 27.86, "P": 30.73, "S": 31.81},
    **{"CL": 35.17, "CA": 39.76, "FE": 55.40, "NI": 58.24, "13C": 12.90, "15N": 14.88},
    **{"18O": 17.86, "17O": 16.87},
}
_ELECTRON_MASS = 5.443e-4
# How near the total must be to the one of a definition to suggest or accept it.
_NEAR, _NEAR_DENSITY = 0.06, 0.5


@dataclass(frozen=True)
class Composition:
    """Elements and charges of a list of species.

    Attributes:
        species: Names, (S,).
        matrix: Atoms of each element in each species, (S, E).
        elements: Elements, (E,).
        charges: Charges, (S,); 0 for the electron.
        electron: Index of the electron, `None` if it is not among the species.
        complete: Whether hydrogen can add up to 1: H and H2 are among the species.
        whole: Whether these are all species of a network. Those of a list without ices
            may not be, so that totals of elements are only known not to be too large.
    """

    species: tuple[str, ...]
    matrix: np.ndarray
    elements: tuple[str, ...]
    charges: np.ndarray
    electron: int | None
    complete: bool
    whole: bool

    @classmethod
    def of(
        cls,
        species: Sequence[str],
        declared: Sequence[str] = (),
        whole: bool | None = None,
    ) -> "Composition":
        """Return the composition of species.

        Args:
            species: Names, (S,).
            declared: Elements beside the usual ones and the atoms among the species.
            whole: Whether these are all species of a network; by default, if ices are
                among them.

        Raises:
            InputError: If a name cannot be read.
        """
        known = find_elements(species, declared)
        matrix, elements = stoichiometric_matrix(species, known)
        parsed = [parse_species(name, known) for name in species]
        charges = np.array([each.charge for each in parsed])
        electron = list(species).index(ELECTRON) if ELECTRON in species else None
        if electron is not None:
            charges[electron] = 0
        complete = {"H", "H2"} <= set(species)
        if whole is None:
            whole = any(each.phase != "gas" for each in parsed)
        return cls(tuple(species), matrix, elements, charges, electron, complete, whole)

    def hydrogen(self, abundances: np.ndarray) -> np.ndarray:
        """Return H nuclei, D among them, of abundances, (..., S), as (...)."""
        nuclei = [i for i, element in enumerate(self.elements) if element in ("H", "D")]
        return element_totals(abundances, self.matrix[:, nuclei]).sum(axis=-1)

    def totals(self, abundances: np.ndarray) -> dict[str, float]:
        """Return the total of each element of a state, (S,), by name."""
        found = element_totals(abundances, self.matrix)
        return dict(zip(self.elements, found.tolist(), strict=True))

    def masses(self) -> np.ndarray:
        """Return the masses of the species in hydrogen masses, (S,); NaN if unknown."""
        atoms = np.array([_MASSES.get(name, np.nan) for name in self.elements])
        found = np.where(self.matrix > 0, self.matrix * atoms, 0.0).sum(axis=1)
        if self.electron is not None:
            found[self.electron] = _ELECTRON_MASS
        return found

    def ions(self, abundances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the net charge of all ions and the sum of its absolute values."""
        return abundances @ self.charges, abundances @ np.abs(self.charges)

    def set_electrons(self, abundances: np.ndarray) -> np.ndarray:
        """Return abundances, (..., S), whose electrons balance the ions."""
        neutral = np.array(abundances, float)
        if self.electron is not None:
            neutral[..., self.electron] = np.maximum(self.ions(neutral)[0], 0.0)
        return neutral

    def unbalanced(self, abundances: np.ndarray) -> np.ndarray:
        """Return where the electrons differ from the charge of the ions by over 1 %."""
        if self.electron is None or not self.charges.any():
            return np.zeros(abundances.shape[:-1], bool)
        net, ions = self.ions(abundances)
        found = abundances[..., self.electron]
        return np.abs(net - found) > CHARGE_MARGIN * ions

    def fitting_definition(
        self, abundances: np.ndarray, density: np.ndarray | None = None
    ) -> str | None:
        """Return the definition that abundances seem to have, by their hydrogen.

        Args:
            abundances: As they are, (n, S).
            density: H nuclei cm^-3, (n,); `None` if it is not known.

        Returns:
            A key of `DEFINITIONS`, or `None` if none fits or the species do not tell.
        """
        if not self.complete:
            return None
        totals = self.hydrogen(abundances)
        total = self._typical(totals)
        if abs(total - 1) <= TOTAL_MARGIN:
            return "per_h"
        # What has frozen out is missing in some states, but not in equal parts in all.
        steady = self.whole or _near(float(totals.min()), total)
        shares = np.nan_to_num(abundances / self.masses())
        nuclei = self._typical(self.hydrogen(shares))
        everything = self._typical(np.nansum(abundances, axis=-1))
        if _near(everything, 1.0) and _near(nuclei, 1 / GAS_MASS):
            return "mass_fraction"
        if density is not None:
            middle = float(np.median(density))
            ratio = self._typical(totals / density)
            if _near(ratio, 1.0, _NEAR_DENSITY) and not _near(middle, 2.0):
                return "per_cm3"
        molecular = abundances[..., self.species.index("H2")]
        if _near(total, 2.0) or (np.abs(molecular - 1) < 1e-3).all():
            return "per_h2"
        if steady and _near(total, 1 / GAS_MASS):
            return "per_mass"
        return "per_cm3" if total > 10 and density is None else None

    def _typical(self, totals: np.ndarray) -> float:
        """Return the median of totals; of a list the largest, which lacks least."""
        return float(np.median(totals) if self.whole else totals.max())

    def other_definition(
        self,
        abundances: np.ndarray,
        definition: str = "per_h",
        density: np.ndarray | None = None,
    ) -> tuple[float, str | None] | None:
        """Return what speaks against a definition, `None` if nothing does.

        Unless these are a whole network, a total that is too small is no fault.

        Args:
            abundances: As they are, (n, S).
            definition: The definition that they should have, a key of `DEFINITIONS`.
            density: H nuclei cm^-3, (n,); `None` if it is not known.

        Returns:
            The total of hydrogen, and the definition that fits, `None` if none does.
        """
        fits = self.fitting_definition(abundances, density)
        if not self.complete or fits == definition:
            return None
        total = self._typical(self.hydrogen(abundances))
        if fits is None and (definition != "per_h" or (total < 1 and not self.whole)):
            return None
        return total, fits

    def per_hydrogen(
        self, abundances: np.ndarray, definition: str, density: np.ndarray | None = None
    ) -> np.ndarray:
        """Return abundances relative to H nuclei, (n, S).

        Where the species hold all hydrogen, abundances are divided by its total, which
        is exact whatever the gas is made of. Where they may lack some of it, the
        definition says how much there must be at least.

        Args:
            abundances: As another code gives them, (n, S).
            definition: A key of `DEFINITIONS`.
            density: H nuclei cm^-3, (n,), of use for number densities alone.
        """
        if definition == "per_h":
            return abundances
        if definition == "mass_fraction":
            abundances = abundances / self.masses()
        total = self.hydrogen(abundances) if self.complete else np.array(0.0)
        if not (self.complete and self.whole):
            least: float | np.ndarray = 2.0 if definition == "per_h2" else 1 / GAS_MASS
            if definition == "per_cm3":
                least = 0.0 if density is None else density
            total = np.maximum(total, least)
        return abundances / np.where(total > 0, total, 1.0)[..., None]


def _near(value: float, expected: float, margin: float = _NEAR) -> bool:
    return abs(np.log(max(value, 1e-300) / expected)) <= margin
