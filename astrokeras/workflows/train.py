"""Training: a tracer file and a configuration in, a run directory out."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from astrokeras.callbacks import write_text
from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import Config, LossConfig
from astrokeras.data.cache import Cache, prepare
from astrokeras.data.sampling import (
    RolloutSampler,
    RowSampler,
    StateSampler,
    WindowSampler,
)
from astrokeras.data.scaling import decades
from astrokeras.data.store import TracerStore
from astrokeras.errors import InputError
from astrokeras.losses import DexLoss, ReferenceLoss
from astrokeras.metrics import Dex
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.emulator import Emulator
from astrokeras.models.surrogate import Surrogate
from astrokeras.resources import resource
from astrokeras.workflows.fit import fit
from astrokeras.workflows.progress import report, tracer_bar
from astrokeras.workflows.runs import Run, provenance

# States from which the spread of the latents is measured.
LATENT_SAMPLE = 65536


def train(
    config: Config,
    stages: Sequence[str] = ("autoencoder", "emulator"),
    mode: str = "both",
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Train the stages asked for and write a run directory.

    Args:
        config: The composed configuration.
        stages: `autoencoder`, `emulator` or both, in this order.
        mode: `preprocess` makes the training cache only, `train` needs it, `both`.
        resume: Whether to go on from the run's checkpoints.
        overwrite: Whether an existing run of this name may be replaced.

    Returns:
        The run.

    Raises:
        InputError: For wrong input, an existing run without `resume` or `overwrite`,
            or an emulator without a trained autoencoder.
        WorkError: If training diverges.
    """
    began = time.time()
    run = Run(Path(config.runs_dir) / config.name)
    source = find_tracers(config.dataset.path)
    _check_run(run, stages, resume, overwrite)
    cache = _prepare(config, source, build=mode != "train")
    if mode == "preprocess":
        return run

    keras.utils.set_random_seed(config.seed)
    run.path.mkdir(parents=True, exist_ok=True)
    _write_config(run, config)
    if "autoencoder" in stages:
        _train_autoencoder(config, cache, run, resume)
    if "emulator" in stages:
        _train_emulator(config, cache, run, resume)
    _write_provenance(run, config, cache, source, time.time() - began)
    return run


def find_tracers(path: str) -> Path:
    """Return a tracer file by its path, or by the name of one that ships.

    Raises:
        InputError: If there is neither.
    """
    candidates = [Path(path), resource("data") / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"dataset.path is {path!r}: no such tracer file, here or among those that ship "
        f"with astrokeras; give a path or make one with `astrokeras data import`."
    )


def _check_run(run: Run, stages: Sequence[str], resume: bool, overwrite: bool) -> None:
    made = {"autoencoder": run.autoencoder, "emulator": run.surrogate}
    for stage in stages:
        started = made[stage].is_file() or run.checkpoint(stage).is_dir()
        if started and not (resume or overwrite):
            raise InputError(
                f"{run.path}: the run has a trained or interrupted {stage}; choose "
                "another name=..., or --resume it, or replace it with --overwrite."
            )
    if "autoencoder" not in stages and not run.autoencoder.is_file():
        raise InputError(
            f"{run.autoencoder}: the emulator needs a trained autoencoder; "
            f"run `astrokeras train autoencoder name={run.name}` first."
        )
    if resume and not any(
        made[stage].is_file() or run.checkpoint(stage).is_dir() for stage in stages
    ):
        raise InputError(
            f"{run.path}: there is nothing to resume; start without --resume."
        )


def _prepare(config: Config, source: Path, build: bool) -> Cache:
    with tracer_bar(f"Preparing {source.name}") as progress:
        return prepare(
            source,
            Path(config.cache_dir),
            config.dataset.floor,
            config.seed,
            build=build,
            progress=progress,
        )


def _train_autoencoder(config: Config, cache: Cache, run: Run, resume: bool) -> None:
    settings = config.autoencoder
    if resume and run.autoencoder.is_file():
        report(f"The autoencoder of {run.path} is trained already.")
        return
    model = Autoencoder(
        len(cache.species),
        settings.widths,
        settings.latents,
        activation=settings.activation,
        latent_activation=settings.latent_activation,
        normalise=settings.normalise,
        output=settings.output,
        noise=settings.noise,
        dropout=settings.dropout,
        momentum=settings.momentum,
        seed=config.seed,
        name="autoencoder",
    )
    model.build()
    if settings.standardise:
        statistics = cache.statistics
        model.species_scaler.set_scales(
            statistics.species_mean, statistics.species_spread
        )
    fit(
        model,
        RowSampler(cache, settings.fit.batch_size, config.seed),
        StateSampler(cache, 14),
        loss=_loss(settings.loss, cache),
        metric=Dex(len(cache.species), decades(cache.floor), name="dex"),
        settings=settings.fit,
        annealed=[model.drop, model.latent_noise],
        run=run,
        stage="autoencoder",
        facts={"data": cache.source_hash, "settings": asdict(settings)},
        resume=resume,
    )
    _save(_uncompiled(model), run.autoencoder)


def _train_emulator(config: Config, cache: Cache, run: Run, resume: bool) -> None:
    settings = config.emulator
    if resume and run.surrogate.is_file():
        report(f"The surrogate of {run.path} is trained already.")
        return
    autoencoder = keras.saving.load_model(run.autoencoder, compile=False)
    if autoencoder.species != len(cache.species):
        raise InputError(
            f"{run.autoencoder}: has {autoencoder.species} species, the data have "
            f"{len(cache.species)}; train an autoencoder on these data first."
        )
    model = Emulator(
        autoencoder,
        len(cache.parameters),
        settings.hidden,
        activation=settings.activation,
        joint=settings.joint,
        name="emulator",
    )
    model.build()
    model.latent_scaler.set_scales(*_latent_scales(autoencoder, cache, config.seed))
    sampler = WindowSampler(
        cache,
        settings.fit.batch_size,
        settings.window,
        config.seed,
        from_start=settings.from_start,
        decode=settings.decode,
    )
    if sampler.left_out:
        report(
            f"Left out {sampler.left_out} training tracers, shorter than the shortest "
            f"window of {sampler.windows[0]} steps."
        )
    fit(
        model,
        sampler,
        RolloutSampler(cache, 64),
        loss=_loss(settings.loss, cache),
        metric=Dex(len(cache.species), decades(cache.floor), name="dex"),
        settings=settings.fit,
        annealed=[],
        run=run,
        stage="emulator",
        facts={"data": cache.source_hash, "settings": asdict(settings)},
        resume=resume,
    )
    _save(make_surrogate(_uncompiled(model), cache, config), run.surrogate)


def _loss(settings: LossConfig, cache: Cache) -> keras.losses.Loss:
    matrix, _ = stoichiometric_matrix(cache.species)
    span = decades(cache.floor)
    if settings.kind == "reference":
        return ReferenceLoss(matrix, span, conservation=settings.conservation)
    return DexLoss(
        matrix,
        span,
        width=settings.width,
        tail=settings.tail,
        conservation=settings.conservation,
        censored=settings.censored,
    )


def _latent_scales(
    autoencoder: Autoencoder, cache: Cache, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and spread of each latent on training states.

    The spread is that of a normal distribution with the same 5th and 95th percentile,
    so that no outlier sets the unit.
    """
    sampler = RowSampler(cache, 4096, seed)
    batches = min(sampler.steps, max(1, LATENT_SAMPLE // sampler.batch_size))
    latents = np.concatenate(
        [
            keras.ops.convert_to_numpy(autoencoder.encode(sampler.batch(0, i)[0]))
            for i in range(batches)
        ]
    )
    low, centre, high = np.percentile(latents, [5, 50, 95], axis=0)
    spread = (high - low) / 3.29
    return centre, np.where(spread > 1e-6, spread, 1.0)


def make_surrogate(emulator: Emulator, cache: Cache, config: Config) -> Surrogate:
    """Return the surrogate of a trained emulator, with the limits of its data."""
    statistics = cache.statistics
    matrix, elements = stoichiometric_matrix(cache.species)
    low, high = statistics.parameter_low, statistics.parameter_high
    surrogate = Surrogate(
        emulator,
        species=cache.species,
        parameters=cache.parameters,
        units=cache.units,
        elements=elements,
        stoichiometry=matrix,
        step=statistics.step,
        duration=float(statistics.duration),
        box={name: (low[i], high[i]) for i, name in enumerate(cache.parameters)},
        species_box=np.stack([statistics.species_low, statistics.species_high]),
        starts=_starts(cache, config),
        floor=cache.floor,
        fixed=cache.fixed,
        name="surrogate",
    )
    surrogate.build()
    surrogate.parameter_scaler.set_scales(statistics.offset, statistics.scale)
    return surrogate


def _starts(cache: Cache, config: Config) -> dict[str, np.ndarray]:
    """Return the training median and, where there is one, the network's own start."""
    from astrokeras.data.initial import read_initial

    starts = {config.dataset.name: cache.statistics.start}
    if config.dataset.initial_abundances:
        path = find_tracers(config.dataset.initial_abundances)
        starts[path.stem] = read_initial(path, cache.species, cache.floor)
    return starts


def _uncompiled(model: keras.Model) -> keras.Model:
    """Return a copy without optimiser and loss, which a model file need not carry."""
    copy = type(model).from_config(model.get_config())
    copy.build()
    copy.set_weights(model.get_weights())
    return copy


def _save(model: keras.Model, path: Path) -> None:
    """Write a whole model file or none."""
    beside = path.with_name(f"{path.stem}.partial.keras")
    model.save(beside)
    beside.replace(path)


def _write_config(run: Run, config: Config) -> None:
    from omegaconf import OmegaConf

    write_text(run.config, OmegaConf.to_yaml(OmegaConf.structured(config)))


def _write_provenance(
    run: Run, config: Config, cache: Cache, source: Path, seconds: float
) -> None:
    with TracerStore(source) as store:
        facts = provenance(config, cache.source_hash, store.split)
    facts["backend"] = keras.backend.backend()
    facts["wall_seconds"] = round(seconds, 1)
    write_text(run.provenance, json.dumps(facts, indent=1))
