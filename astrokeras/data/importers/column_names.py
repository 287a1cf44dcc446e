"""Columns of a raw table by name: as written first, by letter case only where unique.

`n` and `N` are a density and nitrogen: a name that differs in case alone stands for
a column only if no other column is spelled alike, and never for a species.
"""

import re
from collections.abc import Iterable, Sequence

from astrokeras.chemistry.assumed_parameters import ASSUMED, COLUMNS
from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.config import DatasetConfig
from astrokeras.config.typed_options import typed
from astrokeras.data.readers.table import Table
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

_ELEMENTS = ("S", "P", "F", "CL", "NA", "MG", "SI")
# Names that codes give to the parameters of tracer files, without case and signs.
_QUANTITIES = {
    "Density": "n nh ntot nhtot rho dens density numberdensity hdensity",
    "Radfield": "fuv g0 chi uv radfield isrf draine uvfield",
    "Av": "av extinction columndensity ncol nhcolumn coldens",
    "gasTemp": "t tg tgas temp temperature gastemp gastemperature tgask",
    "dustTemp": "td tdust dusttemp dusttemperature tdustk",
    "zeta": "zeta zetacr crir crrate cosmicrays zetah2",
    "NH2": "nh2col colh2 nh2column columnh2",
    "NCO": "ncocol colco ncocolumn columnco",
}
_MEANT = {word: name for name, words in _QUANTITIES.items() for word in words.split()}
# With these signs, N_H2 is a column density, while NH2 alone is amidogen.
_COLUMNS = {
    "n_h2": "NH2",
    "n(h2)": "NH2",
    "n_{h2}": "NH2",
    "n_co": "NCO",
    "n(co)": "NCO",
    "n_{co}": "NCO",
}


def find_column(names: Sequence[str], wanted: str, where: str, key: str) -> int | None:
    """Return the column of a name, `None` if there is none.

    Args:
        names: Names of the columns.
        wanted: The name as it is configured.
        where: The table, for messages.
        key: The key of the configuration that holds the name, for messages.

    Raises:
        InputError: If several columns differ from the name in case alone.
    """
    if wanted in names:
        return names.index(wanted)
    alike = [name for name in names if name.casefold() == wanted.casefold()]
    alike = [name for name in alike if not _is_species(name)]
    if len(alike) > 1:
        raise InputError(
            f"{where}: {key} is {wanted!r}, which {' and '.join(map(repr, alike))} "
            "match apart from case; spell it as the column."
        )
    return names.index(alike[0]) if alike else None


def parameter_meant(column: str) -> str | None:
    """Return the parameter that a column seems to hold by its name, if any.

    Names are never used for a guess: they are suggested and listed in notes.
    """
    if column.casefold() in _COLUMNS:
        return _COLUMNS[column.casefold()]
    plain = "".join(letter for letter in column if letter.isalnum())
    plain = re.sub("^(log10|log|lg)", "", plain)
    if plain.casefold() == "nh" and not _is_species(column):
        # n_H is the density of H nuclei, N_H their column density.
        return "Density" if plain.startswith("n") else "Av"
    return None if _is_species(column) else _MEANT.get(plain.casefold())


def shielding_column(names: Sequence[str], parameter: str) -> int | None:
    """Return the column of `NH2` or `NCO` by its usual names, `None` if there is none.

    These are N_H2 and N(H2), of CO likewise; `NH2` itself is amidogen.
    """
    found = [i for i, x in enumerate(names) if _COLUMNS.get(x.casefold()) == parameter]
    return found[0] if len(found) == 1 else None


def suggest_parameters(missing: Iterable[str], names: Sequence[str]) -> str:
    """Return the option that names the columns of missing parameters, else ""."""
    meant: dict[str, list[str]] = {}
    for column in names:
        parameter = parameter_meant(column)
        if parameter is not None:
            meant.setdefault(parameter, []).append(column)
    found = {name: meant[name][0] for name in missing if len(meant.get(name, [])) == 1}
    if not found:
        return ""
    return typed("dataset.parameters", found)


class Places:
    """Columns of a table, found by the names in the configuration.

    Args:
        table: The table.
    """

    def __init__(self, table: Table):
        self.names, self.where = table.columns, table.name

    def find(self, key: str, name: str) -> int | None:
        """Return the column of a name, see `find_column`."""
        return find_column(self.names, name, self.where, key)

    def identity(self, key: str, name: str | None, *usual: str) -> int | None:
        """Return the column of identifiers: the configured one, else a usual one."""
        if name is None:
            found = (self.find(word, word) for word in usual)
            return next((column for column in found if column is not None), None)
        column = self.find(f"dataset.{key}", name)
        if column is None:
            remedy = f"; give the name of a column in `dataset.{key}`."
            raise InputError(
                f"{self.where}: dataset.{key} is {name!r}, but there is no such column "
                f"(it has {listed(self.names)}){suggest(name, self.names, remedy)}"
            )
        return column


def find_parameters(
    place: Places, config: DatasetConfig, time: int | None
) -> dict[str, int]:
    """Return the columns of the parameters by name.

    Raises:
        InputError: If one is missing and cannot be filled, or the time is missing.
    """
    if not config.parameters:
        raise InputError(
            "`dataset.parameters` is empty; name the raw column of each parameter."
        )
    misplaced = [name for name in config.parameters if name.casefold() == "time"]
    if misplaced:
        raise InputError(
            "dataset.parameters.Time: the time is not a parameter; give "
            f"{typed('dataset.time', config.parameters[misplaced[0]])} instead."
        )
    names, parameters, missing = place.names, {}, {}
    for name, raw in config.parameters.items():
        column = place.find(f"dataset.parameters.{name}", raw)
        if column is None and name in COLUMNS:
            column = shielding_column(names, name)
        if column is not None:
            parameters[name] = column
        elif name not in {*ASSUMED, *COLUMNS}:
            missing[name] = raw
    lacking = [config.time] * (time is None) + [*missing.values()]
    if lacking:
        remedy = "; correct the file or `dataset.parameters`."
        if time is None:
            remedy = "; give the name of its column in `dataset.time`."
        remedy = suggest(lacking[0], names, remedy)
        free = [x for i, x in enumerate(names) if i not in parameters.values()]
        if option := suggest_parameters(missing, free):
            remedy = f"; if they are what their names say, give {option}."
        elif remedy.endswith("`dataset.parameters`."):
            name, several = next(iter(missing)), len(missing) > 1
            key = "dataset.parameters" if several else f"dataset.parameters.{name}"
            value = dict.fromkeys(missing, "1") if several else "1"
            remedy = (
                f"; name {'their columns' if several else 'its column'} in `{key}`, or "
                f"give {'numbers' if several else 'a number'} there if constant, such "
                f"as {typed(key, value)}."
            )
        raise InputError(
            f"{place.where}: column{'s' * (len(lacking) > 1)} {', '.join(lacking)} "
            f"missing (it has {listed(names)}){remedy}"
        )
    return parameters


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first of some names, and the number of the others."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _is_species(name: str) -> bool:
    """Return whether a name as it is written is a species, such as N or CO."""
    try:
        parse_species(name, find_elements((), _ELEMENTS))
    except InputError:
        return False
    return True
