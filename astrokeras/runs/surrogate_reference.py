"""The surrogate that a command was given, and whether a tracer file suits it.

All of this runs before Keras is imported: a file that does not fit is refused at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.models.training_ranges import Limits
from astrokeras.runs.directory import Run
from astrokeras.runs.loading import find_surrogate, load, read_metadata
from astrokeras.system.atomic_files import hash_file
from astrokeras.system.close_names import suggest


@dataclass(frozen=True)
class SurrogateReference:
    """A surrogate by name, by path or in memory, and what it says of itself.

    Attributes:
        name: To be shown.
        path: Its `.keras` file, `None` for one in memory.
        limits: Its columns and training ranges.
        initial_conditions: Named initial abundances, (S,) each.
        elements: Names of the elements, (E,).
        stoichiometry: Atoms of each element in each species, (S, E).
        calibrated: Whether it knows error bars and trust.
        loaded: The surrogate, `None` until it is loaded.
    """

    name: str
    path: Path | None
    limits: Limits
    initial_conditions: dict[str, np.ndarray]
    elements: tuple[str, ...]
    stoichiometry: np.ndarray
    calibrated: bool = False
    loaded: Any = None

    @property
    def run(self) -> Run | None:
        """The run directory that it lies in, if it does."""
        if self.path is None:
            return None
        run = Run(self.path.parent)
        return run if run.surrogate == self.path else None

    def sha256(self) -> str:
        """Return the hash of its file, empty for a surrogate in memory."""
        return hash_file(self.path) if self.path else ""

    def load(self) -> Any:
        """Return the surrogate itself. Imports Keras."""
        return load(self.path) if self.path else self.loaded

    def initial_condition(self, name: str) -> np.ndarray:
        """Return named initial abundances, (S,).

        Raises:
            InputError: If there are none of this name; the message lists the names.
        """
        if name not in self.initial_conditions:
            raise InputError(
                f"{name!r} is neither a file nor a start of surrogate {self.name!r}; "
                f"its starts are: {', '.join(self.initial_conditions) or 'none'}"
                f"{suggest(name, self.initial_conditions)}"
            )
        return self.initial_conditions[name]


def find_surrogate_reference(wanted: Any) -> SurrogateReference:
    """Find a surrogate and read what it says of itself, without Keras.

    Args:
        wanted: The name of a run or a preset, a run directory, a `.keras` file, or a
            `Surrogate`.

    Raises:
        InputError: If there is none; the message lists the runs there are.
    """
    if not hasattr(wanted, "emulate"):
        path = find_surrogate(wanted)
        about, loaded = read_metadata(path), None
        name = path.parent.resolve().name if path.stem == "surrogate" else path.stem
    else:
        path, about, loaded = None, wanted.get_config(), wanted
        about["calibrated"] = getattr(wanted, "trust", None) is not None
        name = wanted.name
    return SurrogateReference(
        name=name,
        path=path,
        limits=Limits.from_metadata(about),
        initial_conditions={
            k: np.asarray(v, np.float64) for k, v in about["initial_conditions"].items()
        },
        elements=tuple(about["elements"]),
        stoichiometry=np.asarray(about["stoichiometry"], np.float64),
        calibrated=about["calibrated"],
        loaded=loaded,
    )


def match_columns(store: TracerStore, target: SurrogateReference) -> np.ndarray:
    """Check that a tracer file has the surrogate's columns.

    Parameters are matched by name, further ones are ignored; what the file says it held
    fixed counts as one. A file of tracks has no species that could differ.

    Returns:
        Columns of the file's parameters in the surrogate's order, (P,).

    Raises:
        InputError: For another list or order of species, a parameter that is missing
            or one in another unit.
    """
    limits = target.limits
    if store.species:
        where = f"{store.path}: dataset 'species'"
        match_species(where, store.species, limits.species)
    store.add_held(limits.parameters)
    missing = [name for name in limits.parameters if name not in store.parameters]
    if missing:
        raise InputError(
            f"{store.path}: dataset 'parameters' lacks {', '.join(missing)}, it holds "
            f"{', '.join(store.parameters)}; surrogate {target.name!r} needs "
            f"{', '.join(limits.parameters)}{suggest(missing[0], store.parameters)}"
        )
    columns = [store.parameters.index(name) for name in limits.parameters]
    for unit, column in zip(limits.units, columns, strict=True):
        if store.units[column] != unit:
            raise InputError(
                f"{store.path}: parameter {store.parameters[column]} is in "
                f"{store.units[column]!r}, surrogate {target.name!r} was trained on "
                f"{unit!r}; convert it and correct the attribute 'units'."
            )
    return np.array(columns)


def match_species(where: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse species other than the surrogate's, or in another order.

    Raises:
        InputError: Beginning with `where` and naming the difference.
    """
    if tuple(found) == tuple(wanted):
        return
    lacking = [name for name in wanted if name not in set(found)]
    surplus = [name for name in found if name not in set(wanted)]
    if lacking or surplus:
        parts = [
            f"{verb} {len(names)} ({', '.join(names[:5])}{', ...' * (len(names) > 5)})"
            for verb, names in (("lacks", lacking), ("has besides", surplus))
            if names
        ]
        remedy = "; use a file of the same network."
        if lacking and surplus:
            remedy = suggest(surplus[0], lacking, remedy)
        raise InputError(
            f"{where} differs from the surrogate's {len(wanted)} names: it "
            f"{' and '.join(parts)}{remedy}"
        )
    place = next(i for i, name in enumerate(wanted) if found[i] != name)
    raise InputError(
        f"{where} has another order than the surrogate's, first in column {place}: "
        f"{found[place]} instead of {wanted[place]}; reorder the columns."
    )


def check_steps(store: TracerStore, tracers: Tracers, limits: Limits) -> None:
    """Refuse intervals between states that the surrogate was not trained on.

    Raises:
        InputError: Naming tracer, state, interval and the trained range, in years.
    """
    valid = np.arange(tracers.time.shape[1] - 1) < tracers.length[:, None] - 1
    bad = valid & limits.outside_steps(tracers.time)
    if bad.any():
        row, state = np.unravel_index(int(bad.argmax()), bad.shape)
        low, high = limits.dt_range
        trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        step = np.diff(tracers.time[row, state : state + 2])[0]
        raise InputError(
            f"{store.path}: tracer {tracers.tracer[row]}, state {state + 1}: time "
            f"steps by {step:g} yr, the surrogate was trained on steps of {trained} "
            "yr; resample the tracers."
        )
