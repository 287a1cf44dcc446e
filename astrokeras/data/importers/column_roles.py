"""What the columns of a raw table are: time, parameters, species, identifiers."""

from collections.abc import Sequence
from dataclasses import dataclass

from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.config import DatasetConfig
from astrokeras.data.importers.csv_table import Table
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

# UCLCHEM's and AstroChemNet's bookkeeping, never a species.
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
# Physics that a surrogate may hold fixed instead of taking it as a parameter.
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
"""Species as AstroChemNet's cleaned files spell them, and as UCLCHEM does.

The formulas alone would not do: CH3O and H3CO are the isomers CH2OH and H2COH.
"""


@dataclass(frozen=True)
class Columns:
    """Where everything lies in a table.

    Attributes:
        time: Column of the time.
        tracer: Column of the tracers' identifiers, if any.
        simulation: Column of the simulations' identifiers, if any.
        parameters: Columns of the parameters, (P,).
        species: Names in UCLCHEM's spelling, (S,); none of a table of tracks.
        abundances: Columns of the species, (S,).
        noted: Physics that is dropped, name to column: its constancy is recorded.
        elements: Elements the species are made of.
    """

    time: int
    tracer: int | None
    simulation: int | None
    parameters: tuple[int, ...]
    species: tuple[str, ...]
    abundances: tuple[int, ...]
    noted: dict[str, int]
    elements: tuple[str, ...]


def find_columns(
    table: Table, config: DatasetConfig, cleaned: bool = False, physics: bool = False
) -> Columns:
    """Sort the columns of a raw table into time, parameters, species and the rest.

    Args:
        table: The raw table.
        config: Names of the parameters' columns, what is dropped, declared elements.
        cleaned: Whether species are spelled as AstroChemNet's cleaned files do.
        physics: Whether there are no species, whatever other columns there are.

    Raises:
        InputError: For columns that are missing, there twice, or no species.
    """
    names = table.columns
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(
            f"{table.name}: column {doubled[0]!r} is there twice; remove one."
        )
    place = {name.casefold(): index for index, name in enumerate(names)}
    if not config.parameters:
        raise InputError(
            "`dataset.parameters` is empty; name the raw column of each parameter."
        )
    wanted = {"Time": "Time"} | dict(config.parameters)
    missing = [raw for raw in wanted.values() if raw.casefold() not in place]
    if missing:
        remedy = "; correct the file or `dataset.parameters`."
        raise InputError(
            f"{table.name}: column{'s' * (len(missing) > 1)} {', '.join(missing)} "
            f"missing (it has {_listed(names)})"
            f"{suggest(missing[0], names, remedy)}"
        )
    tracer = place.get("tracer", place.get("model"))
    simulation = place.get("simulation")
    parameters = tuple(place[raw.casefold()] for raw in config.parameters.values())
    taken = {place["time"], tracer, simulation, *parameters}
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
                f"{table.name}: {error} Of a table without species, `--tracks` takes "
                "the physics alone."
            ) from error
    return Columns(
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
        name: In either spelling.
        present: Names beside it; an alias of one of these is a species of its own.
    """
    sign = name[:1] if name[:1] in ("#", "@") else ""
    renamed = sign + ALIASES.get(name[len(sign) :], name[len(sign) :])
    return name if renamed in present else renamed


def species_positions(
    names: Sequence[str], expected: Sequence[str], where: str, whose: str = "the others"
) -> list[int]:
    """Return the positions in `names` of the species expected, in their order.

    Raises:
        InputError: If the two lists are not of the same species; it names which
            species differ.
    """
    lacking = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if lacking or extra:
        faults = [f"lacks {_listed(lacking)}"] * bool(lacking)
        faults += [f"has {_listed(extra)} beyond them"] * bool(extra)
        remedy = "; take files of one network."
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
