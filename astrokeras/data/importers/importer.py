"""Import of users' files of several formats to one tracer file, in bounded memory."""

import contextlib
import datetime
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import fill
from astrokeras.chemistry.species import order_elements
from astrokeras.config import DatasetConfig
from astrokeras.data.checks.alignment_check import TRACERS, alignment_warning
from astrokeras.data.importers.column_roles import species_positions
from astrokeras.data.importers.cutting import cut_attributes, cut_tracers
from astrokeras.data.importers.import_report import ImportReport, ImportStatistics
from astrokeras.data.importers.joining import (
    JoinedParameters,
    join_fixed,
    join_parameters,
    join_splits,
)
from astrokeras.data.importers.numbering import number_apart
from astrokeras.data.importers.open_sources import (
    Source,
    SourceTracers,
    StoredTracers,
    open_parts,
    reader_notes,
)
from astrokeras.data.importers.raw_tracers import RawTracers
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system.package_data import resource

NO_SPECIES = "no species: a file of tracks; solve it with `astrokeras data generate`"


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

    Reads AstroChemNet's raw and cleaned HDFStores, UCLCHEM's CSV output and
    DataFrames, Parquet, HDF5 files with a dataset per column, and tracer files. Data
    are read in blocks of tracers, so that memory does not grow with the input. Tracers
    shorter than the longest are padded with NaN. Sources without species become a file
    of tracks. Sources may have different parameters, see `joining`.

    Args:
        sources: One or several paths, DataFrames, or pairs of DataFrames (physics,
            abundances) as UCLCHEM returns them.
        out: The tracer file; it appears under this name only when complete.
        config: How to read them: alignment, parameter columns, elements, split. By
            default, the configuration of `dataset=grav`.
        split: Whether to make a split if the sources have none.
        tracks: Whether to import only the physics and ignore all other columns.
        progress: Called with the number of imported tracers and their total.

    Returns:
        The report of the import.

    Raises:
        InputError: For any fault of the input; the message names file, field, value and
            remedy.
        WorkError: If the file cannot be written.
    """
    if config is None:
        from astrokeras.config import compose

        config = compose().dataset
    out, sources = Path(out), _pairs(sources)
    statistics = ImportStatistics()
    with ExitStack() as stack:
        parts = open_parts(sources, out, config, statistics, stack, tracks)
        report = ImportReport(out, 0, 0, len(parts[0].species), statistics)
        report.notes += reader_notes(parts)
        orders = [species_positions(p.species, parts[0].species, p.name) for p in parts]
        joined = join_parameters(parts, config, report)
        for part in parts:
            if isinstance(part, RawTracers):
                if config.alignment == "this":
                    part.use_initial(_initial(config, part.species))
                part.leave_out_short()
        number_apart(parts, report.notes)
        report.tracers = sum(map(len, parts))
        report.states = max(part.states for part in parts)
        if not report.tracers:
            raise InputError(
                f"{parts[0].name}: holds no tracer of at least two states; give data "
                "with time steps."
            )
        splits, attributes = join_splits(parts, config, split)
        attributes |= _provenance(parts, config) | cut_attributes(config)
        if joined.filled:
            attributes["filled"] = joined.filled
        sample = _write(
            parts, orders, joined, splits, attributes, config, report, progress
        )
        if not parts[0].species:
            sample = []
            report.notes.append(NO_SPECIES)
        if sample:
            warning, note = alignment_warning(sample, config.alignment)
            report.warnings += [warning] if warning else []
            report.notes += [note] if note else []
        report.warnings += _uneven_warning(parts) + _warnings(parts, config)
    return report


def _pairs(sources: Source | Sequence[Source]) -> Source | Sequence[Source]:
    """Return a bare pair of DataFrames, as UCLCHEM returns it, as a list of one pair.

    Of two runs, each has a column of the time; of a pair, only the physics has.
    """
    if not isinstance(sources, (tuple, list)) or len(sources) < 2:
        return sources
    if not all(hasattr(frame, "iloc") for frame in sources):
        return sources
    timed = [any(str(c).strip() == "Time" for c in f.columns) for f in sources]
    alike = len({len(frame) for frame in sources}) == 1
    return [tuple(sources)] if alike and sum(timed) == 1 else sources


def _uneven_warning(parts: list[SourceTracers]) -> list[str]:
    """Return a warning about unequal time steps, which are often due to rounding."""
    ranges = [part.interval for part in parts if isinstance(part, RawTracers)]
    low = min((shortest for shortest, _ in ranges), default=np.inf)
    high = max((longest for _, longest in ranges), default=-np.inf)
    if high <= low * (1 + STEP_MARGIN):
        return []
    return [
        f"states are {low:.6g} to {high:.6g} yr apart; unequal time steps require "
        "emulator.use_timestep=true. If Time was rounded, as in UCLCHEM's CSV output, "
        "write it with more digits."
    ]


def _warnings(parts: list[SourceTracers], config: DatasetConfig) -> list[str]:
    """Return lines about unusual values of raw tables, and sums of abundances."""
    lines = []
    for part in parts:
        network: dict[str, float] = {}
        if isinstance(part, RawTracers):
            found = [part.row_check.warning(), *part.unit_check.warnings()]
            lines += [f"{line}." for line in filter(None, found)]
            if config.initial_abundances and part.check.composition.complete:
                # A network of other species has other totals.
                with contextlib.suppress(InputError):
                    initial = _initial(config, part.species)
                    network = part.check.composition.totals(initial)
        if part.species:
            lines += part.check.warnings(network, str(config.initial_abundances))
    return lines


def _initial(config: DatasetConfig, species: Sequence[str]) -> np.ndarray:
    if not species:
        return np.empty(0)
    if not config.initial_abundances:
        raise InputError(
            "`dataset.initial_abundances` is not set, but `alignment: this` prepends "
            "the network's initial abundances; give a CSV file with them."
        )
    path = Path(config.initial_abundances)
    if not path.is_file():
        path = resource("data") / path
    return read_initial(path, species, config.floor, config)


def _provenance(parts: list[SourceTracers], config: DatasetConfig) -> dict[str, Any]:
    """Return the origin of the tracers: of the dataset, else of the tracer files."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def origin(*names: str) -> dict[str, Any]:
        stored = [part.store for part in parts if isinstance(part, StoredTracers)]
        return {
            name: getattr(config, name)
            or "; ".join(
                dict.fromkeys(
                    str(store.attributes[name])
                    for store in stored
                    if store.attributes.get(name)
                )
            )
            for name in names
        }

    about = {
        **origin("source", "licence", "citation"),
        "files": [Path(part.name).name for part in parts],
        "alignment": config.alignment,
        "created": created,
    }
    if not parts[0].species:
        return about
    chemistry = origin("network", "solver", "tolerances") | {"floor": config.floor}
    elements = order_elements({e for part in parts for e in part.elements})
    return about | chemistry | {"elements": list(elements)}


def _write(
    parts: list[SourceTracers],
    orders: list[list[int]],
    joined: JoinedParameters,
    splits: np.ndarray,
    attributes: dict[str, Any],
    config: DatasetConfig,
    report: ImportReport,
    progress: Callable[[int, int], None] | None,
) -> list[Tracers]:
    """Write all tracers and return an even sample of them for the alignment check."""
    sample: list[Tracers] = []
    total = report.tracers
    every = max(1, total // TRACERS)
    done = 0
    families: list[str] = []
    counts = np.zeros(len(file_format.SPLITS), np.int64)
    with TracerWriter(
        report.path,
        species=parts[0].species,
        parameters=joined.names,
        units=joined.units,
        states=report.states,
        attributes=attributes,
    ) as writer:
        for number, (part, order) in enumerate(zip(parts, orders, strict=True)):
            offset = done
            columns = joined.order(number, part)
            known, stem = _families(part), Path(part.name).stem
            for block in part.blocks():
                n = len(block)
                place = slice(done - offset, done - offset + n)
                block.tracer = part.tracer[place]
                block.simulation = part.simulation[place]
                block.split = splits[done : done + n]
                if order != list(range(len(order))):
                    block.abundances = block.abundances[:, :, order]
                filled = fill(block.physical, joined.fillings[number])
                block.physical = filled[..., columns]
                if isinstance(part, RawTracers):
                    chosen = np.arange(-done % every, n, every)
                    sample += [block.take(chosen)] if len(chosen) else []
                block = cut_tracers(block, joined.names, config, report.statistics)
                families += [known.get(number, stem) for number in block.tracer]
                writer.append(block.padded(report.states))
                counts += np.bincount(block.split, minlength=256)[: len(counts)]
                done += n
                if progress is not None:
                    progress(done, total)
        report.tracers = writer.count
        if not report.tracers:
            raise InputError(
                f"{parts[0].name}: every tracer begins below `dataset.cut_below`; "
                "lower the limit."
            )
        if any(part.families for part in parts):
            writer.add_families(families)
        report.fixed = join_fixed(parts, joined.names, report)
        writer.file.attrs["fixed"] = report.fixed
    if (splits != file_format.UNASSIGNED).all():
        report.split = dict(zip(file_format.SPLITS, counts.tolist(), strict=True))
    return sample


def _families(part: SourceTracers) -> dict[int, str]:
    """Return the family of each tracer number, empty if the source has none.

    Tracers of other sources then have the name of their file.
    """
    named = part.families
    return dict(zip(part.tracer.tolist(), named, strict=True)) if named else {}
