"""Trials of a search: the training and the run of each, and its result."""

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from astrokeras.config import STAGES, Config, TunerConfig, compose
from astrokeras.errors import InputError, WorkError
from astrokeras.runs.directory import Run
from astrokeras.system.atomic_files import write_text, written_beside
from astrokeras.system.manifest import claim, remove, stage_names
from astrokeras.system.old_names import rename_paths
from astrokeras.system.progress import report
from astrokeras.training.train import train
from astrokeras.tuning.search_space import to_overrides


@dataclass(frozen=True)
class Result:
    """Result of a trial.

    Attributes:
        trial: Name of the trial and of its run.
        values: The tried values, by field.
        epochs: Epochs of each trained stage.
        val_dex: Validation error of the best epoch, dex; None for a failed trial.
        seconds: Wall time since the start or the last resumption.
        reason: The reason of a failure, else None.
    """

    trial: str
    values: dict[str, Any]
    epochs: dict[str, int]
    val_dex: float | None
    seconds: float
    reason: str | None = None


@dataclass(frozen=True)
class Search:
    """A search: its directory, its settings, and the configuration that it varies.

    Attributes:
        path: The directory, `saved_models/<name>`.
        settings: Settings of the search.
        overrides: Overrides of the configuration that the trials vary.
        device: `cpu` or `gpu`; by default a GPU if there is one.
    """

    path: Path
    settings: TunerConfig
    overrides: Sequence[str] = field(default_factory=list)
    device: str | None = None

    @property
    def settings_file(self) -> Path:
        return self.path / "search.json"

    @property
    def state(self) -> Path:
        return self.path / "oracle" / "state.json"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    @property
    def autoencoder(self) -> Run:
        """The run with the autoencoder that all trials of an emulator use."""
        return Run(self.path / "autoencoder")

    @property
    def stages(self) -> tuple[str, ...]:
        stage = self.settings.stage
        return STAGES if stage == "both" else (stage,)

    def configure(self, values: Mapping[str, Any], full: bool = False) -> Config:
        """Compose the configuration with values for some fields.

        Args:
            values: The values, by field.
            full: Whether to use the configured epochs, not the fewer ones of a trial.
        """
        counts = {} if full else asdict(self.settings.epochs)
        fewer = _epochs({k: count for k, count in counts.items() if count is not None})
        return compose([*to_overrides(fewer), *self.overrides, *to_overrides(values)])

    def results(self) -> list[Result]:
        """Return the results of finished trials, best first and failed ones last."""
        results = [
            _read_result(path) for path in sorted(self.trials.glob("*/trial.json"))
        ]
        return sorted(results, key=lambda each: (each.val_dex is None, each.val_dex))


def open_search(path: Path) -> Search:
    """Read an existing search from its directory.

    Raises:
        InputError: If there is no search.
    """
    from omegaconf import OmegaConf

    file = Search(path, TunerConfig()).settings_file
    if not file.is_file():
        raise InputError(
            f"{path}: there is no search in this directory; give its name with "
            "name=..., or start it without --show."
        )
    stored = json.loads(file.read_text())
    schema = OmegaConf.structured(TunerConfig)
    settings = OmegaConf.to_object(OmegaConf.merge(schema, stored["tuner"]))
    assert isinstance(settings, TunerConfig)
    return Search(path, settings, stored["overrides"])


def _read_result(path: Path) -> Result:
    """Return the result in a `trial.json`; earlier versions had other keys."""
    stored = json.loads(path.read_text())
    return Result(**stored | {"values": rename_paths(stored["values"])})


def run_trial(
    search: Search, trial: str, values: dict[str, Any], epochs: Mapping[str, int]
) -> Result:
    """Train a trial, or resume it after an interruption, and write its result.

    Errors in the training make a failed trial; an error of the disk ends the search.

    Args:
        search: The search.
        trial: Name of the trial.
        values: The values to try, by field.
        epochs: Epochs of each stage that differ from those of other trials.
    """
    run = Run(search.trials / trial)
    path = run.path / "trial.json"
    if path.is_file():  # The chief was killed before it saved this result.
        return _read_result(path)
    report(f"Trial {trial}: {' '.join(to_overrides(values))}")
    began = time.time()
    used: dict[str, int] = {}
    reason, dex = None, None
    try:
        config = replace(
            search.configure(values | _epochs(epochs)),
            name=trial,
            runs_dir=str(search.trials),
        )
        used = {stage: getattr(config, stage).fit.epochs for stage in search.stages}
        dex = _train(search, config, run)
    except OSError:
        raise
    except Exception as error:
        known = isinstance(error, InputError | WorkError)
        text = " ".join(str(error).split())
        reason = text if known else f"{type(error).__name__}: {text}"
    seconds = round(time.time() - began, 1)
    result = Result(trial, values, used, dex, seconds, reason)
    _free_memory()
    run.path.mkdir(parents=True, exist_ok=True)
    _write_hparams(run, result)
    write_text(path, json.dumps(asdict(result), indent=1))
    report(f"Trial {trial}: " + (f"failed, {reason}" if reason else f"{dex:.4f} dex"))
    return result


def share_autoencoder(source: Run, run: Run) -> None:
    """Copy the autoencoder of a run, and its provenance, to another run."""
    if run.autoencoder.is_file():
        return
    run.path.mkdir(parents=True, exist_ok=True)
    claim(run.path, "run", [run.provenance.name, run.autoencoder.name])
    pairs = {
        source.provenance: run.provenance,
        source.autoencoder: run.autoencoder,  # It comes last: it marks completion.
    }
    for given, path in pairs.items():
        with written_beside(path) as beside:
            shutil.copy(given, beside)


def validation_dex(run: Run, stage: str) -> float:
    """Return the validation error of a stage's best epoch, dex."""
    rows = json.loads((run.path / "history.json").read_text())[stage]
    return min(row["val_dex"] for row in rows)


def _train(search: Search, config: Config, run: Run) -> float:
    """Train the stages of a trial as `astrokeras train` does, and return its error."""
    if search.settings.stage == "emulator":
        share_autoencoder(search.autoencoder, run)
    made = {"autoencoder": run.autoencoder, "emulator": run.surrogate}
    begun = any(
        made[stage].is_file() or (run.checkpoint(stage) / "state.json").is_file()
        for stage in search.stages
    )
    train(
        config,
        search.stages,
        resume=begun,
        overwrite=not begun,
        device=search.device,
        calibrated=False,
    )
    dex = validation_dex(run, search.stages[-1])
    if not math.isfinite(dex):
        raise WorkError(f"the validation error is {dex}.")
    # A finished trial is never resumed, and the optimiser's state is large.
    for stage in search.stages:
        names = stage_names(stage)
        remove(run.path, [name for name in names if name.startswith("checkpoints/")])
    return dex


def _free_memory() -> None:
    """Free the compiled steps of a trial, which no other trial can use."""
    import keras

    keras.utils.clear_session()


def _write_hparams(run: Run, result: Result) -> None:
    """Write the values and the error of a trial for TensorBoard's HParams."""
    from astrokeras.monitoring.hparams import write_hparams

    failed = result.val_dex is None
    figures = {} if result.val_dex is None else {"val_dex": result.val_dex}
    values = _epochs(result.epochs) | result.values
    write_hparams(run.tensorboard, values, figures, failed)


def _epochs(counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the epochs of stages by the path of the field."""
    return {f"{stage}.fit.epochs": count for stage, count in counts.items()}
