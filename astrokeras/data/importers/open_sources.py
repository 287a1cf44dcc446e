"""Opening of the sources of an import, by kind of file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from astrokeras.chemistry.abundance_definitions import Composition
from astrokeras.chemistry.assumed_parameters import ASSUMED, COLUMNS
from astrokeras.config import DatasetConfig
from astrokeras.data.checks.abundance_check import AbundanceCheck
from astrokeras.data.importers.adapted_table import AdaptedTable, is_number
from astrokeras.data.importers.import_report import ImportStatistics
from astrokeras.data.importers.raw_tracers import RawTracers
from astrokeras.data.readers.pandas_hdf5 import PandasTable, frame_keys
from astrokeras.data.readers.parquet_table import (
    HDF5Table,
    ParquetTable,
    column_names,
    is_parquet,
)
from astrokeras.data.readers.registry import find_reader
from astrokeras.data.readers.snapshots import SnapshotTable, snapshots_of
from astrokeras.data.readers.table import FrameTable, Table, notes_of
from astrokeras.data.readers.uclchem_hdf5 import UclchemModel, models_in
from astrokeras.data.tracers.block import Tracers, check_values
from astrokeras.data.tracers.hdf5 import open_hdf5
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.system.input_paths import check_input

Source = Any
"""A path, a DataFrame, or UCLCHEM's pair of DataFrames."""

ROUNDED_UP = 1.0025
"""Highest abundance of a tracer file: files may be rounded to steps of 0.002 dex."""


class StoredTracers:
    """Tracers of a file that already has the tracer format.

    Args:
        store: The open file.
        statistics: Counts to which this source adds.
        physics: Whether to leave out species.

    Raises:
        InputError: If the file holds only initial states.
    """

    numbered = True

    def __init__(
        self, store: TracerStore, statistics: ImportStatistics, physics: bool = False
    ):
        if store.has_abundances and not (store.solved or physics):
            raise InputError(
                f"{store.path}: holds only initial states; import solved tracers."
            )
        self.store, self.name = store, str(store.path)
        self.statistics = statistics
        self.species = () if physics or not store.has_abundances else store.species
        self.parameters, self.units = store.parameters, store.units
        self.elements = store.elements if self.species else ()
        self.source = str(store.attributes.get("source", ""))
        self.tracer, self.simulation = store.tracer.copy(), store.simulation.copy()
        self.split = store.split if store.has_split else None
        self.families = store.families()
        self.states = store.states
        composition = Composition.of(self.species, self.elements)
        self.check = AbundanceCheck(self.name, composition, stored=True, lenient=True)

    def __len__(self) -> int:
        return len(self.tracer)

    def blocks(self) -> Iterator[Tracers]:
        """Iterate over blocks of tracers; abundances that were rounded up become 1."""
        for block in self.store.blocks(check=False):
            high = (block.abundances > 1) & (block.abundances <= ROUNDED_UP)
            self.statistics.lowered += int(high.sum())
            block.abundances[high] = 1.0
            check_values(self.name, block, self.store.species, self.parameters)
            if self.species:
                self.check.add_tracers(block)
            yield block


SourceTracers = RawTracers | StoredTracers


def open_parts(
    sources: Source | Sequence[Source],
    out: Path,
    config: DatasetConfig,
    statistics: ImportStatistics,
    stack: ExitStack,
    physics: bool = False,
) -> list[SourceTracers]:
    """Open all sources; the stack closes the files.

    Args:
        sources: One or several paths or DataFrames.
        out: The output file, which must not be a source.
        config: Layout and columns.
        statistics: Counts to which the sources will add.
        stack: Stack that closes the open files.
        physics: Whether to leave out species.

    Raises:
        InputError: For a source that cannot be read, or is given twice.
    """
    parts: list[SourceTracers] = []
    seen = {out.resolve()}
    sets: dict[Path, list[Path]] = {}
    for number, source in enumerate(_as_list(sources), start=1):
        if not isinstance(source, (str, os.PathLike)):
            table = AdaptedTable(FrameTable(source, f"DataFrame {number}"), config)
            parts.append(
                RawTracers(table, config, statistics, single=True, physics=physics)
            )
            continue
        path = Path(source)
        if path.resolve() in seen:
            raise InputError(
                f"{path}: is given twice, or is the output; give each file once."
            )
        seen.add(path.resolve())
        paths = snapshots_of(path, config.layout)
        if paths:  # Snapshots of one folder are one set.
            sets.setdefault(paths[0].parent, []).extend(paths)
        else:
            parts += _open_file(path, config, statistics, stack, physics)
    for paths in sets.values():
        table = AdaptedTable(SnapshotTable(paths, stack), config)
        parts.append(RawTracers(table, config, statistics, physics=physics))
    return parts


def _check_dataset(table: Table, dataset: str, config: DatasetConfig) -> None:
    """Raise InputError if a layout has its own dataset, and this one does not fit."""
    columns = {name.casefold() for name in table.columns}
    filled = {*ASSUMED, *COLUMNS}
    lacking = [
        name
        for name, raw in config.parameters.items()
        if not ({raw.casefold()} & columns or name in filled or is_number(raw))
    ]
    if dataset and lacking:
        raise InputError(
            f"{table.name}: has the layout of `dataset={dataset}`, without a column "
            f"for {', '.join(lacking)}; say `dataset={dataset}`, or give a constant, "
            f"such as dataset.parameters.{lacking[0]}=1.7."
        )


def reader_notes(parts: Sequence[SourceTracers]) -> list[str]:
    """Return what the readers of the sources have to say, a line each."""
    tables = [part.table for part in parts if isinstance(part, RawTracers)]
    return [line for table in tables for line in notes_of(table)]


def _open_file(
    path: Path,
    config: DatasetConfig,
    statistics: ImportStatistics,
    stack: ExitStack,
    physics: bool,
) -> list[SourceTracers]:
    def raw(table: Table, cleaned: bool = False, single: bool = False) -> RawTracers:
        adapted = AdaptedTable(table, config)
        _check_dataset(adapted, getattr(table, "dataset", ""), config)
        return RawTracers(adapted, config, statistics, cleaned, single, physics)

    layout = config.layout
    reader = find_reader(path, layout)
    if reader is not None:
        return [raw(reader.open(path), single=True)]
    check_input(path)
    if layout in ("auto", "columns") and is_parquet(path):
        return [raw(ParquetTable(path), single=True)]
    file = stack.enter_context(open_hdf5(path))
    if layout == "tracers" or (layout == "auto" and "format" in file.attrs):
        store = stack.enter_context(TracerStore(path, need_abundances=False))
        return [StoredTracers(store, statistics, physics)]
    models = models_in(file) if layout in ("auto", "uclchem") else []
    if models:
        return [raw(UclchemModel(model), single=True) for model in models]
    keys = frame_keys(file)
    if layout == "columns" or (layout == "auto" and not keys and column_names(file)):
        return [raw(HDF5Table(file), single=True)]
    if layout == "auto":
        layout = "cleaned" if {"train", "val"} <= set(keys) else "raw"
    if layout == "cleaned":
        wanted = ["train", "val"]
    else:
        wanted = ["df"] if "df" in keys or len(keys) != 1 else keys
    return [raw(PandasTable(file, key), layout == "cleaned") for key in wanted]


def _as_list(sources: Source | Sequence[Source]) -> list[Source]:
    if isinstance(sources, (str, os.PathLike)) or hasattr(sources, "iloc"):
        return [sources]
    listed = list(sources)
    if not listed:
        raise InputError("no input given; give at least one raw file.")
    return listed
