"""Fine-tuning: the surrogate that a training begins with, and tracers that fit it.

Keras is not imported here: tracers that do not fit are refused at once.
"""

from collections.abc import Sequence

from astrokeras.config import STAGES, Config, ConfigError
from astrokeras.data.pipeline.training_cache import Cache
from astrokeras.data.tracers.file_format import STEP_MARGIN
from astrokeras.data.tracers.reader import TracerStore, held_quantities
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run, find_data
from astrokeras.runs.model_file_check import read_archive
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    check_same_species,
    find_surrogate_reference,
)
from astrokeras.system.old_names import EMULATOR, rename_keys


def prepare_finetuning(
    config: Config, stages: Sequence[str], run: Run
) -> tuple[str, ...]:
    """Adopt the settings of the surrogate that is fine-tuned, and check the tracers.

    Args:
        config: The configuration, whose `from_` names the surrogate. The floor and the
            settings that define the models become those of the surrogate.
        stages: The stages that were requested.
        run: The run to be written.

    Returns:
        The stages to train, which is the emulator alone.

    Raises:
        InputError: If there is no such surrogate, or if the tracer file has other
            species, parameters, units or fixed quantities.
        ConfigError: For settings that a fine-tuning cannot have.
    """
    assert config.from_ is not None
    former = find_surrogate_reference(config.from_)
    if tuple(stages) not in (STAGES, ("emulator",)):
        raise ConfigError(
            f"from is {config.from_!r}, and the stage is {', '.join(stages)}: a "
            "surrogate is fine-tuned as a whole; leave the stage out."
        )
    if former.path is not None and former.path.resolve().parent == run.path.resolve():
        raise ConfigError(
            f"from is {config.from_!r}, which the run {config.name!r} would replace; "
            "give another name=..."
        )
    _adopt_settings(config, former)
    source = find_data(config.dataset.path, "dataset.path")
    with TracerStore(source) as store:
        _check_tracers(store, former)
    return ("emulator",)


def check_intervals(config: Config, cache: Cache) -> None:
    """Fit the windows to the tracers, and check intervals that must not differ.

    Raises:
        InputError: If the surrogate has one fixed time step and the tracers another.
    """
    settings, statistics = config.emulator, cache.statistics
    longest = int(statistics.longest)
    settings.window = sorted({min(window, longest) for window in settings.window})
    if not settings.use_timestep:
        former = find_surrogate_reference(config.from_)
        step, found = former.metadata.dt_range[0], float(statistics.step[0])
        if abs(found - step) > STEP_MARGIN * step:
            raise InputError(
                f"{config.dataset.path}: dataset 'time' has intervals of {found:g} yr, "
                f"surrogate {former.name!r} knows {step:g} yr alone; resample "
                f"them, `astrokeras data resample FILE OUT --times 0:END:{step:g}`, or "
                "fine-tune a surrogate with emulator.use_timestep."
            )


def _adopt_settings(config: Config, former: SurrogateReference) -> None:
    """Give the configuration the settings that define the surrogate's models."""
    assert former.path is not None
    stored = read_archive(former.path, "Surrogate")["emulator"]
    emulator = rename_keys(stored["config"], EMULATOR)
    coder = emulator["autoencoder"]
    kind = "dense" if coder["class_name"] == "Autoencoder" else "projection"
    metadata = former.metadata
    config.dataset.floor = metadata.floor
    models = {
        **emulator,
        "finetune_autoencoder": config.emulator.finetune_autoencoder,
        "rates": emulator.get("rates") is not None,
        "exposures": emulator.get("exposures") is not None,
        "conserve": metadata.conserve,
        "residual_decay_length": metadata.residual_decay_length,
    }
    for settings, values in (
        (config.emulator, models),
        (config.autoencoder, coder["config"] | {"kind": kind}),
    ):
        for name in set(vars(settings)) & set(values):
            setattr(settings, name, values[name])
    if not config.emulator.use_timestep:
        config.emulator.stride = 1


def _check_tracers(store: TracerStore, former: SurrogateReference) -> None:
    """Raise InputError unless a file has the surrogate's species and parameters."""
    metadata = former.metadata
    check_same_species(
        f"{store.path}: dataset 'species'", store.species, metadata.species
    )
    found, wanted = store.parameters, metadata.parameters
    missing = [name for name in wanted if name not in found]
    surplus = [name for name in found if name not in wanted]
    where = f"{store.path}: dataset 'parameters'"
    made = f"`astrokeras data import {store.path} --out NEW.h5{_dataset(former)}`"
    if surplus:
        raise InputError(
            f"{where} holds {', '.join(surplus)}, which surrogate {former.name!r} does "
            f"not take; fine-tune one that takes them, or train without from=."
        )
    if missing:
        raise InputError(
            f"{where} lacks {', '.join(missing)}, which surrogate {former.name!r} "
            f"takes; {made} fills what the file held fixed, with a dataset whose "
            f"parameters are {', '.join(wanted)}."
        )
    if found != wanted:
        raise InputError(
            f"{where} is {', '.join(found)}, surrogate {former.name!r} takes "
            f"{', '.join(wanted)}; {made} writes them in this order, with a dataset "
            "that lists them so."
        )
    for name, unit, wanted_unit in zip(found, store.units, metadata.units, strict=True):
        if unit != wanted_unit:
            raise InputError(
                f"{store.path}: parameter {name} is in {unit!r}, surrogate "
                f"{former.name!r} takes {wanted_unit!r}; convert it and correct the "
                "attribute 'units'."
            )
    known = held_quantities(metadata.fixed, wanted)
    for name, value in store.held().items():
        if known.get(name, value) != value:
            raise InputError(
                f"{store.path}: attribute 'fixed' holds {name} = {value}, surrogate "
                f"{former.name!r} is for {name} = {known[name]}; fine-tune one that "
                f"takes {name} as a parameter, or train without from=."
            )


def _dataset(former: SurrogateReference) -> str:
    """Return the override that chooses the surrogate's dataset, if it is recorded."""
    record = former.run.read_provenance() if former.run else {}
    name = record.get("configuration", {}).get("dataset", {}).get("name")
    return f" dataset={name}" if name else " dataset=..."
