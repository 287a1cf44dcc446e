"""Tables of other codes with the columns, names and units that importers expect."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

import numpy as np

from astrokeras.chemistry.species import parse_species
from astrokeras.chemistry.species_names import uclchem_names
from astrokeras.config import DatasetConfig
from astrokeras.config.typed_options import typed
from astrokeras.data.readers.snapshot_layouts import STANDARD
from astrokeras.data.readers.table import ROWS, Table, notes_of, units_of
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.data.tracers.units import factor, is_usual, likely_units
from astrokeras.errors import InputError

_LOGARITHM = re.compile(r"log(?:10)?(?:\((.+)\)|\[(.+)\]|[_ ](.+)|([A-Z]\w*))")


@dataclass(frozen=True)
class _Column:
    """Where the values of a column come from.

    Attributes:
        name: Its name.
        source: Column of the table; `None` for a constant.
        scale: Factor, or the constant.
        logarithm: Whether the table holds log10 of the values.
    """

    name: str
    source: int | None
    scale: float = 1.0
    logarithm: bool = False


class AdaptedTable:
    """Table whose columns have the names and units that the importers expect.

    - A column such as `log(n)` or `logT` becomes `n` or `T`, ten to its power.
    - Columns whose unit the file states are converted to the unit of the tracer file.
    - Species get UCLCHEM's spelling, see `chemistry.species_names`.
    - Where the reader says so (`aliases`, `loose`), names of a code that mean a
      parameter, such as `Temperature`, become its column, and columns that are neither
      parameters nor species are left out.
    - A parameter whose column is a number, `parameters.Radfield=1.7`, is this constant.

    `dataset.raw_units` comes before what the file states, and the notes say so. It must
    give the units that the file should state (`must_state`) and does not.

    Args:
        table: The table.
        config: The parameters, their columns and units.

    Raises:
        InputError: If the unit of a quantity is unknown.
    """

    def __init__(self, table: Table, config: DatasetConfig):
        self.name, self.rows = table.name, table.rows
        self._table = table
        self.notes = list(notes_of(table))
        requested: set[str | None] = {*_raw_names(config).values(), *config.drop}
        requested |= {getattr(config, key, None) for key in ("tracer", "simulation")}
        logged = {
            raw
            for parameter, raw in _raw_names(config).items()
            if str(config.raw_units.get(parameter, "")).casefold().startswith("log")
        }
        names = [str(name) for name in table.columns]
        logarithms = {name: _argument(name) for name in names}
        spelled = uclchem_names([n for n in names if n not in requested])
        renamed = {n: inner for n, inner in logarithms.items() if inner}
        renamed |= spelled | _aliases(table, config)
        renamed = {n: new for n, new in renamed.items() if n not in requested}
        factors = self._find_factors(config, renamed)
        columns = [
            _Column(
                renamed.get(name, name),
                index,
                factors.get(name, (1.0, ""))[0],
                logarithms[name] is not None and not logged & {name, logarithms[name]},
            )
            for index, name in enumerate(names)
        ]
        self.units = {renamed.get(n, n): unit for n, (_, unit) in factors.items()}
        known = {column.name for column in columns}
        constants = filter(is_number, set(config.parameters.values()) - known)
        columns += [_Column(raw, None, float(raw)) for raw in sorted(constants)]
        stated: Mapping[str, float] = getattr(table, "constants", {})
        columns += [
            _Column(name, None, value)
            for name, value in stated.items()
            if name not in known
        ]
        if getattr(table, "loose", False):
            columns = self._without_unknown(columns, requested)
        self._columns = columns
        self.columns = tuple(column.name for column in columns)
        self._tell([n for n in names if logarithms[n]], spelled)
        self._check_units(config, getattr(table, "must_state", ()))

    def read(self, start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        """Read some columns of rows `start` to `stop`, (rows, columns) float64."""
        chosen = [self._columns[column] for column in columns]
        given = [k for k, column in enumerate(chosen) if column.source is not None]
        sources = [c.source for c in chosen if c.source is not None]
        if len(given) == len(chosen):
            out = self._table.read(start, stop, sources)
        else:
            out = np.empty((stop - start, len(chosen)))
            out[:] = [column.scale for column in chosen]
            if given:
                out[:, given] = self._table.read(start, stop, sources)
        for place in given:
            column = chosen[place]
            if column.logarithm:
                with np.errstate(over="ignore"):  # An infinite value is refused later.
                    out[:, place] = 10.0 ** out[:, place]
            if column.scale != 1:
                out[:, place] *= column.scale
        return out

    def _without_unknown(
        self, columns: list[_Column], requested: set[str | None]
    ) -> list[_Column]:
        """Return the columns that are parameters, identifiers or species."""
        kept = {"Time", "Tracer", "Simulation", *requested, *STANDARD.values()}
        unknown = [
            column.name
            for column in columns
            if column.name not in kept and not _is_species(column.name)
        ]
        if unknown:
            self.notes.append(f"{self.name}: {', '.join(unknown)} left out")
        return [column for column in columns if column.name not in unknown]

    def _find_factors(
        self, config: DatasetConfig, renamed: Mapping[str, str]
    ) -> dict[str, tuple[float, str]]:
        """Return factor and unit of the columns whose unit the file states, by name."""
        stated = {
            renamed.get(name, name).casefold(): (name, unit)
            for name, unit in units_of(self._table).items()
        }
        factors = {}
        for parameter, raw in _raw_names(config).items():
            name, unit = stated.get(raw.casefold(), ("", ""))
            given, target = config.raw_units.get(parameter), _target(parameter, config)
            if name and given is not None:
                self.notes.append(
                    f"{self.name}: states that {name} is in {unit}; "
                    f"dataset.raw_units.{parameter}={given} is taken instead"
                )
            elif name:
                with suppress(InputError):  # A unit that nothing is known of.
                    factors[name] = (factor(parameter, unit, target), target)
        return factors

    def _check_units(self, config: DatasetConfig, wanted: Sequence[str]) -> None:
        """Raise InputError for quantities in unknown units of a code."""
        likely = {}
        for parameter in wanted:
            raw = _raw_names(config).get(parameter, "")
            if raw not in self.columns or raw in self.units:
                continue
            column = self.columns.index(raw)
            if parameter in config.raw_units or self._columns[column].source is None:
                continue
            values = self.read(0, min(ROWS, self.rows), [column])
            if parameter == "Time":
                values = np.ptp(values, keepdims=True)
            median = float(np.median(values))
            unit = _target(parameter, config)
            found = likely_units([median], unit) if not is_usual(median, unit) else []
            likely[parameter] = found[0] if found else unit.split()[-1]
        if likely:
            units = {name: unit.replace("^", "") for name, unit in likely.items()}
            raise InputError(
                f"{self.name}: the files state no unit of {' and '.join(units)}; give "
                f"{typed('dataset.raw_units', units)}, or what they are in, or factors "
                "to the units of tracer files."
            )

    def _tell(self, logarithms: Sequence[str], spelled: Mapping[str, str]) -> None:
        if logarithms:
            self.notes.append(
                f"{self.name}: {', '.join(logarithms)}: ten to the power of the values"
            )
        if spelled:
            pairs = [f"{old} is {new}" for old, new in spelled.items()]
            more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
            self.notes.append(
                f"{self.name}: UCLCHEM's spelling: {', '.join(pairs[:5])}{more}"
            )


def _argument(name: str) -> str | None:
    """Return the argument of a name such as `log(n)`, `log10[n]`, `log_n` or `logT`."""
    match = _LOGARITHM.fullmatch(name)
    return next(part for part in match.groups() if part) if match else None


def is_number(raw: str) -> bool:
    """Return whether the column of a parameter is a number, its constant value."""
    with suppress(ValueError):
        return isfinite(float(raw))
    return False


def _is_species(name: str) -> bool:
    with suppress(InputError):
        return bool(parse_species(name)) and name == name.upper()
    return False


def _aliases(table: Table, config: DatasetConfig) -> dict[str, str]:
    """Return the columns of parameters by the names that the code gives them."""
    aliases: Mapping[str, str] = getattr(table, "aliases", {})
    raw = dict(config.parameters)
    found: dict[str, str] = {}
    for name in table.columns:
        standard = aliases.get(name.casefold(), "")
        parameter = (
            standard[:1].upper() + standard[1:] if standard == "radfield" else standard
        )
        column = raw.get(parameter, standard)
        if standard and column not in table.columns and column not in found.values():
            found[name] = column
    return found


def _raw_names(config: DatasetConfig) -> dict[str, str]:
    """Return the columns of time and parameters by parameter."""
    return {"Time": config.time} | dict(config.parameters)


def _target(parameter: str, config: DatasetConfig) -> str:
    if parameter == "Time":
        return "yr"
    return config.units.get(parameter, PARAMETER_UNITS.get(parameter, ""))
