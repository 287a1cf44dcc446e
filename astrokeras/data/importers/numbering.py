"""Numbers of tracers and simulations that several sources share."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from astrokeras.data.importers.open_sources import SourceTracers
from astrokeras.data.importers.raw_tracers import RawTracers
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.errors import InputError

STRIDE = 1_000_000
"""Distance by which the numbers of another origin are moved; it keeps last digits."""


def number_apart(parts: Sequence[SourceTracers], notes: list[str]) -> None:
    """Renumber tracers and simulations of different origins that share numbers.

    Files whose attribute `source` is the same number their simulations together. The
    numbers of another origin mean other simulations: if any of its tracers or
    simulations has the number of an earlier one, all its numbers are moved up by the
    same multiple of 1,000,000, the first that makes them unique. Origins without a
    split come first, so that numbers which decide the split stay, then the others in
    the given order.

    Args:
        parts: The sources, whose numbers are changed.
        notes: Receives a line for each renumbered source.

    Raises:
        InputError: If two files of the same origin hold the same tracer of a split.
    """
    origins: dict[str, list[SourceTracers]] = defaultdict(list)
    for part in parts:
        origins[part.source].append(part)
    ordered = sorted(
        origins.values(), key=lambda group: all(p.split is not None for p in group)
    )
    tracers, simulations = np.empty(0, np.int64), np.empty(0, np.int64)
    for group in ordered:
        _renumber(group, notes)
        tracer = np.concatenate([part.tracer for part in group])
        simulation = np.concatenate([part.simulation for part in group])
        simulation = simulation[simulation != NO_SIMULATION]
        shift = 0
        while (
            np.isin(tracer + shift, tracers).any()
            or np.isin(simulation + shift, simulations).any()
        ):
            shift += STRIDE
        for part in group if shift else []:
            part.tracer = part.tracer + shift
            part.simulation = _moved(part.simulation, shift)
            notes.append(
                f"{part.name}: shares numbers with a file of another source; {shift} "
                "is added to the numbers of its tracers and simulations"
            )
        tracers = np.concatenate([tracers, tracer + shift])
        simulations = np.concatenate([simulations, simulation + shift])


def _moved(simulation: np.ndarray, shift: int) -> np.ndarray:
    return np.where(simulation == NO_SIMULATION, simulation, simulation + shift)


def _renumber(parts: Sequence[SourceTracers], notes: list[str]) -> None:
    """Renumber tracers and simulations whose identifiers occur in several sources."""
    known: set[tuple[int, int]] = set()
    # Sources without identifiers are numbered after all others.
    for part in sorted(parts, key=lambda part: not part.numbered):
        keys = set(zip(part.simulation.tolist(), part.tracer.tolist(), strict=True))
        if known and isinstance(part, RawTracers) and not part.numbered:
            part.tracer = part.tracer + 1 + max(tracer for _, tracer in known)
            if part.columns.simulation is None:
                highest = max(simulation for simulation, _ in known)
                part.simulation = part.simulation + 1 + highest
        elif known & keys:
            if part.split is not None:
                raise InputError(
                    f"{part.name}: holds tracers that another file holds too, but a "
                    "split must contain each tracer once; import only one of the files."
                )
            # The files number from zero, so equal numbers mean different tracers.
            part.tracer = part.tracer + 1 + max(tracer for _, tracer in known)
            highest = max(simulation for simulation, _ in known)
            part.simulation = _moved(part.simulation, 1 + highest)
            if part.numbered:
                notes.append(
                    f"{part.name}: its tracers have the numbers of another file's; "
                    "they are renumbered as different tracers, from "
                    f"{part.tracer.min()} on."
                )
        known |= set(zip(part.simulation.tolist(), part.tracer.tolist(), strict=True))
