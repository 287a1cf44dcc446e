"""Creation of a file of tracks from a configuration, simulation by simulation."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from astrokeras.config import (
    CollapseConfig,
    EvenTracksConfig,
    ExploreConfig,
    StandardConfig,
    TracksConfig,
    TurbulentConfig,
)
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest
from astrokeras.trajectories import collapse, explore, standard, turbulent


class Simulation(NamedTuple):
    """Tracks of a simulation.

    Attributes:
        time: Years, (T+1,).
        physical: Parameters over each step, (n, T, P).
        family: Name of the family of the tracks, where there are several.
    """

    time: np.ndarray
    physical: np.ndarray
    family: str = ""


class Recipe(NamedTuple):
    """Recipe for a kind of tracks.

    Attributes:
        source: Description for the attributes of the file.
        parameters: Names, (P,).
        simulate: Function of a configuration and a position in the file that returns a
            simulation.
        fixed: Constant quantities for the attributes of the file.
    """

    source: str
    parameters: tuple[str, ...]
    simulate: Callable[[Any, int], Simulation]
    fixed: tuple[str, ...] = ()


def _generator(config: Any, position: int) -> np.random.Generator:
    """Return the random generator of a simulation, from the seed and its number."""
    return np.random.default_rng([config.seed, config.first + position])


def _even(
    simulate: Callable[[Any, np.random.Generator], np.ndarray],
) -> Callable[[EvenTracksConfig, int], Simulation]:
    """Return the simulations of a function of a generator, with equal steps."""
    return lambda config, position: Simulation(
        config.step * np.arange(config.steps + 1),
        simulate(config, _generator(config, position)),
    )


def _explore(config: ExploreConfig, position: int) -> Simulation:
    time, physical, family = explore.simulate(config, _generator(config, position))
    return Simulation(time, physical[None], family)


def _standard(config: StandardConfig, position: int) -> Simulation:
    time, physical, name = standard.simulate(config, position)
    return Simulation(time, physical[None], name)


RECIPES: dict[type[TracksConfig], Recipe] = {
    CollapseConfig: Recipe(
        "collapsing cores, astrokeras.trajectories.collapse",
        collapse.PARAMETERS,
        _even(collapse.simulate),
        ("zeta = 1", "dustTemp = gasTemp"),
    ),
    TurbulentConfig: Recipe(
        "turbulent gas with shocks, astrokeras.trajectories.turbulent",
        turbulent.PARAMETERS,
        _even(turbulent.simulate),
    ),
    ExploreConfig: Recipe(
        "exploring tracks, astrokeras.trajectories.explore",
        explore.PARAMETERS,
        _explore,
    ),
    StandardConfig: Recipe(
        "UCLCHEM's standard models, astrokeras.trajectories.standard",
        standard.PARAMETERS,
        _standard,
    ),
}


def make_tracks(
    config: TracksConfig,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Create trajectories and write them to a file of tracks.

    Simulation k has its own random generator, seeded with the seed and k, so that it
    does not depend on the number of simulations. Where simulations have several
    tracers, these are numbered 100 k, 100 k + 1 ..., otherwise k. The dataset `family`
    names the family of each track where there are several.

    Args:
        config: One of the configurations of `RECIPES`.
        out: The file; it appears under this name only when complete.
        progress: Called with the number of tracks done and their total.

    Returns:
        The number of tracks.

    Raises:
        InputError: If there is no recipe for the configuration, it limits an unknown
            parameter, or it names an unknown family or model.
        WorkError: If the file cannot be written.
    """
    recipe = RECIPES.get(type(config))
    if recipe is None:
        raise InputError(
            f"there is no recipe for {type(config).__name__}; begin the defaults of "
            "the variant with collapse_schema, turbulent_schema, explore_schema or "
            "standard_schema."
        )
    low, high = _clip_limits(config, recipe.parameters)
    simulations, tracers = count_tracks(config)
    families: list[str] = []
    with TracerWriter(
        out,
        parameters=recipe.parameters,
        units=[PARAMETER_UNITS[name] for name in recipe.parameters],
        states=config.steps + 1,
        attributes={
            "source": recipe.source,
            "recipe": json.dumps(dataclasses.asdict(config)),
            "fixed": list(recipe.fixed),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    ) as writer:
        for position in range(simulations):
            number = config.first + position
            made = recipe.simulate(config, position)
            block = empty_tracers(tracers, config.steps + 1, 0, len(recipe.parameters))
            block.physical[:] = np.clip(made.physical, low, high)
            block.time[:] = made.time
            block.simulation[:] = number
            block.tracer[:] = number
            if isinstance(config, EvenTracksConfig):
                block.tracer[:] = 100 * number + np.arange(tracers)
            writer.append(block)
            families += tracers * [made.family]
            if progress is not None:
                progress((position + 1) * tracers, simulations * tracers)
        if any(families):
            writer.add_families(families)
    return simulations * tracers


def count_tracks(config: Any) -> tuple[int, int]:
    """Return the number of simulations, and of tracers in each."""
    if isinstance(config, StandardConfig):
        return len(config.models), 1
    return config.simulations, getattr(config, "tracers", 1)


def _clip_limits(
    config: TracksConfig, parameters: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each parameter, (P,) each."""
    unknown = [name for name in config.limits if name not in parameters]
    if unknown:
        raise InputError(
            f"tracks.limits.{unknown[0]}: there is no such parameter; the tracks have "
            f"{', '.join(parameters)}{suggest(unknown[0], parameters)}"
        )
    limits = [config.limits.get(name, [0.0, np.inf]) for name in parameters]
    low, high = np.array(limits).T
    return low, high
