"""Summary of a tracer file: sizes, ranges, distributions and element totals."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.abundance_definitions import (
    CHARGE_MARGIN,
    DEFINITIONS,
    Composition,
)
from astrokeras.chemistry.species import parse_species
from astrokeras.chemistry.stoichiometry import element_totals
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.file_format import FLOOR, NO_SIMULATION, SPLITS
from astrokeras.data.tracers.reader import TracerStore

BINS = 24
STARTS = 8
"""About the number of first states of a block that show what abundances are."""
_DECADES = np.arange(-20, 1)
# Fine bins of log10 parameters, which can be regrouped for any range afterwards.
_FINE = np.linspace(-20, 20, 4001)
_AT_FLOOR = FLOOR * (1 + 1e-6)  # Allows for the rounding of the floor to float32.


def inspect_tracers(
    path: str | os.PathLike[str], most: int | None = 1000
) -> dict[str, Any]:
    """Return a summary of a tracer file, and check the values that are read.

    Args:
        path: The tracer file.
        most: Largest number of tracers whose values are read, spread evenly over the
            file; `None` for all.

    Returns:
        A dictionary of plain values: sizes, species, parameters with ranges and
        distributions, times, splits, initial states, abundances (`None` if the file has
        none), element totals, the charge of first states, and remarks on sums that
        cannot be right.

    Raises:
        InputError: If the file is malformed or a value is out of range.
    """
    path = Path(path)
    with TracerStore(path, need_abundances=False) as store:
        elements = store.elements
        phases = [parse_species(name, elements).phase for name in store.species]
        rows = store.rows()
        if most is not None and len(rows) > most:
            rows = np.unique(np.linspace(0, len(rows) - 1, most).astype(int))
        ranges = _SummaryCollector(store, elements)
        for block in store.blocks(rows):
            ranges.add(block)
        return {
            "path": str(path),
            "bytes": path.stat().st_size,
            "tracers": store.tracers,
            "tracers_read": len(rows),
            "states": store.states,
            "solved": store.solved,
            "ended_early": int((store.length < store.states).sum()),
            "simulations": _simulations(store.simulation),
            "species": len(store.species),
            "phases": {phase: phases.count(phase) for phase in dict.fromkeys(phases)},
            "splits": _splits(store),
            **ranges.summary(),
            "attributes": store.attributes,
        }


def _simulations(simulation: np.ndarray) -> int:
    return len(np.unique(simulation[simulation != NO_SIMULATION]))


def _splits(store: TracerStore) -> dict[str, dict[str, int]]:
    if not store.has_split:
        return {}
    splits = {}
    for code, name in enumerate(SPLITS):
        inside = store.split == code
        simulations = _simulations(store.simulation[inside])
        splits[name] = {"tracers": int(inside.sum()), "simulations": simulations}
    return splits


class _SummaryCollector:
    """Collector of ranges and counts, block by block."""

    def __init__(self, store: TracerStore, elements: tuple[str, ...]):
        self.store = store
        self.composition = Composition.of(store.species, elements)
        self.elements = self.composition.elements
        self.low = np.full(len(store.parameters), np.inf)
        self.high = -self.low
        self.counts = np.zeros((len(store.parameters), len(_FINE) - 1), np.int64)
        self.decades = np.zeros(len(_DECADES) - 1, np.int64)
        self.at_floor = 0
        self.steps: list[np.ndarray] = []
        self.starts: list[np.ndarray] = []
        # Fraction of the species of each initial state that are at the floor.
        self.bare: list[np.ndarray] = []
        self.last = -np.inf
        self.totals: list[np.ndarray] = []
        # Some first states, and how many of all have electrons that do not fit.
        self.firsts: list[np.ndarray] = []
        self.unbalanced = 0
        self.drift = np.zeros(len(self.elements))

    def add(self, block: Tracers) -> None:
        states = np.arange(block.time.shape[1])
        valid = states[None, :] < block.length[:, None]
        physical = block.physical[valid[:, 1:]]
        self.low = np.minimum(self.low, physical.min(axis=0))
        self.high = np.maximum(self.high, physical.max(axis=0))
        for index, values in enumerate(np.log10(physical).T):
            self.counts[index] += np.histogram(values, _FINE)[0]
        steps = np.diff(block.time)[valid[:, 1:]]
        self.steps.append(np.array([steps.min(), steps.max()]))
        self.last = max(self.last, block.time[valid].max())
        self.starts.append(block.time[:, 0])
        if self.store.has_abundances:
            self._add_abundances(block, valid)

    def _add_abundances(self, block: Tracers, valid: np.ndarray) -> None:
        solved = valid[:, : block.abundances.shape[1]]
        abundances = block.abundances[solved]
        self.at_floor += int((abundances <= _AT_FLOOR).sum())
        logs = np.log10(abundances[abundances > _AT_FLOOR])
        self.decades += np.histogram(logs, _DECADES)[0]
        self.bare.append((block.abundances[:, 0] <= _AT_FLOOR).mean(axis=1))
        totals = element_totals(
            np.nan_to_num(block.abundances), self.composition.matrix
        )
        first = np.maximum(totals[:, :1], FLOOR)
        drift = np.where(solved[:, :, None], np.abs(totals / first - 1), 0)
        self.drift = np.maximum(self.drift, drift.max(axis=(0, 1)))
        self.totals.append(totals[:, 0])
        first = block.abundances[:, 0].astype(float)
        self.firsts.append(first[:: max(1, len(first) // STARTS)])
        self.unbalanced += int(self.composition.unbalanced(first).sum())

    def summary(self) -> dict[str, Any]:
        steps = np.array(self.steps)
        starts = np.concatenate(self.starts)
        return {
            "parameters": [self._parameter(i) for i in range(len(self.low))],
            "time": {
                "first": float(starts.min()),
                "last": float(self.last),
                "step_min": float(steps.min()),
                "step_max": float(steps.max()),
            },
            "starts": [self._start(starts, time) for time in np.unique(starts)[:8]],
            "abundances": self._abundances(),
            "elements": self._elements(),
            "charge": self._charge(),
            "remarks": self._remarks(len(starts)),
        }

    def _charge(self) -> dict[str, float] | None:
        """Return the charge of ions and electrons in first states, medians."""
        electron = self.composition.electron
        if electron is None or not self.firsts:
            return None
        states = np.concatenate(self.firsts)
        return {
            "ions": float(np.median(self.composition.ions(states)[0])),
            "electrons": float(np.median(states[:, electron])),
        }

    def _remarks(self, tracers: int) -> list[str]:
        """Return a line for each sum that does not fit abundances per H nucleus."""
        lines, composition = [], self.composition
        if self.firsts:
            other = composition.other_definition(np.concatenate(self.firsts))
            if other is not None:
                total, fits = other
                likely = f", these look like {DEFINITIONS[fits]}" if fits else ""
                lines.append(
                    f"hydrogen adds up to {total:.3g} over all species{likely}"
                )
        if self.unbalanced:
            lines.append(
                f"the charges of ions and electrons differ by more than "
                f"{CHARGE_MARGIN:.0%} of the ions' in the first state of "
                f"{self.unbalanced} of {tracers} tracers"
            )
        return lines

    def _start(self, starts: np.ndarray, time: float) -> dict[str, Any]:
        alike = starts == time
        bare = np.concatenate(self.bare)[alike].mean() if self.bare else None
        return {
            "time": float(time),
            "tracers": int(alike.sum()),
            "at_floor": None if bare is None else float(bare),
        }

    def _abundances(self) -> dict[str, Any] | None:
        if not self.store.has_abundances:
            return None
        counted = int(self.decades.sum()) + self.at_floor
        return {
            "at_floor": self.at_floor / max(counted, 1),
            "decades": _DECADES.tolist(),
            "counts": self.decades.tolist(),
        }

    def _elements(self) -> dict[str, dict[str, float]]:
        if not self.totals:
            return {}
        median = np.median(np.concatenate(self.totals), axis=0)
        return {
            name: {"total": float(total), "drift": float(drift)}
            for name, total, drift in zip(
                self.elements, median, self.drift, strict=True
            )
        }

    def _parameter(self, index: int) -> dict[str, Any]:
        low, high = float(self.low[index]), float(self.high[index])
        edges = np.linspace(np.log10(low), np.log10(high), BINS + 1)
        middle = (_FINE[1:] + _FINE[:-1]) / 2
        inside = np.clip(np.searchsorted(edges, middle) - 1, 0, BINS - 1)
        counts = np.bincount(inside, self.counts[index], BINS)
        return {
            "name": self.store.parameters[index],
            "unit": self.store.units[index],
            "low": low,
            "high": high,
            "counts": [int(count) for count in counts] if high > low else [],
        }
