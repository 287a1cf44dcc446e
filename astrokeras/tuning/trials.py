"""The trials of a search: each a training and a run, and a line about how it ended."""

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from astrokeras.config import Config, TunerConfig, compose
from astrokeras.errors import InputError, WorkError
from astrokeras.runs.directory import Run
from astrokeras.system.atomic_files import write_text, written_beside
from astrokeras.system.manifest import claim, remove, stage_names
from astrokeras.system.progress import report
from astrokeras.training.train import train
from astrokeras.tuning.search_space import to_overrides

STAGES = ("autoencoder", "emulator")


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
        trial: Its name, that of its run.
        values: What was tried, by field.
        epochs: Of each stage that was trained.
        val_dex: Validation error of the best epoch, dex; None of a failed trial.
        seconds: Wall time, since it was last resumed if it was.
        reason: Why it failed, else None.
    """

    trial: str
    values: dict[str, Any]
    epochs: dict[str, int]
    val_dex: float | None
    seconds: float
    reason: str | None = None


@dataclass(frozen=True)
class Search:
    """A search: its directory, what it tries, and what it is tried on.

    Attributes:
        path: The directory, `saved_models/<name>`.
        settings: Of the search.
        overrides: Of the configuration that the trials vary.
        device: `cpu`, `gpu`, or what is there.
    """

    path: Path
    settings: TunerConfig
    overrides: Sequence[str] = field(default_factory=list)
    device: str | None = None

    @property
    def facts(self) -> Path:
        return self.path / "search.json"

    @property
    def state(self) -> Path:
        return self.path / "oracle" / "state.json"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    @property
    def autoencoder(self) -> Run:
        """The run whose autoencoder the trials of an emulator share."""
        return Run(self.path / "autoencoder")

    @property
    def stages(self) -> tuple[str, ...]:
        stage = self.settings.stage
        return STAGES if stage == "both" else (stage,)

    def configure(self, values: Mapping[str, Any], full: bool = False) -> Config:
        """Compose the configuration with values for some fields.

        Args:
            values: By field.
            full: With the epochs that are configured, not the fewer ones of a trial.
        """
        fewer = {
            f"{stage}.fit.epochs": count
            for stage, count in asdict(self.settings.epochs).items()
            if count is not None and not full
        }
        return compose([*to_overrides(fewer), *self.overrides, *to_overrides(values)])

    def results(self) -> list[Result]:
        """Return the trials that ended, the best first and the failed last."""
        found = [
            Result(**json.loads(path.read_text()))
            for path in sorted(self.trials.glob("*/trial.json"))
        ]
        return sorted(found, key=lambda one: (one.val_dex is None, one.val_dex))


def open_search(path: Path) -> Search:
    """Return a search that was begun, as its directory tells it.

    Raises:
        InputError: If there is none.
    """
    from omegaconf import OmegaConf

    facts = path / "search.json"
    if not facts.is_file():
        raise InputError(
            f"{path}: no search was begun there; name one with name=..., or start it "
            "without --show."
        )
    known = json.loads(facts.read_text())
    schema = OmegaConf.structured(TunerConfig)
    settings = OmegaConf.to_object(OmegaConf.merge(schema, known["tuner"]))
    assert isinstance(settings, TunerConfig)
    return Search(path, settings, known["overrides"])


def run_trial(
    search: Search, trial: str, values: dict[str, Any], epochs: Mapping[str, int]
) -> Result:
    """Train a trial, or go on with it where it was interrupted, and write its result.

    Whatever goes wrong with these values is a failed trial; a full disk is not.

    Args:
        search: The search.
        trial: Name of the trial.
        values: What is tried, by field.
        epochs: Of each stage, where they are not those of all trials.
    """
    run = Run(search.trials / trial)
    path = run.path / "trial.json"
    if path.is_file():  # it ended, and its chief was killed before it knew
        return Result(**json.loads(path.read_text()))
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
    """Give a run the autoencoder of another, with what is recorded of it."""
    if run.autoencoder.is_file():
        return
    run.path.mkdir(parents=True, exist_ok=True)
    claim(run.path, "run", [run.provenance.name, run.autoencoder.name])
    pairs = {
        source.provenance: run.provenance,
        source.autoencoder: run.autoencoder,  # the last one: it tells that all is there
    }
    for given, path in pairs.items():
        with written_beside(path) as beside:
            shutil.copy(given, beside)


def validation_dex(run: Run, stage: str) -> float:
    """Return the validation error of a stage's best epoch, whose weights it has."""
    rows = json.loads((run.path / "history.json").read_text())[stage]
    return min(row["val_dex"] for row in rows)


def _train(search: Search, config: Config, run: Run) -> float:
    """Train the stages of a trial as `astrokeras train` does; return its objective."""
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
    # Nobody resumes a trial that ended, and an optimiser's state is large.
    for stage in search.stages:
        names = stage_names(stage)
        remove(run.path, [one for one in names if one.startswith("checkpoints/")])
    return dex


def _free_memory() -> None:
    """Forget the compiled steps of a trial, which no other trial can use."""
    import keras

    keras.utils.clear_session()


def _write_hparams(run: Run, result: Result) -> None:
    from astrokeras.monitoring.hparams import write_hparams

    failed = result.val_dex is None
    figures = {} if result.val_dex is None else {"val_dex": result.val_dex}
    values = _epochs(result.epochs) | result.values
    write_hparams(run.tensorboard, values, figures, failed)


def _epochs(counts: Mapping[str, int]) -> dict[str, Any]:
    return {f"{stage}.fit.epochs": count for stage, count in counts.items()}
