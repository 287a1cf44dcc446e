"""Roles of the columns of a raw table: time, parameters, species or identifiers."""

from collections.abc import Sequence
from dataclasses import dataclass

from astrokeras.chemistry.assumed_parameters import ASSUMED, COLUMNS
from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.config import DatasetConfig
from astrokeras.data.readers.table import Table
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

# Bookkeeping columns of UCLCHEM and AstroChemNet, which are never species.
_BOOKKEEPING = {
    "index",
    "level_0",
    "unnamed: 0",
    "dstep",
    "point",
    "surface",
    "bulk",
    "parcel_radius",
    "radfield_internal",
    "av_internal",
}
# Physical quantities that may be constant in a dataset instead of a parameter.
_PHYSICS = {"zeta", "dusttemp", "density", "gastemp", "av", "radfield"}

ALIASES = {
    "C2H2O": "CH2CO",
    "C2H3N": "CH3CN",
    "C2H4N": "CH3CNH",
    "C2H4N+": "CH3CNH+",
    "C2H4O": "CH3CHO",
    "C3H4": "CH3CCH",
    "CH3NO": "NH2CHO",
    "CH3O": "CH2OH",
    "CH4O": "CH3OH",
    "CH5O+": "CH3OH2+",
    "H2CN+": "HCNH+",
    "H2CO2": "HCOOH",
    "H3CO": "H2COH",
    "H3CO+": "H2COH+",
    "H3CS+": "H2CSH+",
    "HCO2": "HCOO",
    "HOCS+": "OCSH+",
    "HSIS+": "SISH+",
    "HSO2+": "HOSO+",
    "N2C2": "NCCN",
}
"""UCLCHEM's spelling of species by that of AstroChemNet's cleaned files.

Formulas are not enough: CH3O and H3CO are the isomers CH2OH and H2COH.
"""


@dataclass(frozen=True)
class ColumnRoles:
    """Indices of the columns of a table by their role.

    Attributes:
        time: Column of the time.
        tracer: Column of the identifiers of the tracers, if any.
        simulation: Column of the identifiers of the simulations, if any.
        parameters: Columns of the parameters, name to column; without those that the
            table lacks and that an import can fill.
        species: Names in UCLCHEM's spelling, (S,); empty for a table of tracks.
        abundances: Columns of the species, (S,).
        noted: Dropped physical quantities, name to column; their ranges are recorded.
        elements: Elements of the species.
    """

    time: int
    tracer: int | None
    simulation: int | None
    parameters: dict[str, int]
    species: tuple[str, ...]
    abundances: tuple[int, ...]
    noted: dict[str, int]
    elements: tuple[str, ...]


def find_columns(
    table: Table, config: DatasetConfig, cleaned: bool = False, physics: bool = False
) -> ColumnRoles:
    """Return the roles of the columns of a raw table.

    Args:
        table: The raw table.
        config: Columns of the parameters, dropped columns and declared elements.
        cleaned: Whether species are spelled as in AstroChemNet's cleaned files.
        physics: Whether to ignore all columns except the physics.

    Raises:
        InputError: For missing and duplicate columns, and names that are not species.
    """
    names = table.columns
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(
            f"{table.name}: column {doubled[0]!r} occurs twice; remove one of them."
        )
    place = {name.casefold(): index for index, name in enumerate(names)}
    if not config.parameters:
        raise InputError(
            "`dataset.parameters` is empty; name the raw column of each parameter."
        )
    wanted = {"Time": "Time"} | dict(config.parameters)
    can_be_filled = {*ASSUMED, *COLUMNS}
    missing = [
        raw
        for name, raw in wanted.items()
        if raw.casefold() not in place and name not in can_be_filled
    ]
    if missing:
        remedy = "; correct the file or `dataset.parameters`."
        raise InputError(
            f"{table.name}: column{'s' * (len(missing) > 1)} {', '.join(missing)} "
            f"missing (it has {_listed(names)})"
            f"{suggest(missing[0], names, remedy)}"
        )
    tracer = place.get("tracer", place.get("model"))
    simulation = place.get("simulation")
    parameters = {
        name: place[raw.casefold()]
        for name, raw in config.parameters.items()
        if raw.casefold() in place
    }
    taken = {place["time"], tracer, simulation, *parameters.values()}
    dropped = {name.strip().casefold() for name in config.drop}
    noted, species, abundances = {}, [], []
    for index, name in enumerate(names):
        key = name.casefold()
        if index in taken or (key == "model" and tracer is not None):
            continue
        if key in _PHYSICS or (key in dropped and key not in _BOOKKEEPING):
            noted[name] = index
        elif key not in _BOOKKEEPING and not physics:
            species.append(name)
            abundances.append(index)
    if cleaned:
        species = [uclchem_name(name, species) for name in species]
    elements = find_elements(species, config.elements)
    for name in species:
        try:
            parse_species(name, elements)
        except InputError as error:
            raise InputError(
                f"{table.name}: {error} For a table without species, `--tracks` "
                "imports only the physics."
            ) from error
    return ColumnRoles(
        place["time"],
        tracer,
        simulation,
        parameters,
        tuple(species),
        tuple(abundances),
        noted,
        elements,
    )


def uclchem_name(name: str, present: Sequence[str] = ()) -> str:
    """Return UCLCHEM's spelling of a species of AstroChemNet's cleaned files.

    Args:
        name: Name in either spelling.
        present: Other names of the table. If UCLCHEM's spelling is among them, `name`
            is a different species and stays.
    """
    sign = name[:1] if name[:1] in ("#", "@") else ""
    renamed = sign + ALIASES.get(name[len(sign) :], name[len(sign) :])
    return name if renamed in present else renamed


def species_positions(
    names: Sequence[str], expected: Sequence[str], where: str, whose: str = "the others"
) -> list[int]:
    """Return the positions in `names` of the expected species, in their order.

    Raises:
        InputError: If the two lists differ in species; the message names these.
    """
    lacking = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if lacking or extra:
        faults = [f"lacks {_listed(lacking)}"] * bool(lacking)
        faults += [f"has {_listed(extra)} in addition"] * bool(extra)
        remedy = "; use files of the same network."
        if lacking and extra:
            remedy = suggest(extra[0], lacking, remedy)
        raise InputError(
            f"{where}: does not hold the {len(expected)} species of {whose}: it "
            f"{' and '.join(faults)}{remedy}"
        )
    position = {name: index for index, name in enumerate(names)}
    return [position[name] for name in expected]


def _listed(names: Sequence[str], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
