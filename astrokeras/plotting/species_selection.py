"""Selection of the species that figures of trajectories show."""

import re
from collections.abc import Sequence

import numpy as np

from astrokeras.chemistry.species import PHASES, phase_of

SHOWN = 6  # species in a figure
# Species that are observed, in order of preference.
OBSERVED = ("CO", "H2O", "#H2O", "HCO+", "N2H+", "NH3", "CH3OH", "#CO", "#CH3OH")
OBSERVERS_SPECIES = ("CO", "HCO+", "N2H+", "NH3", "CH3OH", "$H2O", "$CO")
"""The fixed panel of species that observers ask for; `$X` is total ice."""
VARYING = 0.5  # decades that such a species spans within a tracer, on average
VISIBLE = 1e-8  # abundance that a shown species reaches


def most_varying(
    swing: np.ndarray, peak: np.ndarray, species: Sequence[str]
) -> list[int]:
    """Return the columns of species to show: observed ones, then the most varying.

    Up to half are species of `OBSERVED` that vary. The rest are the neutral species
    that vary most, at least one of each phase. Species that reach an abundance of 1e-8
    come first.

    Args:
        swing: Decades that each species spans within a tracer, on average, (S,).
        peak: Highest abundance of each species, (S,).
        species: Names in column order, (S,).
    """
    swing = np.where(peak >= VISIBLE, swing, -1.0)
    places = {name: i for i, name in enumerate(species)}
    observed = [places[name] for name in OBSERVED if name in places]
    chosen = [i for i in observed if swing[i] >= VARYING][: SHOWN // 2]
    order = [int(i) for i in np.argsort(swing)[::-1] if int(i) not in chosen]
    # The sort is stable: neutral species first, each group by how much it varies.
    order.sort(key=lambda i: species[i].endswith(("+", "-")))
    for phase in PHASES.values():
        chosen += [i for i in order if phase_of(species[i]) == phase][:1]
    rest = [i for i in order if i not in chosen]
    return (chosen + rest)[:SHOWN]


def observers_species(species: Sequence[str]) -> list[str]:
    """Return the names of `OBSERVERS_SPECIES` that a list of species has.

    Args:
        species: Names in column order, (S,). `$X` needs `$X` itself, `#X` or `@X`.
    """
    known = set(species)
    return [
        name
        for name in OBSERVERS_SPECIES
        if name in known
        or (name[0] == "$" and {f"#{name[1:]}", f"@{name[1:]}"} & known)
    ]


def species_label(name: str) -> str:
    """Return a species as a formula for Matplotlib: `$H2O` becomes H₂O ice.

    Args:
        name: A name such as `HCO+`, `#CO`, `@CO` or `$CO`.
    """
    kinds = {"#": " surface", "@": " bulk", "$": " ice"}
    formula = name.lstrip("#@$")
    body = formula.rstrip("+-")
    charge = formula[len(body) :]
    body = re.sub(r"([A-Za-z)])(\d+)", r"\1$_{\2}$", body)
    charge = f"$^{{{charge}}}$" if charge else ""
    return body + charge + kinds.get(name[:1], "")
