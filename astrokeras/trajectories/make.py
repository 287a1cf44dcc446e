"""Creation of a file of tracks from a configuration, simulation by simulation."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from astrokeras.config import CollapseConfig, TracksConfig, TurbulentConfig
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.trajectories import collapse, turbulent


class Recipe(NamedTuple):
    """Recipe for a kind of tracks.

    Attributes:
        source: Description for the attributes of the file.
        parameters: Names, (P,).
        simulate: Function of a configuration and a random generator that returns the
            parameters of the tracers of one simulation over each step, (n, T, P).
        fixed: Constant quantities for the attributes of the file.
    """

    source: str
    parameters: tuple[str, ...]
    simulate: Callable[[Any, np.random.Generator], np.ndarray]
    fixed: tuple[str, ...] = ()


RECIPES: dict[type[TracksConfig], Recipe] = {
    CollapseConfig: Recipe(
        "collapsing cores, astrokeras.trajectories.collapse",
        collapse.PARAMETERS,
        collapse.simulate,
        ("zeta = 1", "dustTemp = gasTemp"),
    ),
    TurbulentConfig: Recipe(
        "turbulent gas with shocks, astrokeras.trajectories.turbulent",
        turbulent.PARAMETERS,
        turbulent.simulate,
    ),
}


def make_tracks(
    config: TracksConfig,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Create trajectories and write them to a file of tracks.

    Simulation k has its own random generator, seeded with the seed and k, so that it
    does not depend on the number of simulations. Its tracers are numbered 100 k,
    100 k + 1 ...

    Args:
        config: One of the configurations of `RECIPES`.
        out: The file; it appears under this name only when complete.
        progress: Called with the number of tracks done and their total.

    Returns:
        The number of tracks.

    Raises:
        InputError: If there is no recipe for the configuration, or it limits an unknown
            parameter.
        WorkError: If the file cannot be written.
    """
    recipe = RECIPES.get(type(config))
    if recipe is None:
        raise InputError(
            f"there is no recipe for {type(config).__name__}; begin the defaults of "
            "the variant with collapse_schema or turbulent_schema."
        )
    low, high = _clip_limits(config, recipe.parameters)
    total = config.simulations * config.tracers
    time = config.step * np.arange(config.steps + 1)
    with TracerWriter(
        out,
        parameters=recipe.parameters,
        units=[PARAMETER_UNITS[name] for name in recipe.parameters],
        states=len(time),
        attributes={
            "source": recipe.source,
            "recipe": json.dumps(dataclasses.asdict(config)),
            "fixed": list(recipe.fixed),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    ) as writer:
        for number in range(config.simulations):
            simulation = config.first + number
            rng = np.random.default_rng([config.seed, simulation])
            block = empty_tracers(config.tracers, len(time), 0, len(recipe.parameters))
            block.physical[:] = np.clip(recipe.simulate(config, rng), low, high)
            block.time[:] = time
            block.simulation[:] = simulation
            block.tracer[:] = 100 * simulation + np.arange(config.tracers)
            writer.append(block)
            if progress is not None:
                progress((number + 1) * config.tracers, total)
    return total


def _clip_limits(
    config: TracksConfig, parameters: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest value of each parameter, (P,) each."""
    unknown = [name for name in config.limits if name not in parameters]
    if unknown:
        raise InputError(
            f"tracks.limits.{unknown[0]}: there is no such parameter; the tracks have "
            f"{', '.join(parameters)}."
        )
    limits = [config.limits.get(name, [0.0, np.inf]) for name in parameters]
    low, high = np.array(limits).T
    return low, high
