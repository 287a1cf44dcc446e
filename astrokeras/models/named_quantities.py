"""Named quantities: static gas, UCLCHEM's clouds, species and elements by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from astrokeras.chemistry.assumed_parameters import ASSUMED, COLUMNS
from astrokeras.chemistry.stoichiometry import element_totals
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.reader import held_quantities
from astrokeras.errors import InputError
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.requested_outputs import choose_columns
from astrokeras.system.close_names import match_names, suggest
from astrokeras.trajectories.intervals import times_between
from astrokeras.trajectories.uclchem_cloud import cloud_track

OPTIONS = {
    "species",
    "batch_size",
    "strict",
    "substep",
    "conserve",
    "return_sigma",
    "return_expected_error",
    "return_reliable",
    "return_status",
    "return_cost",
    "fallback",
    "on_error",
    "output",
}
"""Arguments of `emulate` that `static` hands on."""

HELD_MARGIN = 1e-3
"""Relative difference of a constant from that of training."""


class NamedQuantities:
    """Methods of a `Surrogate` that take or return quantities by name."""

    metadata: SurrogateMetadata
    emulate: Callable[..., Any]

    def static(self, time: Any = 1e6, initial: Any = None, **named: Any) -> Any:
        """Evolve gas at held parameters, to one time or several.

        Between the times it takes intervals that the surrogate was trained on, about
        ten per decade of age, and returns the states at `time` alone.

        Args:
            time: Years after state 0, one or increasing ones, `(K,)`; 0 is state 0.
            initial: Abundances of state 0 relative to H nuclei, `(N, S)` or `(S,)`, or
                the name of one of the `initial_conditions`: by default
                "initial_abundances", otherwise the first of them.
            **named: The parameters by name, each a number or `(N,)`, in `units` or with
                a unit, such as `Density=1e5`. `dustTemp = gasTemp`, `zeta = 1` and, as
                by `emulate`, the columns `NH2` and `NCO` are assumed if they are not
                given. Further arguments of `emulate`, such as `species` and `output`,
                except `state_indices`.

        Returns:
            What `emulate` returns: abundances, `(N, K, S or len(species))`, with any
            `return_*` in a tuple, or an `xarray.Dataset`.

        Raises:
            InputError: For a parameter that is missing or unknown, a time that no
                trained intervals add up to, and as by `emulate`.
        """
        options = {name: named.pop(name) for name in OPTIONS & set(named)}
        species = self.metadata.species
        initial = choose_initial(self.metadata, initial)
        initial = as_numbers("initial", initial, columns=species, units=[""])
        values = held_values(self.metadata, named)
        years, states = times_between(time, self.metadata.dt_range)
        tracers = [*(value.shape for value in values.values()), initial.shape[:-1]]
        try:
            shape = np.broadcast_shapes(*tracers)
        except ValueError as error:
            shapes = ", ".join(map(str, dict.fromkeys(tracers)))
            raise InputError(
                f"parameters and initial abundances have the shapes {shapes}; give one "
                "value for each tracer, or one for all."
            ) from error
        physical = {
            name: np.broadcast_to(value[..., None], (*shape, len(years) - 1))
            for name, value in values.items()
        }
        return self.emulate(initial, physical, years, state_indices=states, **options)

    def uclchem_track(
        self, param_dict: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the track of UCLCHEM's cloud model, for `emulate`.

        It is that of `uclchem.model.cloud(param_dict)` of UCLCHEM 3.5.5, a static cloud
        or a free fall; see `trajectories.uclchem_cloud`. Intervals are chosen as by
        `static`; in a free fall the density grows by 0.1 dex at most in each, where the
        trained intervals allow.

        Args:
            param_dict: UCLCHEM's parameters by name, such as `{"initialDens": 1e4,
                "finalTime": 1e6}`, in any letter case. Those that are missing have
                UCLCHEM's default values.

        Returns:
            The surrogate's parameters by name, means over each interval, `(T,)` each,
            and the years of the states, `(T+1,)`.

        Raises:
            InputError: For a parameter that is unknown, belongs to another model of
                UCLCHEM, or has another value than the chemistry or the constants that
                the surrogate has learned; if no trained intervals add up to the time;
                if the surrogate takes a parameter that clouds do not have.
        """
        track, years = cloud_track(param_dict, self.metadata.dt_range)
        names = self.metadata.parameters
        missing = [name for name in names if name not in track]
        if missing:
            raise InputError(
                f"this surrogate takes {missing[0]}, which UCLCHEM's clouds do not "
                f"have; they have {', '.join(track)}."
            )
        held = held_quantities(self.metadata.fixed, names)
        for name, value in held.items():
            if isinstance(value, float) and name in track and name not in names:
                own = float(track[name][0])
                if abs(own - value) > HELD_MARGIN * value:
                    raise InputError(
                        f"{name} is {own:g}, but this surrogate was trained with "
                        f"{name} = {value:g} alone; give {value:g}."
                    )
        return {name: track[name] for name in names}, years

    def select_species(
        self, abundances: Any, species: Sequence[str] | str
    ) -> np.ndarray:
        """Return the abundances of some species, by name.

        Args:
            abundances: Relative to H nuclei, `(..., S)`.
            species: Names; `$H2O` is the total ice `#H2O` + `@H2O`.

        Returns:
            Abundances, `(..., len(species))`.

        Raises:
            InputError: For an unknown name, or another number of species.
        """
        columns, mixing = choose_columns(self.metadata.species, species)
        return self._abundances(abundances)[..., columns] @ mixing.T

    def element_totals(self, abundances: Any) -> dict[str, np.ndarray]:
        """Return how many atoms of each element there are, relative to H nuclei.

        Args:
            abundances: Relative to H nuclei, `(..., S)`.

        Returns:
            Totals of gas and ice by the symbol of the element, `(...)` float64 each.

        Raises:
            InputError: For another number of species.
        """
        matrix = self.metadata.stoichiometry
        totals = element_totals(self._abundances(abundances), matrix)
        return dict(
            zip(self.metadata.elements, np.moveaxis(totals, -1, 0), strict=True)
        )

    def _abundances(self, abundances: Any) -> np.ndarray:
        """Return abundances as numbers, `(..., S)`."""
        names = self.metadata.species
        values = as_numbers("abundances", abundances, columns=names, units=[""])
        if values.shape[-1:] != (len(names),):
            raise InputError(
                f"abundances have shape {values.shape}; the last axis must hold the "
                f"{len(names)} species of the surrogate."
            )
        return values


def choose_initial(metadata: SurrogateMetadata, initial: Any) -> Any:
    """Return initial abundances: those given, or an initial condition.

    Args:
        metadata: Of the surrogate.
        initial: Abundances, or the name of an initial condition; `None` for
            "initial_abundances", otherwise the first of them.

    Raises:
        InputError: If none has this name, or there are none.
    """
    known = metadata.initial_conditions
    if initial is None and known:
        default = "initial_abundances"
        initial = default if default in known else next(iter(known))
    if initial is None:
        raise InputError(
            "this surrogate has no initial conditions; give initial abundances."
        )
    return metadata.initial_condition(initial) if isinstance(initial, str) else initial


def held_values(
    metadata: SurrogateMetadata, named: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return held parameters in their units, each `()` or `(N,)`, float32.

    Args:
        metadata: Of the surrogate.
        named: Values by name. `dustTemp` and `zeta` are assumed if they are missing;
            the columns `NH2` and `NCO` may be missing.

    Raises:
        InputError: For a parameter that is missing, unknown or not a number.
    """
    values = match_parameters(metadata, named, "static")
    for name, assumed in ASSUMED.items():
        if name in metadata.parameters and name not in values:
            values[name] = values.get(assumed) if isinstance(assumed, str) else assumed
    units = dict(zip(metadata.parameters, metadata.units, strict=True))
    numbers = {
        name: as_numbers(name, value, units=[units[name]])
        for name, value in values.items()
        if value is not None
    }
    for name, value in numbers.items():
        if value.ndim > 1:
            raise InputError(
                f"{name} has shape {value.shape}; give a number, or one for each "
                "tracer; `emulate` takes parameters that change."
            )
    return numbers


def match_parameters(
    metadata: SurrogateMetadata, named: Mapping[str, Any], needed_by: str
) -> dict[str, Any]:
    """Return values of parameters by the surrogate's names.

    Args:
        metadata: Of the surrogate.
        named: Values by name; those that are assumed may be missing.
        needed_by: What needs them, for messages.

    Raises:
        InputError: For a parameter that is missing or unknown.
    """
    given = {name.casefold() for name in named}
    free = {*ASSUMED, *(COLUMNS if "Av" in metadata.parameters else ())}
    wanted = [
        name
        for name in metadata.parameters
        if name not in free or name.casefold() in given
    ]
    needed = f"; this surrogate has the parameters {', '.join(metadata.parameters)}."
    others = [name for name in named if name not in metadata.parameters]
    needed = suggest(others[0], OPTIONS, needed) if others else needed
    places, fault = match_names(list(named), wanted, needed)
    if fault:
        raise InputError(f"{needed_by} needs {', '.join(wanted)}, but {fault}")
    parts = list(named.values())
    return {name: parts[place] for name, place in zip(wanted, places, strict=True)}
