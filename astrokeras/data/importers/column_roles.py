"""Roles of the columns of a raw table: time, parameters, species or identifiers."""

from collections.abc import Sequence
from dataclasses import dataclass

from astrokeras.chemistry.assumed_parameters import COLUMNS
from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.config import DatasetConfig
from astrokeras.data.importers.column_names import (
    Places,
    find_parameters,
    listed,
    parameter_meant,
)
from astrokeras.data.importers.interleaving import (
    check_order,
    check_single,
    is_identity,
)
from astrokeras.data.readers.table import Table
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
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
_PHYSICS = {name.casefold(): name for name in PARAMETER_UNITS if name not in COLUMNS}

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
        urged: Columns that are neither used nor dropped and seem to be a parameter by
            their names, name to parameter.
        elements: Elements of the species.
    """

    time: int
    tracer: int | None
    simulation: int | None
    parameters: dict[str, int]
    species: tuple[str, ...]
    abundances: tuple[int, ...]
    noted: dict[str, int]
    urged: dict[str, str]
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
    place = Places(table)
    time = place.find("dataset.time", config.time)
    tracer = place.identity("tracer", config.tracer, "Tracer", "Model")
    simulation = place.identity("simulation", config.simulation, "Simulation")
    parameters = find_parameters(place, config, time)
    assert time is not None  # Its absence was refused with that of the parameters.
    dropped = {place.find("dataset.drop", name.strip()) for name in config.drop}
    taken = {time, tracer, simulation, *parameters.values()}
    if tracer is not None:
        taken |= {place.find(word, word) for word in ("Tracer", "Model")}
    noted, urged, species, abundances = {}, {}, [], []
    for index, name in enumerate(names):
        if index in taken or name.casefold() in _BOOKKEEPING:
            continue
        meant = _PHYSICS.get(name.casefold(), parameter_meant(name))
        if index not in dropped and meant is not None and meant not in parameters:
            urged[name] = meant
        identity = is_identity(name)
        if identity and tracer is None and index not in dropped:
            check_single(table, index)
        if index in dropped or meant is not None or identity:
            noted[name] = index
        elif not physics:
            species.append(name)
            abundances.append(index)
    if cleaned:
        species = [uclchem_name(name, species) for name in species]
    elements = find_elements(species, config.elements)
    for name in species:
        try:
            parse_species(name, elements)
        except InputError as error:
            if tracer is None and simulation is None:
                # The unreadable name may be that of the numbers of tracers.
                check_order(table, time, parameters.values())
            raise InputError(
                f"{table.name}: {error} For a table without species, `--tracks` "
                "imports only the physics."
            ) from error
    return ColumnRoles(
        time,
        tracer,
        simulation,
        parameters,
        tuple(species),
        tuple(abundances),
        noted,
        urged,
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
        faults = [f"lacks {listed(lacking)}"] * bool(lacking)
        faults += [f"has {listed(extra)} in addition"] * bool(extra)
        remedy = "; use files of the same network."
        if lacking and extra:
            remedy = suggest(extra[0], lacking, remedy)
        raise InputError(
            f"{where}: does not hold the {len(expected)} species of {whose}: it "
            f"{' and '.join(faults)}{remedy}"
        )
    position = {name: index for index, name in enumerate(names)}
    return [position[name] for name in expected]
