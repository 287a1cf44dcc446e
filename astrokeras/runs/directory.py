"""Run directories: their files, and how to find them by name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astrokeras.errors import InputError
from astrokeras.system.atomic_files import read_json
from astrokeras.system.close_names import suggest
from astrokeras.system.folder_replacement import KEPT, recover
from astrokeras.system.input_paths import check_input, refuse_unexpanded
from astrokeras.system.old_names import (
    rename_configuration,
    rename_metrics,
    rename_recorded_stage,
)
from astrokeras.system.package_data import resource


@dataclass(frozen=True)
class Run:
    """A directory with a trained surrogate, its figures and its provenance.

    Attributes:
        path: The directory, `saved_models/<name>`.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def autoencoder(self) -> Path:
        return self.path / "autoencoder.keras"

    @property
    def surrogate(self) -> Path:
        return self.path / "surrogate.keras"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def checkpoint(self, stage: str) -> Path:
        return self.path / "checkpoints" / stage

    def read_provenance(self) -> dict[str, Any]:
        """Return the provenance of the run, empty if there is no `provenance.json`.

        Raises:
            InputError: If the file is damaged.
        """
        if not self.provenance.is_file():
            return {}
        provenance = read_json(self.provenance, "remove it, or train again")
        configuration = provenance.get("configuration")
        if isinstance(configuration, dict):
            provenance["configuration"] = rename_configuration(configuration)
        _rename_stages(provenance)
        return provenance

    def read_metrics(self) -> dict[str, Any]:
        """Return the figures in `metrics.json`, empty if there are none yet."""
        if not self.metrics.is_file():
            return {}
        return rename_metrics(read_json(self.metrics, "remove it, or evaluate again"))


def _rename_stages(provenance: dict[str, Any]) -> None:
    """Give the settings of the stages their new names."""
    stages = provenance.get("stages")
    for stage in stages.values() if isinstance(stages, dict) else ():
        if isinstance(stage, dict) and isinstance(stage.get("settings"), dict):
            stage["settings"] = rename_recorded_stage(stage["settings"])


def run_folders() -> list[Path]:
    """Return the folders that may hold runs, the working directory first."""
    folders = [Path("saved_models").resolve(), resource("saved_models").resolve()]
    return list(dict.fromkeys(folders))


def list_runs() -> list[Run]:
    """Return all runs with a model, those of the working directory first."""
    found = {
        path.name: Run(path)
        for folder in reversed(run_folders())
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if any(path.glob("*.keras"))
    }
    return list(found.values())


def find_run(name: str | Path) -> Run:
    """Return a run by its name or its directory.

    Raises:
        InputError: If there is none; the message lists the known runs.
    """
    candidates = [Path(name), *(folder / name for folder in run_folders())]
    for path in candidates:
        if _holds_model(path):
            return Run(path)
    for path in candidates:
        recover(path)
        if _holds_model(path):
            return Run(path)
        if (path / "config.yaml").is_file():
            former = (path / KEPT / "surrogate.keras").is_file()
            kept = f", the former model is kept in {path / KEPT}" * former
            raise InputError(
                f"{path}: the run has no model yet{kept}; finish it with "
                f"`astrokeras train --resume name={path.name}` and its overrides."
            )
    refuse_unexpanded(Path(name))
    runs = [run.name for run in list_runs()]
    raise InputError(
        f"{name}: no such run or surrogate; known here: {', '.join(runs) or 'none'}"
        f"{suggest(Path(name).name, runs)}"
    )


def _holds_model(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.keras"))


def find_data(path: str, key: str) -> Path:
    """Return a data file by its path, or by the name of a file in the package.

    Args:
        path: The path or the name.
        key: Configuration key of the path, for the message.

    Raises:
        InputError: If there is no such file.
    """
    shipped = resource("data")
    for candidate in (Path(path), shipped / path):
        if candidate.is_file():
            return candidate
    names = sorted(p.name for p in shipped.iterdir() if p.suffix != ".md")
    try:
        check_input(Path(path))
    except InputError as error:
        cause = str(error).removeprefix(f"{Path(path)}: ")
        if "no such file;" not in cause:  # a folder, or nearly the right name
            raise InputError(f"{key} is {path!r}: {cause}") from error
    remedy = "; give a path, or make a tracer file with `astrokeras data import`."
    raise InputError(
        f"{key} is {path!r}: no such file, here or in the package "
        f"({', '.join(names)}){suggest(path, names, remedy)}"
    )
