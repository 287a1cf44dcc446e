"""Layouts of HDF5 snapshots: where a code keeps numbers of particles, time and units.

The names follow the writers of the codes:

- GADGET, AREPO, GIZMO and SWIFT: `PartType0/ParticleIDs` and the attribute `Time` of
  `Header`. AREPO's `io.c` gives each dataset `to_cgs`; SWIFT's `io_properties` the
  factor `Conversion factor to CGS (not including cosmological corrections)`; GADGET-4
  and GIZMO state the units of length, mass and velocity in `Parameters` or `Header`.
- FLASH (`io_h5write_particles.c`): `tracer particles`, (particles, properties), whose
  names are in `particle names`; the time is among the `real scalars`; all in cgs.
- Parthenon codes such as AthenaPK (`parthenon_hdf5.cpp`): a group a swarm, with
  datasets in `SwarmVars`, and the attribute `Time` of `Info`; in units of the code.
- Phantom (`utils_dumpfiles_hdf5.f90`): groups `header` and `particles`; the density
  follows from the smoothing length, rho = m (hfact / h)^3 (Price & Monaghan 2007, MNRAS
  374, 1347).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from astrokeras.data.tracers.file_format import decoded, plain_dataset, stored_item
from astrokeras.data.tracers.units import is_unit
from astrokeras.errors import InputError

STANDARD = {
    "density": "Density",
    "dens": "Density",
    "rho": "Density",
    "temperature": "gasTemp",
    "temp": "gasTemp",
    "tgas": "gasTemp",
    "t": "gasTemp",
    "dusttemperature": "dustTemp",
    "tdust": "dustTemp",
    "extinction": "Av",
    "av": "Av",
    "radfield": "radfield",
    "g0": "radfield",
    "zeta": "zeta",
}
"""Names of columns of tracers, by those of the codes in small letters."""
_CGS = {"Density": "g/cm^3", "gasTemp": "K", "dustTemp": "K"}
_TO_CGS = (
    "to_cgs",
    "CGSConversionFactor",
    "Conversion factor to CGS (not including cosmological corrections)",
)
_UNIT_NAMES = ("units", "unit", "Units", "Unit")


@dataclass
class Snapshot:
    """Particles of one file at one time.

    Attributes:
        time: Time in `time_unit`.
        time_unit: Its unit, empty if the file does not say.
        ids: Returns the numbers of the particles, (particles,).
        columns: Functions that return the values of each column, (particles,), by name.
        units: Units of those columns whose unit the file or the code states.
    """

    time: float
    time_unit: str
    ids: Callable[[], np.ndarray]
    columns: dict[str, Callable[[], np.ndarray]]
    units: dict[str, str] = field(default_factory=dict)


def find_snapshot(file: h5py.File) -> Snapshot | None:
    """Return the particles of a file, `None` if it has no layout of a snapshot.

    Raises:
        InputError: If its particles cannot be read, or the run is comoving.
    """
    for layout in (_gadget, _flash, _parthenon, _phantom):
        snapshot = layout(file)
        if snapshot is not None:
            return snapshot
    return None


def _gadget(file: h5py.File) -> Snapshot | None:
    groups = [
        group
        for group in (stored_item(file, f"PartType{number}") for number in range(7))
        if isinstance(group, h5py.Group) and "ParticleIDs" in group
    ]
    if not groups:
        return None
    group = next((g for g in groups if "Density" in g), groups[0])
    header = _attributes(file, "Header") | _attributes(file, "Parameters")
    header |= _attributes(file, "Units") | _plain(file.attrs)
    if header.get("ComovingIntegrationOn", 0) or header.get("Cosmological run", 0):
        raise InputError(
            f"{file.filename}: is of a comoving run, whose Time is a scale factor; "
            "convert times to years and densities to physical units, and write a table."
        )
    if "Time" not in header:
        raise InputError(
            f"{file.filename}: has particles but no attribute 'Time' of 'Header'; "
            "write it."
        )
    scales = _base_units(header)
    columns, units = {}, {}
    for name, dataset in _columns(group).items():
        if name == "ParticleIDs":
            continue
        standard = STANDARD.get(name.casefold(), "")
        scale, unit = _stated(dataset, standard, scales)
        columns[name] = _scaled(dataset, scale)
        if unit:
            units[name] = unit
    unit = decoded(header.get("TimeUnit", ""))
    time = float(np.ravel(header["Time"])[0])
    if not unit and "time" in scales:
        unit, time = "s", time * scales["time"]
    ids = plain_dataset(group, "ParticleIDs")
    return Snapshot(time, unit if is_unit(unit) else "", lambda: ids[:], columns, units)


def _base_units(header: Mapping[str, Any]) -> dict[str, float]:
    """Return the units of density (g/cm^3) and time (s) that a header states."""

    def stated(*names: str) -> float | None:
        for name in names:
            if name in header:
                return float(np.ravel(header[name])[0])
        return None

    length = stated("UnitLength_in_cm", "UnitLength_In_CGS", "Unit length in cgs (U_L)")
    mass = stated("UnitMass_in_g", "UnitMass_In_CGS", "Unit mass in cgs (U_M)")
    speed = stated("UnitVelocity_in_cm_per_s", "UnitVelocity_In_CGS")
    time = stated("UnitTime_in_s", "Unit time in cgs (U_t)")
    scales = {}
    if length and mass:
        scales["density"] = mass / length**3
    if time or (length and speed):
        scales["time"] = time or length / speed  # type: ignore[operator]
    return scales


def _stated(
    dataset: h5py.Dataset, standard: str, scales: Mapping[str, float]
) -> tuple[float, str]:
    """Return the factor of a dataset to a unit, and this unit, empty if unknown."""
    named = [decoded(dataset.attrs[n]) for n in _UNIT_NAMES if n in dataset.attrs]
    if named and is_unit(named[0]):
        return 1.0, named[0]
    factors = [
        float(np.ravel(dataset.attrs[name])[0])
        for name in _TO_CGS
        if name in dataset.attrs
    ]
    unit = _CGS.get(standard, "")
    if factors and factors[0] > 0:
        return factors[0], unit
    if standard == "Density" and "density" in scales:
        return scales["density"], unit
    return 1.0, unit if unit == "K" else ""


def _flash(file: h5py.File) -> Snapshot | None:
    if not {"tracer particles", "particle names"} <= set(file):
        return None
    table = plain_dataset(file, "tracer particles")
    names = [
        decoded(name).strip()
        for name in plain_dataset(file, "particle names")[:].ravel()
    ]
    scalars = {
        decoded(name).strip(): float(value)
        for name, value in plain_dataset(file, "real scalars")[:].tolist()
    }
    if table.ndim != 2 or table.shape[1] != len(names) or "tag" not in names:
        raise InputError(
            f"{file.filename}: 'tracer particles' must have a column for each of the "
            f"{len(names)} 'particle names', 'tag' among them."
        )

    def column(index: int) -> Callable[[], np.ndarray]:
        return lambda: table[:, index]

    columns = {name: column(i) for i, name in enumerate(names) if name != "tag"}
    units = {n: _CGS.get(STANDARD.get(n.casefold(), ""), "") for n in columns}
    return Snapshot(
        scalars["time"],
        "s",
        column(names.index("tag")),
        columns,
        {name: unit for name, unit in units.items() if unit},
    )


def _parthenon(file: h5py.File) -> Snapshot | None:
    for name in file:
        swarm = stored_item(file, name)
        group = (
            stored_item(swarm, "SwarmVars") if isinstance(swarm, h5py.Group) else None
        )
        if not isinstance(group, h5py.Group):
            continue
        found = {key.rpartition(".")[2]: ds for key, ds in _columns(group).items()}
        info = _attributes(file, "Info")
        if "id" not in found or "Time" not in info:
            continue
        ids = found.pop("id")
        columns = {key: _scaled(dataset, 1.0) for key, dataset in found.items()}
        time = float(np.ravel(info["Time"])[0])
        return Snapshot(time, "", _scaled(ids, 1.0), columns)
    return None


def _phantom(file: h5py.File) -> Snapshot | None:
    header, group = stored_item(file, "header"), stored_item(file, "particles")
    if not (isinstance(header, h5py.Group) and isinstance(group, h5py.Group)):
        return None

    def value(name: str) -> float | None:
        item = stored_item(header, name)
        if isinstance(item, h5py.Dataset):
            return float(np.ravel(item[()])[0])
        return float(np.ravel(header.attrs[name])[0]) if name in header.attrs else None

    time, utime = value("time"), value("utime")
    if time is None or utime is None or "h" not in group:
        return None
    found = _columns(group)
    size = plain_dataset(group, "h")
    mass, hfact = value("massoftype") or 0.0, value("hfact") or 1.2
    mass *= value("umass") or 1.0
    length = value("udist") or 1.0
    # Numbers stay with their particles unless these were sorted; `iorig` then tells.
    ids = found.pop("iorig", found.pop("id", None))
    columns = {n: _scaled(d, 1.0) for n, d in found.items() if n not in ("h", "itype")}
    columns["rho"] = lambda: (
        mass * (hfact / (np.abs(size[:].astype("f8")) * length)) ** 3
    )
    units = {"rho": "g/cm^3"} | {n: "K" for n in ("T", "temperature") if n in columns}
    count = len(size)
    return Snapshot(
        time * utime,
        "s",
        (lambda: np.arange(count)) if ids is None else (lambda: ids[:]),
        columns,
        units,
    )


def _columns(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Return the datasets of numbers with one axis, by name."""
    found = {name: stored_item(group, name) for name in group}
    return {
        name: plain_dataset(group, name)
        for name, item in found.items()
        if isinstance(item, h5py.Dataset)
        and item.ndim == 1
        and item.dtype.kind in "fiu"
    }


def _scaled(dataset: h5py.Dataset, scale: float) -> Callable[[], np.ndarray]:
    return (lambda: dataset[:]) if scale == 1 else (lambda: dataset[:] * scale)


def _attributes(file: h5py.File, name: str) -> dict[str, Any]:
    group = stored_item(file, name)
    return _plain(group.attrs) if isinstance(group, h5py.Group) else {}


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): attributes[key] for key in attributes}


def common(snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """Return the names of the columns that all snapshots have, in order."""
    first, *others = snapshots
    return tuple(n for n in first.columns if all(n in s.columns for s in others))
