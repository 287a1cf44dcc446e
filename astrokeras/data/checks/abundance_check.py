"""Check of abundances on import: their definition, element totals and electrons."""

from collections.abc import Mapping

import numpy as np

from astrokeras.chemistry.abundance_definitions import (
    DEFINITIONS,
    LEAST_IONS,
    TOTAL_MARGIN,
    Composition,
)
from astrokeras.config.typed_options import typed
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError

ELEMENT_MARGIN = 0.1
"""Largest difference of an element's total from that of the network's start."""
DRIFT = 0.05
"""Largest change of an element's total along a tracer."""
FEW_IONS = 5
"""Number of ions from which on species are a network, whose electrons must be given."""


class AbundanceCheck:
    """Conversion of a table's abundances to H nuclei, and their check.

    Args:
        name: The table, for messages.
        composition: Its species, with electrons.
        definition: What the abundances are relative to, a key of `DEFINITIONS`.
        electrons: "given" or "neutral", which sets them by charge.
    """

    def __init__(
        self,
        name: str,
        composition: Composition,
        definition: str = "per_h",
        electrons: str = "given",
    ):
        self.name, self.composition = name, composition
        self.definition, self.neutral = definition, electrons == "neutral"
        self.states = self.off = self.starts = self.unbalanced = 0
        # Without ions, species are a choice of a network's, and elements do not add up.
        ions = np.count_nonzero(composition.charges)
        self.network = composition.complete and ions >= FEW_IONS
        self.first = np.zeros(len(composition.elements))
        self.drift = np.zeros(len(composition.elements))

    def convert(self, abundances: np.ndarray, density: np.ndarray | None) -> np.ndarray:
        """Return abundances relative to H nuclei, with electrons if they are set.

        Args:
            abundances: Rows of the table, (rows, S).
            density: H nuclei cm^-3, (rows,); `None` if the table does not have it.

        Raises:
            InputError: If hydrogen does not add up to 1, or electrons are missing; the
                message names the option that helps.
        """
        composition = self.composition
        if not abundances.size or not np.isfinite(abundances).all():
            return abundances  # Values that are not finite are refused by their place.
        self._check_definition(abundances, density)
        found = composition.per_hydrogen(abundances, self.definition, density)
        if composition.complete:
            off = np.abs(composition.hydrogen(found) - 1) > TOTAL_MARGIN
            self.off += int(off.sum())
        self.states += len(found)
        if self.neutral:
            return composition.set_electrons(found)
        self._check_electrons(found)
        return found

    def add_tracer(self, abundances: np.ndarray) -> None:
        """Collect the totals of a tracer, (T+1, S), and the charge of its start."""
        if not abundances.size or not np.isfinite(abundances).all():
            return
        totals = abundances.astype(float) @ self.composition.matrix
        self.first += totals[0]
        drift = np.abs(totals / np.maximum(totals[0], FLOOR) - 1).max(axis=0)
        self.drift = np.maximum(self.drift, np.where(totals[0] > 1e-12, drift, 0.0))
        self.starts += 1
        self.unbalanced += int(self.composition.unbalanced(abundances[0].astype(float)))

    def warnings(self, network: Mapping[str, float], source: str = "") -> list[str]:
        """Return a line for each sum that is unusual.

        Args:
            network: Total of each element in the network's initial abundances.
            source: Where these come from.
        """
        lines = []
        if self.off:
            lines.append(
                f"{self.name}: hydrogen does not add up to 1 in {self.off} of "
                f"{self.states} states; correct the data."
            )
        lines += self._element_lines(network, source)
        if self.unbalanced:
            lines.append(
                f"{self.name}: the charges of ions and electrons do not add up in the "
                f"first state of {self.unbalanced} of {self.starts} tracers. UCLCHEM's "
                "own evolved states are like this; for initial abundances give "
                f"{typed('dataset.electrons', 'neutral')}."
            )
        return lines

    def _element_lines(self, network: Mapping[str, float], source: str) -> list[str]:
        if not (self.network and self.starts):
            return []
        mean = self.first / self.starts
        totals = dict(zip(self.composition.elements, mean.tolist(), strict=True))
        other = [
            f"{name} {totals[name]:.3g} and {expected:.3g}"
            for name, expected in network.items()
            if totals.get(name, 0.0) > 0
            and expected > 0
            and abs(totals[name] / expected - 1) > ELEMENT_MARGIN
        ]
        lines = []
        if other:
            lines.append(
                f"{self.name}: elements add up to other totals than in {source}: "
                f"{', '.join(other)}; name the file of this network in "
                "`dataset.initial_abundances`, or correct the data."
            )
        drifting = [
            f"{name} by {drift:.0%}"
            for name, drift in zip(self.composition.elements, self.drift, strict=True)
            if drift > DRIFT
        ]
        if drifting:
            lines.append(
                f"{self.name}: elements are not conserved along a tracer: "
                f"{', '.join(drifting)}; a species may be missing."
            )
        return lines

    def _check_definition(
        self, abundances: np.ndarray, density: np.ndarray | None
    ) -> None:
        """Raise InputError if the totals of hydrogen do not fit the definition."""
        fits = self.composition.fitting_definition(abundances, density)
        stated = self.definition != "per_h"
        if not self.composition.complete or fits == self.definition:
            return
        if stated and fits is None:
            return  # Dividing by the total of hydrogen is right in any case.
        total = float(np.median(self.composition.hydrogen(abundances)))
        fault = f"{self.name}: hydrogen adds up to {total:.3g} over all species"
        if stated:
            fault += f", which does not fit `dataset.abundances={self.definition}`"
        raise InputError(f"{fault}; {remedy(fits)}.")

    def _check_electrons(self, abundances: np.ndarray) -> None:
        """Raise InputError for ions without electrons."""
        composition = self.composition
        ions = composition.ions(abundances)[1].max()
        if not self.network or ions < LEAST_IONS:
            return
        if composition.electron is None:
            fault = "there is no column E-"
        elif abundances[:, composition.electron].max() > FLOOR:
            return
        else:
            fault = "E- is 0 in all of the first rows"
        raise InputError(
            f"{self.name}: the ions add up to {ions:.3g}, but {fault}; give "
            f"{typed('dataset.electrons', 'neutral')}, which sets the electrons by the "
            "charge of the ions."
        )


def remedy(fits: str | None) -> str:
    """Return what to do about abundances that have another definition than stated."""
    if fits == "per_h":
        return "these are relative to H nuclei already: leave `dataset.abundances` out"
    if fits is not None:
        option = typed("dataset.abundances", fits)
        return (
            f"these look like {DEFINITIONS[fits]}: give {option}, which converts them"
        )
    others = ", ".join(f"{name} ({text})" for name, text in DEFINITIONS.items())
    return (
        "relative to H nuclei it is 1; correct the data, or give `dataset.abundances`, "
        f"one of {others}"
    )
