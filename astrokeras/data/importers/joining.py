"""Joining of several sources: their parameters, splits and constants."""

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import Filling, find_fillings, quantity
from astrokeras.config import DatasetConfig
from astrokeras.config.typed_options import typed
from astrokeras.data.importers.import_report import ImportReport
from astrokeras.data.importers.open_sources import SourceTracers, StoredTracers
from astrokeras.data.importers.raw_tracers import RawTracers
from astrokeras.data.tracers.file_format import (
    NO_SIMULATION,
    PARAMETER_UNITS,
    UNASSIGNED,
)
from astrokeras.data.tracers.split import (
    make_split,
    split_attributes,
    split_by_number,
)
from astrokeras.data.tracers.units import factor
from astrokeras.errors import InputError


@dataclass(frozen=True)
class JoinedParameters:
    """Parameters of the joined file, and how each source provides them.

    Attributes:
        names: Names, (P,).
        units: Units, (P,).
        fillings: For each source, the parameters that it lacks.
        filled: A line for each source that lacks any, which names them.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    fillings: list[list[Filling]]
    filled: list[str]

    def order(self, number: int, part: SourceTracers) -> list[int]:
        """Return the columns of a source's filled parameters in the file's order."""
        names = [*part.parameters, *(f.name for f in self.fillings[number])]
        return [names.index(name) for name in self.names]


def join_parameters(
    parts: Sequence[SourceTracers], config: DatasetConfig, report: ImportReport
) -> JoinedParameters:
    """Return the parameters of the joined file: those of all sources.

    Parameters of `dataset.parameters` that all sources have or can fill come in
    addition. What a source lacks is filled with what it held fixed, else with the
    assumptions of `chemistry.assumed_parameters`.

    Args:
        parts: The sources.
        config: The dataset.
        report: Receives a line for each source that lacks a parameter.

    Raises:
        InputError: For a parameter in two units, or one that a source lacks and that
            cannot be filled.
    """
    owner: dict[str, tuple[str, str]] = {}
    for part in parts:
        for name, unit in zip(part.parameters, part.units, strict=True):
            other, expected = owner.setdefault(name, (part.name, unit))
            if not _are_equal(name, unit, expected):
                raise InputError(
                    f"{part.name}: parameter {name} is in {unit!r}, but {other} has "
                    f"it in {expected!r}; convert it, and correct `dataset.units`."
                )
    named = [name for name in config.parameters if name not in owner]
    fillings = [
        find_fillings(part.parameters, [*owner, *named], _held(part)) for part in parts
    ]
    known = [
        {*part.parameters, *(filling.name for filling in filled)}
        for part, filled in zip(parts, fillings, strict=True)
    ]
    for part, names in zip(parts, known, strict=True):
        for name, (other, unit) in owner.items():
            usual = PARAMETER_UNITS.get(name, unit)
            if name not in part.parameters:
                _check_filled(part, name, name in names and unit == usual, other)
    added = [name for name in named if all(name in names for names in known)]
    chosen = [*owner, *added]
    absent = [name for name in named if name not in added]
    if absent:
        report.notes.append(
            f"{', '.join(absent)} of `dataset.parameters`: not in all sources, and "
            "left out"
        )
    fillings = [[f for f in filled if f.name in chosen] for filled in fillings]
    units = {name: unit for name, (_, unit) in owner.items()} | {
        name: PARAMETER_UNITS[name] for name in added
    }
    filled = []
    for part, own in zip(parts, fillings, strict=True):
        stated = ", ".join(f.text for f in own if f.stated)
        assumed = ", ".join(f.text for f in own if not f.stated)
        says = [f"{stated} (held fixed)"] * bool(stated)
        says += [f"{assumed} (assumed)"] * bool(assumed)
        if says:
            filled.append(f"{Path(part.name).name}: filled {'; '.join(says)}")
    report.notes += filled
    return JoinedParameters(
        tuple(chosen), tuple(units[name] for name in chosen), fillings, filled
    )


def _are_equal(name: str, unit: str, other: str) -> bool:
    """Return whether two units are the same in different spellings."""
    with contextlib.suppress(InputError):
        return unit == other or factor(name, unit, other) == 1.0
    return False


def _held(part: SourceTracers) -> dict[str, float | str]:
    return part.store.held() if isinstance(part, StoredTracers) else {}


def _check_filled(part: SourceTracers, name: str, filled: bool, other: str) -> None:
    """Raise InputError for a parameter that a source lacks and that is not filled."""
    if isinstance(part, RawTracers):
        columns = {column.casefold(): column for column in part.columns.noted}
        if name.casefold() in columns:
            raise InputError(
                f"{part.name}: column {columns[name.casefold()]} is not among the "
                f"parameters of the dataset, but {other} has the parameter {name}; add "
                f"{typed(f'dataset.parameters.{name}', columns[name.casefold()])}."
            )
    if not filled:
        raise InputError(
            f"{part.name}: has no parameter {name}, which {other} has, and does not "
            "say that it was held fixed; add it, or state its value in the attribute "
            f"'fixed' of the tracer file, such as '{name} = 1'."
        )


def join_splits(
    parts: Sequence[SourceTracers], config: DatasetConfig, wanted: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the split of the joined file and its attributes.

    A split that a source stores is inherited. If all sources store one, it is the split
    of the file; else `split.by=number` assigns the tracers of the others.

    Args:
        parts: The sources, with their final numbers.
        config: The dataset.
        wanted: Whether to make a split if the sources have none.

    Raises:
        InputError: If only some sources store a split and others are not split by
            number, or if one simulation is in several parts of the split.
    """
    simulation = np.concatenate([part.simulation for part in parts])
    given = [part.split for part in parts if part.split is not None]
    if len(given) == len(parts):
        return _inherit(parts, simulation, np.concatenate(given))
    by_number = config.split.by == "number"
    if given and not by_number:
        raise InputError(
            f"{parts[0].name} and others: some have a split and some have none; import "
            "only raw files, so that one split is made for all, or give "
            "`dataset.split.by=number`, which keeps the split of those that have one."
        )
    if not wanted:
        return np.full(len(simulation), UNASSIGNED, np.uint8), {}
    attributes = split_attributes(config.split)
    if by_number:
        splits = [
            split_by_number(part.simulation, part.name)
            if part.split is None
            else part.split
            for part in parts
        ]
        return np.concatenate(splits), attributes
    name = parts[0].name + " and others" * (len(parts) > 1)
    return make_split(simulation, config.split, name), attributes


def _inherit(
    parts: Sequence[SourceTracers], simulation: np.ndarray, split: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    stored = next(part for part in parts if isinstance(part, StoredTracers))
    attributes = stored.store.split_attributes
    known = simulation != NO_SIMULATION
    if attributes.get("split_by", "simulation") == "simulation":
        pairs = np.unique(np.stack([simulation, split], axis=1)[known], axis=0)
        ids, count = np.unique(pairs[:, 0], return_counts=True)
        if (count > 1).any():
            raise InputError(
                f"{parts[-1].name}: simulation {ids[count.argmax()]} is in one split "
                "here and in another in an earlier file; import files of one split."
            )
    return split, attributes


def join_fixed(
    parts: Sequence[SourceTracers], names: Sequence[str], report: ImportReport
) -> list[str]:
    """Return what the sources held fixed and the joined file has not as a parameter.

    A warning of the report names quantities that were fixed at several values, or that
    vary in a raw file.
    """
    fixed, varied = report.statistics.fixed()
    for part in parts:
        fixed += part.store.listed("fixed") if isinstance(part, StoredTracers) else []
    known = {name.casefold() for name in names}
    by_quantity: dict[str, list[str]] = defaultdict(list)
    for entry in dict.fromkeys(fixed):
        if quantity(entry).casefold() not in known:
            by_quantity[quantity(entry).casefold()].append(entry)
    several = [", ".join(e) for e in by_quantity.values() if len(e) > 1]
    report.warnings += [
        _unseen(text, "add it to `dataset.parameters`") for text in several
    ]
    for name, meant in report.statistics.urged.items():
        option = typed(f"dataset.parameters.{meant}", name)
        drop = typed("dataset.drop", [name])
        if name in varied:
            remedy = f"give {option}, or {drop} to leave it out"
            report.warnings.append(_unseen(varied.pop(name), remedy))
        elif meant not in names and name.casefold() != meant.casefold():
            report.notes.append(f"{name} is not used; if it is {meant}, give {option}")
    if varied:
        report.notes.append(
            f"dropped, though not constant: {', '.join(varied.values())}"
        )
    return [entry for entries in by_quantity.values() for entry in entries]


def _unseen(what: str, remedy: str) -> str:
    return (
        f"{what}: varies, but is not a parameter of the dataset, so that a surrogate "
        f"cannot depend on it; {remedy}."
    )
