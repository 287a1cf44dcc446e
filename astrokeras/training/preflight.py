"""Checks before a training, and the preparation of its data."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from astrokeras.config import Config, ConfigError, TrainingConfig
from astrokeras.data.pipeline.training_cache import Cache, prepare
from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.errors import InputError
from astrokeras.runs.directory import find_data
from astrokeras.system.backend import select_backend
from astrokeras.system.progress import tracer_bar
from astrokeras.training.distribution import ProcessGroup
from astrokeras.training.finetuning import check_intervals


def check_backend(config: Config, stages: Sequence[str]) -> None:
    """Raise ConfigError for settings that the backend does not support."""
    backend = select_backend(required=False)
    for stage in stages:
        fit = getattr(config, stage).fit
        if fit.device_cache == "always" and backend == "tensorflow":
            raise ConfigError(
                f"{stage}.fit.device_cache is 'always', which TensorFlow does not "
                "support, because tf.data feeds it; give auto or never, or --backend "
                "jax or torch."
            )
        if fit.steps_per_execution > 1 and backend == "torch":
            raise ConfigError(
                f"{stage}.fit.steps_per_execution is {fit.steps_per_execution}; "
                "PyTorch runs one step per call; give 1, or another --backend."
            )


def check_timesteps(config: Config) -> None:
    """Raise ConfigError if time steps vary but are not an input of the emulator."""
    settings = config.emulator
    if settings.stride > 1 and not settings.use_timestep:
        raise ConfigError(
            f"emulator.stride is {settings.stride}, and emulator.use_timestep is false:"
            " the emulator would not know the length of a time step; give "
            "emulator.stride=1 or emulator.use_timestep=true."
        )


def check_profile(batches: Sequence[int]) -> None:
    """Raise ConfigError if a profile is not given by its first and its last batch."""
    if batches and not (len(batches) == 2 and 1 <= batches[0] <= batches[1]):
        raise ConfigError(
            f"board.profile is {list(batches)}; give the first and the last batch, "
            "such as [10,20], or [] for none."
        )


def prepare_data(
    config: Config,
    stages: Sequence[str],
    build: bool = True,
    group: ProcessGroup | None = None,
) -> tuple[Path, Cache]:
    """Find or make the training cache, and check that the stages can be trained on it.

    Args:
        config: The composed configuration.
        stages: The stages that will be trained.
        build: Whether to make a missing cache.
        group: The processes of the training, if there are several.

    Returns:
        The tracer file and its cache.

    Raises:
        InputError: If the file or the cache is missing, or unsuitable for the stages.
    """
    source = find_data(config.dataset.path, "dataset.path")
    group = group or ProcessGroup()
    cache = _prepare(config, source, group, build)
    cache = replace(cache, initial_conditions=_initial_conditions(config, cache))
    if config.from_ is not None:
        check_intervals(config, cache)
    _check_data(config, cache, source, stages, group)
    return source, cache


def _prepare(config: Config, source: Path, group: ProcessGroup, build: bool) -> Cache:
    """Find or make the training cache; rank 0 makes it for all processes."""
    common = replace(config, training=TrainingConfig())
    digest = hashlib.sha256(json.dumps(asdict(common)).encode()).hexdigest()
    with (
        group.chief_first(f"the data, with configuration {digest[:16]}"),
        tracer_bar(f"Preparing {source.name}") as progress,
    ):
        return prepare(
            source,
            Path(config.cache_dir),
            config.dataset.floor,
            build=build and group.is_chief,
            progress=progress,
            compression=config.cache_compression,
            calibration=config.calibration,
        )


def _initial_conditions(config: Config, cache: Cache) -> dict[str, np.ndarray]:
    """Return named initial abundances: the training median and the network's own."""
    initial_conditions = {config.dataset.name: cache.statistics.start}
    if config.dataset.initial_abundances:
        key = "dataset.initial_abundances"
        path = find_data(config.dataset.initial_abundances, key)
        try:
            abundances = read_initial(path, cache.species, cache.floor, config.dataset)
        except InputError as error:
            raise InputError(f"{error} {key}=null leaves the file out.") from error
        initial_conditions[path.stem] = abundances
    return initial_conditions


def _check_data(
    config: Config,
    cache: Cache,
    source: Path,
    stages: Sequence[str],
    group: ProcessGroup,
) -> None:
    """Raise InputError for data on which the stages cannot be trained."""
    if group.world_size > cache.tracers:
        raise InputError(
            f"training.processes is {group.world_size}, more than the {cache.tracers} "
            "training tracers; give fewer."
        )
    low, high = cache.statistics.step
    if high > low * (1 + STEP_MARGIN) and not config.emulator.use_timestep:
        raise InputError(
            f"{source}: dataset 'time' has intervals of {low:.6g} to {high:.6g} yr, "
            "and emulator.use_timestep is false: the emulator would treat them as "
            "equal; give evenly sampled tracers, or emulator.use_timestep=true."
        )
    windows = config.emulator.window
    longest = int(cache.statistics.longest)
    if "emulator" in stages and min(windows) > longest:
        raise InputError(
            f"emulator.window is {windows}, but the longest training tracer has "
            f"{longest} steps; give a shorter window."
        )
