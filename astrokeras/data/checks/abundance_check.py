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
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.file_format import FLOOR
from astrokeras.errors import InputError

ELEMENT_MARGIN = 0.1
"""Largest difference of an element's total from that of the network's start."""
DRIFT = 0.05
"""Largest change of an element's total along a tracer."""
FEW_IONS = 5
"""Number of ions from which on species are a network, whose electrons must be given."""


class AbundanceCheck:
    """Check of abundances, and the conversion of a table's to H nuclei.

    Lists without ices may lack species: their elements must not add up to more than
    those of the network, and what they lack is only said.

    Args:
        name: The file, for messages.
        composition: Its species, with electrons.
        definition: What the abundances are relative to, a key of `DEFINITIONS`.
        electrons: "given" or "neutral", which sets them by charge.
        stored: Whether the file is a tracer file, whose raw file must be imported
            again to convert it.
        lenient: Whether totals of hydrogen that fit no definition, which no option
            converts, are only said.
    """

    def __init__(
        self,
        name: str,
        composition: Composition,
        definition: str = "per_h",
        electrons: str = "given",
        stored: bool = False,
        lenient: bool = False,
    ):
        self.name, self.composition = name, composition
        self.definition, self.neutral = definition, electrons == "neutral"
        self.lenient = lenient
        self.again = "import the raw file again with " if stored else "give "
        self.states = self.off = self.starts = self.unbalanced = 0
        self.least = 1.0
        # Without ions, species are a choice of a network's, and elements do not add up.
        ions = np.count_nonzero(composition.charges)
        self.network = composition.complete and ions >= FEW_IONS
        self.first = np.zeros(len(composition.elements))
        self.drift = np.zeros(len(composition.elements))

    def convert(
        self, abundances: np.ndarray, density: np.ndarray | None = None
    ) -> np.ndarray:
        """Return abundances relative to H nuclei, with electrons if they are set.

        Args:
            abundances: Rows of the table, (rows, S).
            density: H nuclei cm^-3, (rows,); `None` if the table does not have it.

        Raises:
            InputError: If hydrogen does not add up to 1, or electrons are missing; the
                message names the option that helps.
        """
        if not abundances.size or not np.isfinite(abundances).all():
            return abundances  # Values that are not finite are refused by their place.
        self._check_definition(abundances, density)
        composition = self.composition
        found = composition.per_hydrogen(abundances, self.definition, density)
        if self.neutral:
            found = composition.set_electrons(found)
        else:
            self._check_electrons(found)
        if composition.complete:
            totals = composition.hydrogen(found)
            self.least = min(self.least, float(totals.min()))
            off = totals - 1 > TOTAL_MARGIN
            if composition.whole:
                off = np.abs(totals - 1) > TOTAL_MARGIN
            self.off += int(off.sum())
        self.states += len(found)
        return found

    def add_tracers(self, tracers: Tracers) -> None:
        """Check the states of tracers of a tracer file, and collect their totals.

        Raises:
            InputError: As `convert` does.
        """
        states = [
            x[:length].astype(float)
            for x, length in zip(tracers.abundances, tracers.length, strict=True)
        ]
        self.convert(np.concatenate(states))
        for each in states:
            self.add_tracer(each)

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
            whole = self.composition.whole
            fault = "does not add up to" if whole else "adds up to more than"
            lines.append(
                f"{self.name}: hydrogen {fault} 1 in {self.off} of {self.states} "
                "states; correct the data."
            )
        lines += self._element_lines(network, source)
        if self.unbalanced:
            lines.append(
                f"{self.name}: the charges of ions and electrons do not add up in the "
                f"first state of {self.unbalanced} of {self.starts} tracers. UCLCHEM's "
                "own evolved states are like this; for initial abundances "
                f"{self.again}{typed('dataset.electrons', 'neutral')}."
            )
        if not self.composition.whole and self.least < 1 - TOTAL_MARGIN:
            lines.append(
                f"{self.name}: the species hold {self.least:.2g} of all hydrogen at "
                "least; without the ices, elements are only checked for totals that "
                "are too large. A surrogate of these species cannot conserve elements: "
                f"train it with {typed('emulator.conserve', 'false')}."
            )
        return lines

    def _element_lines(self, network: Mapping[str, float], source: str) -> list[str]:
        if not (self.network and self.starts):
            return []
        mean = self.first / self.starts
        least = 0.0 if self.composition.whole else 1.0
        totals = dict(zip(self.composition.elements, mean.tolist(), strict=True))
        other = [
            f"{name} {totals[name]:.3g} and {expected:.3g}"
            for name, expected in network.items()
            if totals.get(name, 0.0) > 0
            and expected > 0
            and abs(max(totals[name] / expected, least) - 1) > ELEMENT_MARGIN
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
        if drifting and self.composition.whole:
            lines.append(
                f"{self.name}: elements are not conserved along a tracer: "
                f"{', '.join(drifting)}; a species may be missing."
            )
        return lines

    def _check_definition(
        self, abundances: np.ndarray, density: np.ndarray | None
    ) -> None:
        """Raise InputError if the totals of hydrogen do not fit the definition."""
        other = self.composition.other_definition(abundances, self.definition, density)
        if other is None or (self.lenient and other[1] is None):
            return
        total, fits = other
        fault = f"{self.name}: hydrogen adds up to {total:.3g} over all species"
        if self.definition != "per_h":
            fault += f", which does not fit `dataset.abundances={self.definition}`"
        raise InputError(f"{fault}; {self._remedy(fits)}.")

    def _check_electrons(self, abundances: np.ndarray) -> None:
        """Raise InputError for ions without electrons."""
        composition = self.composition
        ions = composition.ions(abundances)[1].max()
        if not self.network or ions < LEAST_IONS:
            return
        if composition.electron is None:
            if not composition.whole:
                return  # It is one of the species that the list lacks.
            fault = "there is no column E-"
        elif abundances[:, composition.electron].max() > FLOOR:
            return
        else:
            fault = "E- is 0 in all of the first rows"
        raise InputError(
            f"{self.name}: the ions add up to {ions:.3g}, but {fault}; {self.again}"
            f"{typed('dataset.electrons', 'neutral')}, which sets the electrons by the "
            "charge of the ions."
        )

    def _remedy(self, fits: str | None) -> str:
        """Return what to do about abundances that have another definition."""
        if fits == "per_h":
            return (
                "these are relative to H nuclei already: leave `dataset.abundances` out"
            )
        if fits is not None:
            return (
                f"these look like {DEFINITIONS[fits]}: {self.again}"
                f"{typed('dataset.abundances', fits)}, which converts them"
            )
        others = ", ".join(f"{name} ({text})" for name, text in DEFINITIONS.items())
        return (
            f"relative to H nuclei it is 1; correct the data, or {self.again}"
            f"`dataset.abundances`, one of {others}"
        )
