"""From the files that users have to one tracer file, in bounded memory."""

import datetime
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.species import order_elements
from astrokeras.config import DatasetConfig
from astrokeras.data.importers.alignment_check import TRACERS, alignment_warning
from astrokeras.data.importers.column_roles import species_positions
from astrokeras.data.importers.import_report import Findings, ImportReport
from astrokeras.data.importers.open_sources import (
    Part,
    Source,
    StoredTracers,
    open_parts,
)
from astrokeras.data.importers.raw_tracers import RawTracers
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.split import make_split, split_attributes
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system.package_data import resource

TRACKS_ALONE = "no species: tracks, to be solved with `astrokeras data generate`"


def import_tracers(
    sources: Source | Sequence[Source],
    out: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    split: bool = True,
    tracks: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Convert raw data into one tracer file.

    Understands AstroChemNet's raw and cleaned HDFStores, UCLCHEM's CSV output and
    DataFrames, Parquet, HDF5 files with a dataset a column, and tracer files.  Reads by
    blocks of tracers, so that memory does not grow with the input.  Tracers shorter
    than the longest end early, with NaN beyond.  Without species it becomes a file of
    tracks.

    Args:
        sources: One or several paths or DataFrames, or pairs of DataFrames as UCLCHEM
            returns them (physics, abundances).
        out: The tracer file; it appears under this name only when complete.
        config: How to read them: alignment, parameter columns, elements, split. By
            default, the configuration of `dataset=grav`.
        split: Whether a split is made where the sources have none.
        tracks: Whether to take the physics alone, whatever other columns there are.
        progress: Called with the tracers done and their total.

    Returns:
        What was written and noticed.

    Raises:
        InputError: For anything wrong with the input, one line that names file, field,
            value and remedy.
        WorkError: If the file cannot be written.
    """
    if config is None:
        from astrokeras.config import compose

        config = compose().dataset
    out = Path(out)
    findings = Findings()
    with ExitStack() as stack:
        parts = open_parts(sources, out, config, findings, stack, tracks)
        report = ImportReport(out, 0, 0, len(parts[0].species), findings)
        orders = [species_positions(p.species, parts[0].species, p.name) for p in parts]
        _check_parameters(parts)
        for part in parts:
            if isinstance(part, RawTracers):
                if config.alignment == "this":
                    part.use_initial(_initial(config, part.species))
                part.leave_out_short()
        _renumber(parts, report.notes)
        report.tracers = sum(map(len, parts))
        report.states = max(part.states for part in parts)
        if not report.tracers:
            raise InputError(
                f"{parts[0].name}: holds no tracer of two states; there is no step."
            )
        splits, attributes = _split(parts, config, split)
        attributes |= _provenance(parts, config)
        sample = _write(parts, orders, splits, attributes, config, report, progress)
        if not parts[0].species:
            sample = []
            report.notes.append(TRACKS_ALONE)
        warning = alignment_warning(sample, config.alignment) if sample else None
        report.warnings += [warning] if warning else []
        report.warnings += _uneven_warning(parts)
    return report


def _uneven_warning(parts: list[Part]) -> list[str]:
    """Warn of uneven times, which are rounded ones more often than not."""
    ranges = [part.interval for part in parts if isinstance(part, RawTracers)]
    low = min((shortest for shortest, _ in ranges), default=np.inf)
    high = max((longest for _, longest in ranges), default=-np.inf)
    if high <= low * (1 + STEP_MARGIN):
        return []
    return [
        f"states are {low:.6g} to {high:.6g} yr apart, which only a timed emulator "
        "learns from (emulator.use_timestep=true); where Time was rounded, as in "
        "UCLCHEM's CSV output, write it with more digits."
    ]


def _initial(config: DatasetConfig, species: Sequence[str]) -> np.ndarray:
    if not species:
        return np.empty(0)
    if not config.initial_abundances:
        raise InputError(
            "`dataset.initial_abundances` is not set, but `alignment: this` puts the "
            "network's initial abundances in front; name a CSV file with them."
        )
    path = Path(config.initial_abundances)
    if not path.is_file():
        path = resource("data") / path
    return read_initial(path, species, config.floor)


def _check_parameters(parts: list[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if (part.parameters, part.units) != (first.parameters, first.units):
            mine = ", ".join(
                map(" ".join, zip(part.parameters, part.units, strict=True))
            )
            theirs = ", ".join(
                map(" ".join, zip(first.parameters, first.units, strict=True))
            )
            raise InputError(
                f"{part.name}: has parameters {mine}, but {first.name} has {theirs}; "
                "name them alike in `dataset.parameters` and `dataset.units`."
            )


def _renumber(parts: list[Part], notes: list[str]) -> None:
    """Keep identifiers of several sources apart where they collide."""
    known: set[tuple[int, int]] = set()
    # Runs without numbers take those that are left.
    for part in sorted(parts, key=lambda part: not part.numbered):
        keys = set(zip(part.simulation.tolist(), part.tracer.tolist(), strict=True))
        if known and isinstance(part, RawTracers) and not part.numbered:
            part.tracer = part.tracer + 1 + max(tracer for _, tracer in known)
            if part.columns.simulation is None:
                highest = max(simulation for simulation, _ in known)
                part.simulation = part.simulation + 1 + highest
            keys = set(zip(part.simulation.tolist(), part.tracer.tolist(), strict=True))
        elif known & keys:
            if part.split is not None:
                raise InputError(
                    f"{part.name}: holds tracers that another file holds too; a split "
                    "must not see one tracer twice, take one of the files."
                )
            # Numbered from zero in each file: other tracers, and other simulations.
            part.tracer = part.tracer + 1 + max(tracer for _, tracer in known)
            highest = max(simulation for simulation, _ in known)
            part.simulation = np.where(
                part.simulation == file_format.NO_SIMULATION,
                file_format.NO_SIMULATION,
                part.simulation + 1 + highest,
            )
            if part.numbered:
                notes.append(
                    f"{part.name}: its tracers are numbered like those of another "
                    f"file; they are taken as others, from {part.tracer.min()} on."
                )
            keys = set(zip(part.simulation.tolist(), part.tracer.tolist(), strict=True))
        known |= keys


def _split(
    parts: list[Part], config: DatasetConfig, wanted: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Inherit the sources' split, or make one on all their tracers."""
    simulation = np.concatenate([part.simulation for part in parts])
    given = [part.split for part in parts if part.split is not None]
    if len(given) == len(parts):
        return _inherit(parts, simulation, np.concatenate(given))
    if given:
        raise InputError(
            f"{parts[0].name} and others: some have a split and some have none; import "
            "raw files only, so that one split is made on all."
        )
    if not wanted:
        return np.full(len(simulation), file_format.UNASSIGNED, np.uint8), {}
    name = parts[0].name + " and others" * (len(parts) > 1)
    return make_split(simulation, config.split, name), split_attributes(config.split)


def _inherit(
    parts: list[Part], simulation: np.ndarray, split: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    stored = next(part for part in parts if isinstance(part, StoredTracers))
    told = stored.store.split_attributes
    known = simulation != file_format.NO_SIMULATION
    if told.get("split_by", "simulation") == "simulation":
        pairs = np.unique(np.stack([simulation, split], axis=1)[known], axis=0)
        ids, count = np.unique(pairs[:, 0], return_counts=True)
        if (count > 1).any():
            raise InputError(
                f"{parts[-1].name}: simulation {ids[count.argmax()]} is in one split "
                "here and in another in a file before; take files of one split."
            )
    return split, told


def _provenance(parts: list[Part], config: DatasetConfig) -> dict[str, Any]:
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = {
        **{name: getattr(config, name) for name in ("source", "licence", "citation")},
        "files": [Path(part.name).name for part in parts],
        "alignment": config.alignment,
        "created": created,
    }
    if not parts[0].species:
        return about
    chemistry = {
        name: getattr(config, name)
        for name in ("network", "solver", "tolerances", "floor")
    }
    elements = order_elements({e for part in parts for e in part.elements})
    return about | chemistry | {"elements": list(elements)}


def _write(
    parts: list[Part],
    orders: list[list[int]],
    splits: np.ndarray,
    attributes: dict[str, Any],
    config: DatasetConfig,
    report: ImportReport,
    progress: Callable[[int, int], None] | None,
) -> list[Tracers]:
    """Write all tracers and return a few of them, spread evenly, for the check."""
    first = parts[0]
    sample: list[Tracers] = []
    every = max(1, report.tracers // TRACERS)
    done = 0
    with TracerWriter(
        report.path,
        species=first.species,
        parameters=first.parameters,
        units=first.units,
        states=report.states,
        attributes=attributes,
    ) as writer:
        for part, order in zip(parts, orders, strict=True):
            offset = done
            for block in part.blocks():
                n = len(block)
                place = slice(done - offset, done - offset + n)
                block.tracer = part.tracer[place]
                block.simulation = part.simulation[place]
                block.split = splits[done : done + n]
                if order != list(range(len(order))):
                    block.abundances = block.abundances[:, :, order]
                writer.append(block.padded(report.states))
                if isinstance(part, RawTracers):
                    kept = np.arange(-done % every, n, every)
                    sample += [block.take(kept)] if len(kept) else []
                done += n
                if progress is not None:
                    progress(done, report.tracers)
        fixed, varied = report.findings.fixed()
        report.fixed = fixed + [
            f for p in parts if isinstance(p, StoredTracers) for f in p.fixed
        ]
        report.fixed = list(dict.fromkeys(report.fixed))
        writer.file.attrs["fixed"] = report.fixed
    if varied:
        report.warnings.append(
            f"{', '.join(varied)}: not constant, yet no parameter of the dataset; a "
            "surrogate cannot know of it. Add it to `dataset.parameters`."
        )
    names = enumerate(file_format.SPLITS)
    report.split = {name: int((splits == code).sum()) for code, name in names}
    if (splits == file_format.UNASSIGNED).any():
        report.split = {}
    return sample
