"""Checkpoint and history of a training, by which an interrupted training resumes.

Variables are read and assigned at the ends of epochs only: during an epoch JAX holds
them elsewhere.
"""

import csv
import io
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from astrokeras.config import dotted_keys
from astrokeras.errors import InputError
from astrokeras.system.atomic_files import (
    read_arrays,
    read_json,
    write_arrays,
    write_text,
)
from astrokeras.system.old_names import rename_recorded_stage


class Checkpoint(keras.callbacks.Callback):
    """Saves the state of a training, so that it resumes as if never interrupted.

    After each epoch it writes the state of model, optimiser, random generators and
    other callbacks, and the history. `state.json` is replaced last and names the file
    of arrays that belongs to it, so an interruption at any moment leaves one complete
    checkpoint. The best weights are kept in a file of their own.

    Args:
        folder: Folder of the checkpoint.
        monitor: Name of the monitored metric; smaller is better.
        others: Callbacks whose numbers are saved and restored.
        signature: Data and settings that must be the same on resumption.
        writes: Whether this process writes the files; only the chief does.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        others: Sequence[keras.callbacks.Callback],
        signature: dict[str, Any],
        writes: bool = True,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.monitor = monitor
        self.others = others
        self.signature = json.loads(json.dumps(signature))  # lists for tuples
        self.writes = writes
        self.best = math.inf
        self.history: list[dict[str, float]] = []
        self._restored: list[dict[str, Any]] | None = None

    @property
    def state_path(self) -> Path:
        return self.folder / "state.json"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.npz"

    def restore(self, model: keras.Model) -> int:
        """Restore a built and compiled model from the checkpoint.

        Returns:
            The number of finished epochs.

        Raises:
            InputError: If there is no checkpoint, if it is damaged, or if it belongs
                to another configuration.
        """
        if not self.state_path.is_file():
            raise InputError(
                f"{self.state_path}: no checkpoint to resume from; "
                "start without --resume."
            )
        state = self._read_state()
        # The first checkpoints lack the precision, which was always float32.
        stored = {"precision": "float32"} | state["facts"]
        before = dotted_keys({key: stored.get(key) for key in self.signature})
        now = dotted_keys(self.signature)
        for key in now | before:
            if before.get(key) != now.get(key):
                raise InputError(
                    f"{self.state_path}: {key} was {before.get(key)} when the training "
                    f"was interrupted and is {now.get(key)} now; resume with the same "
                    "configuration and data, or start without --resume."
                )
        model.optimizer.build(model.trainable_variables)
        try:
            _assign(_variables(model), self.folder / state["arrays"])
        except InputError:
            raise
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.folder / state['arrays']}: the file is missing or damaged "
                f"({error}); start without --resume."
            ) from error
        self.history, self.best = state["history"], state["best"]
        self._restored = state["callbacks"]
        return len(self.history)

    def _read_state(self) -> dict[str, Any]:
        """Return the stored state; raise InputError if an entry has a wrong type."""
        state = read_json(self.state_path, "start without --resume")
        kinds: dict[str, Any] = {
            "arrays": str,
            "best": (int, float),
            "facts": dict,
            "history": list,
            "callbacks": list,
        }
        wrong = [
            key for key, kind in kinds.items() if not isinstance(state.get(key), kind)
        ]
        # A path could lead out of the folder.
        if not wrong and Path(state["arrays"]).name != state["arrays"]:
            wrong = ["arrays"]
        if not wrong and not self._are_numbers(state["callbacks"]):
            wrong = ["callbacks"]
        if wrong:
            raise InputError(
                f"{self.state_path}: this is not a checkpoint, or it is damaged: "
                f"{wrong[0]!r} is {str(state.get(wrong[0]))[:60]}; start without "
                "--resume."
            )
        if isinstance(state["facts"].get("settings"), dict):
            state["facts"]["settings"] = rename_recorded_stage(
                state["facts"]["settings"]
            )
        return state

    def _are_numbers(self, stored: list[Any]) -> bool:
        """Return whether the stored values are plain numbers of the other callbacks."""
        return len(stored) == len(self.others) and all(
            isinstance(numbers, dict)
            and all(isinstance(value, (int, float)) for value in numbers.values())
            and not any(hasattr(type(callback), key) for key in numbers)
            for numbers, callback in zip(stored, self.others, strict=True)
        )

    def stopped_early(self, patience: int) -> bool:
        """Return whether the restored training had already stopped early."""
        return any(
            "stopped_epoch" in numbers and numbers["wait"] >= patience
            for numbers in self._restored or []
        )

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # The other callbacks come before this one, and have just reset themselves.
        if self._restored is not None:
            for callback, numbers in zip(self.others, self._restored, strict=True):
                vars(callback).update(numbers)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {key: float(value) for key, value in (logs or {}).items()}
        self.history.append({"epoch": epoch + 1, **logs})
        best = logs[self.monitor] < self.best
        self.best = min(self.best, logs[self.monitor])
        if self.writes:
            self._write(epoch, best)

    def _write(self, epoch: int, best: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if best:
            _write_variables(self.best_path, self.model.weights)
        arrays = self.folder / f"epoch-{epoch + 1}.npz"
        _write_variables(arrays, _variables(self.model))
        state = {
            "arrays": arrays.name,
            "best": self.best,
            "facts": self.signature,
            "history": self.history,
            "callbacks": [_numbers(callback) for callback in self.others],
        }
        write_text(self.state_path, json.dumps(state))
        for old in self.folder.glob("epoch-*.npz"):
            if old.name != arrays.name:
                old.unlink()

    def restore_best(self, model: keras.Model) -> None:
        """Set the weights of a model to the best ones of the training so far."""
        _assign(model.weights, self.best_path)


class HistoryWriter(keras.callbacks.Callback):
    """Writes the history of a run's stages as `history.csv` and `.json` each epoch.

    Args:
        folder: Directory of the run.
        stage: Name of the trained stage; the epochs of other stages stay in the files.
        checkpoint: The `Checkpoint`, which must come before this callback.
    """

    def __init__(self, folder: Path, stage: str, checkpoint: Checkpoint):
        super().__init__()
        self.path = Path(folder) / "history.json"
        self.stage = stage
        self.checkpoint = checkpoint

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.write()

    def write(self) -> None:
        """Write the history of the checkpoint."""
        stages = {}
        if self.path.is_file():
            stages = read_json(self.path, "remove it")
        stages[self.stage] = self.checkpoint.history
        rows = [{"stage": name} | row for name in stages for row in stages[name]]
        text = io.StringIO()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path.with_suffix(".csv"), text.getvalue())
        write_text(self.path, json.dumps(stages, indent=1))


def _write_variables(path: Path, variables: Sequence[Any]) -> None:
    """Write the values of variables, in order, as an .npz file."""
    values = [ops.convert_to_numpy(variable) for variable in variables]
    write_arrays(path, {str(i): value for i, value in enumerate(values)})


def _variables(model: keras.Model) -> list[Any]:
    """Return the variables that training changes: weights, random states, optimiser."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    return own + list(model.optimizer.variables)


def _assign(variables: Sequence[Any], path: Path) -> None:
    """Set variables to the arrays of a file; raise InputError if they do not fit."""
    arrays = read_arrays(path)
    if set(arrays) != {str(i) for i in range(len(variables))}:
        raise InputError(
            f"{path}: the file has {len(arrays)} arrays, the model {len(variables)}; "
            "it belongs to another configuration."
        )
    values = [arrays[str(i)] for i in range(len(variables))]
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            raise InputError(
                f"{path}: {variable.path} has shape {value.shape}, the model's is "
                f"{tuple(variable.shape)}; it belongs to another configuration."
            )
        variable.assign(value)


def _numbers(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return a callback's plain numbers, such as `best`, `wait` and cooldowns."""
    values = vars(callback).items()
    return {
        key: float(value) if isinstance(value, np.floating) else value
        for key, value in values
        if isinstance(value, (int, float, np.floating)) and not key.startswith("_")
    }
