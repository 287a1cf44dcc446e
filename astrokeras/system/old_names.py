"""Old names of keys and arguments, by which older files are read."""

from collections.abc import Mapping
from typing import Any

SURROGATE = {
    "step": "dt_range",
    "duration": "t_max",
    "box": "parameter_ranges",
    "species_box": "species_ranges",
    "starts": "initial_conditions",
    "carry": "residual_decay_length",
}
"""Arguments of `Surrogate`, in `.keras` files of format 1."""
EMULATOR = {"joint": "finetune_autoencoder", "timed": "use_timestep"}
"""Arguments of `Emulator`, in the same files."""
TRUST = {"tolerance": "reliability_threshold"}
"""Arguments of `Trust`, in the same files."""
FIT = {"resident": "device_cache"}
STAGE = EMULATOR | {
    "even": "native_step_fraction",
    "decode": "states_per_window",
    "carry": "residual_decay_length",
}
"""Keys of a stage's settings, in checkpoints, `config.yaml` and `provenance.json`."""
SOLVER = {"time_limit": "cpu_limit"}
"""Keys of the solver's settings, in variants of `configs/solver/`."""
CONFIGURATION = {"tolerance": "reliability_threshold"}
"""Keys at the root of a configuration, in the same files."""
ENSEMBLE = ("members", "ensemble_size")
"""Keys at the root that counted whole surrogates; the only value still read is 1."""
METRICS = {"trust": "reliability"}
RELIABILITY = {
    "flagged": "unreliable",
    "flagged_large": "unreliable_large",
    "flagged_good": "unreliable_good",
    "remaining": "reliable_dex",
    "wrong": "corrupted",
    "tolerance": "reliability_threshold",
}
"""Keys of `metrics.json`, and of its figures of reliability."""


def rename_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a dictionary whose keys have their new names, its order unchanged."""
    return {names.get(key, key): value for key, value in values.items()}


def rename_stage(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the autoencoder or the emulator under their new names."""
    renamed = rename_keys(settings, STAGE)
    if isinstance(renamed.get("fit"), Mapping):
        renamed["fit"] = rename_keys(renamed["fit"], FIT)
    return renamed


def rename_recorded_stage(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with which a stage was trained, under their new names.

    Emulators that were trained before `members` and `exposures` were keys had a single
    member and no exposures.
    """
    renamed = rename_stage(settings)
    younger = {"members": 1, "exposures": False}
    return younger | renamed if "window" in renamed else renamed


def rename_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole configuration, nested dictionaries, under its new names.

    An ensemble of one surrogate is a surrogate, so that its key is left out.
    """
    renamed = rename_keys(configuration, CONFIGURATION)
    for key in ENSEMBLE:
        if renamed.get(key) == 1:
            del renamed[key]
    for stage in ("autoencoder", "emulator"):
        if isinstance(renamed.get(stage), Mapping):
            renamed[stage] = rename_stage(renamed[stage])
    return renamed


def rename_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a `metrics.json` under its new names."""
    renamed = rename_keys(metrics, METRICS)
    if isinstance(renamed.get("reliability"), Mapping):
        renamed["reliability"] = rename_keys(renamed["reliability"], RELIABILITY)
    return renamed


def rename_space(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a search, and their conditions, under their new names."""
    renamed = {}
    for path, tried in space.items():
        if isinstance(tried, Mapping) and isinstance(tried.get("when"), Mapping):
            tried = {**tried, "when": rename_paths(tried["when"])}
        renamed[new_key(path) or path] = tried
    return renamed


def rename_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the new names of keys such as `emulator.timed`."""
    return {new_key(path) or path: value for path, value in values.items()}


def new_key(path: str) -> str | None:
    """Return the new name of a key such as `emulator.timed`, `None` if it has none."""
    *parents, key = path.split(".")
    table = CONFIGURATION
    if parents:
        tables = {"emulator": STAGE, "fit": FIT, "solver": SOLVER}
        table = tables.get(parents[-1], {})
    return ".".join([*parents, table[key]]) if key in table else None
