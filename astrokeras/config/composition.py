"""Composition of the configuration by Hydra, from `configs/` and overrides."""

import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astrokeras.config.dataset import DatasetConfig
from astrokeras.config.evaluation import EvaluationConfig
from astrokeras.config.fields import ConfigError, check
from astrokeras.config.generation import (
    CollapseConfig,
    ExploreConfig,
    GenerationConfig,
    SolverConfig,
    StandardConfig,
    TracksConfig,
    TurbulentConfig,
)
from astrokeras.config.hydra_messages import one_line
from astrokeras.config.old_variants import with_new_names, without_ensemble
from astrokeras.config.run import Config
from astrokeras.config.stages import AutoencoderConfig, EmulatorConfig
from astrokeras.config.tuner import TunerConfig
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.old_names import new_key
from astrokeras.system.package_data import resource

OPEN = re.compile(
    r"(solver\.(constants|options|files)|dataset\.(parameters|units|minimum|raw_units|cut_below)|tracks\.limits)\b"
)
"""Dictionaries of the configuration in which any key is allowed."""
GROUPS = {
    "dataset": DatasetConfig,
    "autoencoder": AutoencoderConfig,
    "emulator": EmulatorConfig,
    "tuner": TunerConfig,
    "solver": SolverConfig,
    "tracks": TracksConfig,
    "evaluation": EvaluationConfig,
}
SCHEMAS = {
    "tracks": {
        "collapse_schema": CollapseConfig,
        "turbulent_schema": TurbulentConfig,
        "explore_schema": ExploreConfig,
        "standard_schema": StandardConfig,
    }
}
"""Further schemas of groups whose variants have keys of their own."""
ROOTS = {
    "search_root": {"tuner": "default"},
    "generation_root": {"dataset": "uclchem", "solver": "uclchem"},
    "tracks_root": {"tracks": "collapse"},
    "evaluation_root": {"evaluation": "default"},
}
"""Roots besides `config.yaml`: the groups that they compose, with default variants."""


def compose(overrides: Sequence[str] = (), config_dir: Path | None = None) -> Config:
    """Compose and check a configuration.

    Args:
        overrides: Hydra's overrides, such as `dataset=grav` or `emulator.window=128`.
        config_dir: Folder with more variants, which is searched first. The folder
            `configs/` in the working directory comes next, then the package's own.

    Returns:
        The composed configuration, as nested dataclasses.

    Raises:
        ConfigError: For an unknown key or variant, a wrong type or a value out of
            range: one line that names the key, the value and the allowed values.
        InputError: If the folder does not exist, or the overrides are not a list of
            strings.
    """
    composed, home = _compose("config", overrides, config_dir)
    if not isinstance(composed, Config):
        raise ConfigError(
            f"{home}/config.yaml lacks 'schema' in its defaults; copy the package's."
        )
    chosen = any(word.startswith("emulator=") for word in overrides)
    if composed.from_ is not None and not chosen:
        return compose(["emulator=finetune", *overrides], config_dir)
    check(composed)
    return composed


def compose_tuner(
    overrides: Sequence[str] = (), config_dir: Path | None = None
) -> TunerConfig:
    """Compose and check the settings of a search, the group `tuner`.

    Args:
        overrides: Hydra's overrides, such as `tuner=emulator` or `tuner.trials=50`.
        config_dir: See `compose`.

    Raises:
        ConfigError: As `compose` does.
    """
    (settings,) = _compose_groups("search_root", overrides, config_dir)
    for path, values in settings.space.items():
        check(values, f"tuner.space {path} ")
    return settings


def compose_generation(
    overrides: Sequence[str] = (), config_dir: Path | None = None
) -> GenerationConfig:
    """Compose and check the groups `dataset` and `solver`.

    Args:
        overrides: Hydra's, such as `dataset=turbulent` or `solver.reltol=1e-6`.
        config_dir: See `compose`.

    Raises:
        ConfigError: As `compose` does.
    """
    return GenerationConfig(*_compose_groups("generation_root", overrides, config_dir))


def compose_evaluation(config_dir: Path | None = None) -> EvaluationConfig:
    """Compose and check the thresholds of an evaluation, the group `evaluation`.

    Args:
        config_dir: See `compose`.

    Raises:
        ConfigError: As `compose` does.
    """
    (thresholds,) = _compose_groups("evaluation_root", [], config_dir)
    return thresholds


def compose_tracks(
    kind: str, overrides: Sequence[str] = (), config_dir: Path | None = None
) -> TracksConfig:
    """Compose and check the group `tracks`.

    Args:
        kind: A variant, such as "turbulent".
        overrides: Hydra's overrides, such as `tracks.simulations=10`.
        config_dir: See `compose`.

    Raises:
        ConfigError: As `compose` does, and for limits other than two positive numbers.
    """
    chosen = [f"tracks={kind}", *overrides]
    (settings,) = _compose_groups("tracks_root", chosen, config_dir)
    for name, limits in settings.limits.items():
        try:
            low, high = map(float, limits)
        except (TypeError, ValueError):
            low = high = 0.0
        if not 0 < low < high < math.inf:
            raise ConfigError(
                f"tracks.limits.{name} is {limits}; give two positive numbers, the "
                "smaller one first."
            )
        settings.limits[name] = [low, high]
    return settings


def _compose_groups(
    root: str, overrides: Sequence[str], config_dir: Path | None
) -> list[Any]:
    """Return the checked groups of a root of `ROOTS`, in its order."""
    composed, _ = _compose(root, overrides, config_dir)
    for group in ROOTS[root]:
        if not isinstance(composed[group], GROUPS[group]):
            raise ConfigError(
                f"configs/{group}: the variant lacks 'schema' in its defaults; begin "
                "it with `defaults: [schema, _self_]`."
            )
        check(composed[group], f"{group}.")
    return [composed[group] for group in ROOTS[root]]


def _compose(
    root: str, overrides: Sequence[str], config_dir: Path | None
) -> tuple[Any, Path]:
    """Return the composed objects of a root, and the folder of `config.yaml`."""
    overrides = arguments.texts("overrides", overrides)
    if config_dir is not None:
        config_dir = arguments.path("config_dir", config_dir)
        if not config_dir.is_dir():
            raise InputError(f"config_dir is {config_dir}; give a folder that exists.")
    candidates = [config_dir, Path("configs"), resource("configs")]
    folders = [path.resolve() for path in candidates if path and path.is_dir()]
    overrides = without_ensemble(overrides)
    with with_new_names(folders) as folders:
        return _compose_from(folders, root, overrides)


def _compose_from(
    folders: Sequence[Path], root: str, overrides: Sequence[str]
) -> tuple[Any, Path]:
    """Return what Hydra composes of folders with variants, searched in this order."""
    import hydra
    from omegaconf import OmegaConf

    store = _schema_store()
    home = next(path for path in folders if (path / "config.yaml").is_file())
    if root == "config" and home != folders[0]:
        # Hydra looks for the root before it knows the search path.
        root = "own_config"
        store.store(name=root, node=OmegaConf.load(home / "config.yaml"))
    search = ",".join(f'"file://{path}"' for path in folders[1:])
    try:
        with hydra.initialize_config_dir(str(folders[0]), version_base="1.3"):
            composed = hydra.compose(
                root, overrides=[*_for_hydra(overrides), f"hydra.searchpath=[{search}]"]
            )
        return OmegaConf.to_object(composed), home
    # Besides their own errors, Hydra and OmegaConf let any error of a wrong file pass.
    except Exception as error:
        raise ConfigError(one_line(error, overrides)) from error


@functools.cache
def _schema_store() -> Any:
    """Return Hydra's store with the dataclasses that the YAML files must match."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for group, schema in GROUPS.items():
        for variant, kind in {"schema": schema, **SCHEMAS.get(group, {})}.items():
            store.store(group=group, name=variant, node=kind)
    for name, variants in ROOTS.items():
        node = {"defaults": ["_self_", *({g: v} for g, v in variants.items())]}
        store.store(name=name, node=node)
    return store


def _for_hydra(overrides: Sequence[str]) -> list[str]:
    """Return overrides in the spelling that Hydra requires.

    A single number stands for a list of one, as in `emulator.window=128`, and keys are
    marked as additions where any key is allowed, as in `solver.constants.zeta=10`.
    """
    lists = {"emulator.window", "emulator.hidden", "autoencoder.widths"}
    spelled = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if key == "from":
            key, override = "from_", f"from_{equals}{value}"
        if new := new_key(key):
            key, override = new, f"{new}{equals}{value}"
        if equals and key in lists and value.isdigit():
            override = f"{key}=[{value}]"
        if OPEN.match(key):
            override = f"++{override}"
        spelled.append(override)
    return spelled
