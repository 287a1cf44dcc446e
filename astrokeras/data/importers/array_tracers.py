"""Tracers in memory: arrays that become a tracer file, and a whole file as arrays."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from astrokeras.data.tracers.block import Tracers, check_values
from astrokeras.data.tracers.file_format import (
    NO_SIMULATION,
    PARAMETER_UNITS,
    SPLITS,
    UNASSIGNED,
)
from astrokeras.data.tracers.foreign_arrays import column_names
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.close_names import suggest


def write_tracers(
    path: str | os.PathLike[str],
    abundances: Any,
    physical: Any,
    time: Any,
    *,
    species: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    simulation: Any = None,
    split: Any = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write tracers that are arrays in memory to a tracer file.

    `TracerWriter` writes more tracers than fit into memory, block by block.

    Args:
        path: The file, which appears when it is complete.
        abundances: Of all states, relative to H nuclei, `(N, T+1, S)`, or `(T+1, S)` of
            one tracer; plain numbers, or by name as in `Surrogate.emulate`.
        physical: Parameters, `(N, T, P)` or `(T, P)`; entry t drives state t to state
            t + 1.
        time: Years of the states, `(N, T+1)` or `(T+1,)`.
        species: Names, `(S,)`; not needed if `abundances` has names.
        parameters: Names, `(P,)`; not needed if `physical` has names.
        units: Units of the parameters, `(P,)`, or by name. Those of tracer files, such
            as "H nuclei cm^-3" for `Density`, if they are not given.
        simulation: Identifiers of the simulations, `(N,)` or one for all tracers; a
            split never separates the tracers of one simulation.
        split: "train", "validation" or "test" of each tracer, `(N,)` or one for all.
        attributes: Root attributes, such as source, licence and citation.
        overwrite: Whether an existing file is replaced.

    Raises:
        InputError: For names, shapes or values that do not fit, or an existing file;
            nothing is written then.
        WorkError: If the file cannot be written.
    """
    target = arguments.path("path", path)
    if target.exists() and not arguments.flag("overwrite", overwrite):
        raise InputError(
            f"{target}: exists; give another path, or overwrite=True to replace it."
        )
    species = _names("species", species, "abundances", abundances)
    parameters = _names("parameters", parameters, "physical", physical)
    units = _units(parameters, units)
    states = as_numbers("abundances", abundances, "f4", columns=species, units=[""])
    driving = as_numbers("physical", physical, "f4", columns=parameters, units=units)
    states = states[None] if states.ndim == 2 else states
    driving = driving[None] if driving.ndim == 2 else driving
    years = as_numbers("time", time, "f8", units=["yr"])
    count, length = states.shape[:2] if states.ndim == 3 else (0, 0)
    expected = {
        "abundances": (states.shape, (count, length, len(species))),
        "physical": (driving.shape, (count, length - 1, len(parameters))),
        "time": (years.shape[-1:], (length,)),
    }
    for name, (shape, needed) in expected.items():
        if shape != needed or not count or length < 2:
            shapes = f"abundances {states.shape}, physical {driving.shape}"
            raise InputError(
                f"{name} does not fit: {shapes} and time {years.shape} were given for "
                f"{len(species)} species and {len(parameters)} parameters; give (N, "
                "T+1, S), (N, T, P) and (N, T+1)."
            )
    tracers = Tracers(
        rows=np.arange(count),
        abundances=states,
        physical=driving,
        time=_for_each("time", years, (count, length)),
        length=np.full(count, length, "i4"),
        tracer=np.arange(count),
        simulation=_for_each(
            "simulation",
            as_numbers(
                "simulation", NO_SIMULATION if simulation is None else simulation, "i8"
            ),
            (count,),
        ),
        split=_for_each("split", _codes(split), (count,)),
    )
    check_values(target, tracers, species, parameters)
    with TracerWriter(
        target,
        species=species,
        parameters=parameters,
        units=units,
        states=length,
        attributes={} if attributes is None else attributes,
    ) as writer:
        writer.append(tracers)


def read_tracers(
    path: str | os.PathLike[str],
) -> tuple[Tracers, tuple[str, ...], tuple[str, ...]]:
    """Read a whole tracer file into memory.

    `TracerStore` reads larger files block by block, and has their attributes.

    Args:
        path: A tracer file.

    Returns:
        The tracers, the names of their species, `(S,)`, and of their parameters,
        `(P,)`.

    Raises:
        InputError: If the file is missing, damaged or malformed.
    """
    with TracerStore(path) as store:
        return store.read(slice(None)), store.species, store.parameters


def _names(
    key: str, names: Sequence[str] | None, holder: str, values: Any
) -> tuple[str, ...]:
    """Return given names, or those that the values have themselves."""
    found = column_names(values) if names is None else names
    if found is None:
        raise InputError(
            f"{holder} has no names; give {key}=, a list of names in the order of its "
            "last axis."
        )
    return arguments.texts(key, found, least=1)


def _units(
    parameters: Sequence[str], units: Sequence[str] | Mapping[str, str] | None
) -> tuple[str, ...]:
    """Return the unit of each parameter."""
    if units is not None and not isinstance(units, Mapping):
        return arguments.texts("units", units)
    given = {} if units is None else dict(units)
    unknown = [name for name in given if name not in parameters]
    if unknown:
        remedy = suggest(unknown[0], parameters, "; leave it out.")
        raise InputError(
            f"units names {arguments.shown(unknown[0])}, which is not a parameter"
            f"{remedy}"
        )
    known = PARAMETER_UNITS | given
    missing = [name for name in parameters if name not in known]
    if missing:
        remedy = f'; give units={{"{missing[0]}": ...}}, "" if it has none.'
        raise InputError(
            f"the unit of {', '.join(missing)} is unknown"
            f"{suggest(missing[0], PARAMETER_UNITS, remedy)}"
        )
    return arguments.texts("units", [known[name] for name in parameters])


def _codes(split: Any) -> np.ndarray:
    """Return the codes of names of splits."""
    if split is None:
        return np.array(UNASSIGNED, "u1")
    one = isinstance(split, str)
    names = arguments.texts("split", [split] if one else split)
    codes = [SPLITS.index(arguments.choice("split", x, *SPLITS)) for x in names]
    return np.array(codes[0] if one else codes, "u1")


def _for_each(name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return values for all tracers, given for each of them or once."""
    if values.shape not in (shape, shape[1:]):
        raise InputError(
            f"{name} has shape {values.shape}; give {shape} or {shape[1:]}."
        )
    return np.broadcast_to(values, shape)
