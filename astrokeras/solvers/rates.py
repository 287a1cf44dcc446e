"""Rate coefficients of a small gas-grain network, with their sources.

Abundances Y are relative to H nuclei. Every coefficient k is in s^-1 and includes the
density: the rate of a reaction is k Y of its first reactant, or k Y Y' for two bodies.

Grains are spheres of 0.1 um and 3 g cm^-3, with a hundredth of the mass of the gas.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.data.tracers.units import HABING_PER_DRAINE
from astrokeras.errors import InputError
from astrokeras.solvers.reactions import TWO_BODY, Reaction, list_species

ALBEDO = 0.5
"""Albedo of grains for the photons that cosmic rays induce in H2 (Gredel et al. 1989).
"""
CROSS_SECTION = 5.9e-22
"""Cross-section of grains per H nucleus, cm^2."""
SITES = 1.5e15
"""Surface density of binding sites on a grain, cm^-2."""
MONOLAYER = 4 * CROSS_SECTION * SITES
"""Abundance of ice in a monolayer."""
VIBRATION = 1e12
"""Vibration frequency of molecules on grains, s^-1."""
HOT, HEATED = 70.0, 3.16e-19
"""Temperature of a grain hit by a cosmic ray, K, and the fraction of time that it has
this temperature at zeta = 1 (Hasegawa & Herbst 1993)."""
YIELD = 1e-3
"""Molecules desorbed by a photon (Oberg et al. 2009)."""
FLUX, SECONDARY_FLUX = 1e8, 1e4
"""Photons cm^-2 s^-1 of Habing's field, and induced by cosmic rays at zeta = 1 (Shen et
al. 2004)."""
MASSES = {
    "H": 1,
    "D": 2,
    "HE": 4,
    "C": 12,
    "13C": 13,
    "N": 14,
    "O": 16,
    "F": 19,
    "NA": 23,
    "MG": 24,
    "SI": 28,
    "P": 31,
    "S": 32,
    "CL": 35,
    "FE": 56,
}
"""Atomic mass units."""


@dataclass(frozen=True)
class _ReactionGroup:
    """Coefficients of the reactions of one kind, each attribute (n,)."""

    alpha: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    mass: np.ndarray


Physical = Mapping[str, float]
_Formula = Callable[[_ReactionGroup, Physical], np.ndarray]


class Rates:
    """Rate coefficients as a function of the physical conditions.

    Args:
        reactions: Reactions of the kinds in `reactions.KINDS`.

    Raises:
        InputError: If the mass of a freezing species is unknown.
    """

    def __init__(self, reactions: Sequence[Reaction]):
        kinds = np.array([reaction.kind for reaction in reactions])
        columns = {
            name: np.array([getattr(reaction, name) for reaction in reactions], float)
            for name in ("alpha", "beta", "gamma")
        }
        columns["mass"] = _masses(reactions)
        self._groups = [
            (rows, formula, _ReactionGroup(**{k: v[rows] for k, v in columns.items()}))
            for kind, formula in FORMULAS.items()
            if len(rows := np.flatnonzero(kinds == kind))
        ]
        anywhere = np.array([reaction.extrapolate for reaction in reactions])
        self._low = np.where(anywhere, 0.0, [reaction.low for reaction in reactions])
        self._high = np.where(
            anywhere, np.inf, [reaction.high for reaction in reactions]
        )

    def __call__(self, physical: Physical) -> np.ndarray:
        """Return the rate coefficients, s^-1, (R,).

        Args:
            physical: Density, cm^-3, gasTemp and dustTemp, K, Av, mag, Radfield,
                Habing, zeta, 1.3e-17 s^-1.
        """
        found = np.full(len(self._low), np.nan)
        for rows, formula, group in self._groups:
            found[rows] = formula(group, physical)
        gas = physical["gasTemp"]
        return np.where((self._low <= gas) & (gas <= self._high), found, 0.0)


def _two_body(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of the modified Arrhenius law; alpha in cm^3 s^-1."""
    gas = p["gasTemp"]
    arrhenius = (gas / 300) ** group.beta * np.exp(-group.gamma / gas)
    return p["Density"] * group.alpha * arrhenius


def _cosmic_ray(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of cosmic-ray ionisation; alpha in s^-1 at zeta = 1."""
    return p["zeta"] * group.alpha


def _cosmic_ray_photon(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients for cosmic-ray induced photons; gamma is the efficiency."""
    warmth = (p["gasTemp"] / 300) ** group.beta
    return p["zeta"] * group.alpha * warmth * group.gamma / (1 - ALBEDO)


def _photon(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of photoreactions; alpha in s^-1 in Draine's field."""
    field = p["Radfield"] / HABING_PER_DRAINE
    return field * group.alpha * np.exp(-group.gamma * p["Av"])


def _h2_formation(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of H2 formation on grains, first order in H, scaled by alpha.

    Hollenbach & McKee (1979).
    """
    gas, dust = p["gasTemp"] / 100, p["dustTemp"] / 100
    sticking = 1 / (1 + 0.4 * np.sqrt(gas + dust) + 0.2 * gas + 0.08 * gas**2)
    efficiency = 1 / (1 + 1e4 * np.exp(-6 / dust))
    return p["Density"] * group.alpha * 3e-17 * np.sqrt(gas) * sticking * efficiency


def _freeze(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of freeze-out; alpha is the sticking probability."""
    speed = 1.4551e4 * np.sqrt(p["gasTemp"] / group.mass)  # Mean, cm s^-1.
    return p["Density"] * group.alpha * speed * CROSS_SECTION


def _thermal(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of thermal desorption; gamma is the binding energy, K."""
    return group.alpha * VIBRATION * np.exp(-group.gamma / p["dustTemp"])


def _cosmic_ray_heating(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of desorption from grains heated by cosmic rays.

    Hasegawa & Herbst (1993).
    """
    desorbed = VIBRATION * np.exp(-group.gamma / HOT)
    return p["zeta"] * group.alpha * HEATED * desorbed


def _photodesorption(group: _ReactionGroup, p: Physical) -> np.ndarray:
    """Return coefficients of photodesorption; alpha scales the yield.

    The yield does not depend on the binding energy. The cross-section of a grain is a
    quarter of its surface.
    """
    photons = p["Radfield"] * FLUX * np.exp(-1.8 * p["Av"]) + p["zeta"] * SECONDARY_FLUX
    return group.alpha * YIELD * photons / (4 * SITES)


FORMULAS: dict[str, _Formula] = {
    TWO_BODY: _two_body,
    "CRP": _cosmic_ray,
    "CRPHOT": _cosmic_ray_photon,
    "PHOTON": _photon,
    "H2FORM": _h2_formation,
    "FREEZE": _freeze,
    "THERM": _thermal,
    "DESCR": _cosmic_ray_heating,
    "DEUVCR": _photodesorption,
}
DESORPTION = ("THERM", "DESCR", "DEUVCR")
"""Kinds that act only on the topmost layer of the ice."""


def _masses(reactions: Sequence[Reaction]) -> np.ndarray:
    """Return the masses of freezing species, atomic units, NaN for the rest, (R,)."""
    elements = find_elements(list_species(reactions))
    masses = np.full(len(reactions), np.nan)
    for row, reaction in enumerate(reactions):
        if reaction.kind != "FREEZE":
            continue
        atoms = parse_species(reaction.reactants[0], elements).elements
        unknown = [element for element in atoms if element not in MASSES]
        if unknown or not atoms:
            raise InputError(
                f"line {reaction.line}, {reaction}: the mass of {unknown or 'E-'} is "
                "not known; remove the reaction, or use another solver."
            )
        masses[row] = sum(MASSES[element] * count for element, count in atoms.items())
    return masses
