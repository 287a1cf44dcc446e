"""Callbacks: schedules that survive an interruption, and what makes them survive.

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

from astrokeras.errors import InputError, WorkError
from astrokeras.system.atomic_files import (
    read_arrays,
    read_json,
    write_arrays,
    write_text,
)
from astrokeras.system.old_names import rename_stage


class AnnealOnPlateau(keras.callbacks.Callback):
    """Lowers the strength of dropout and noise layers when validation stagnates.

    Args:
        layers: Layers with a weight `strength`.
        monitor: Name of the watched figure; smaller is better.
        factor: Multiplies the strengths each time.
        patience: Epochs without a new best before that.
    """

    def __init__(
        self, layers: Sequence[Any], monitor: str, factor: float, patience: int
    ):
        super().__init__()
        self.layers = [layer for layer in layers if _strength(layer) > 0]
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.best, self.wait = math.inf, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        value = (logs or {}).get(self.monitor, math.inf)
        self.wait = 0 if value < self.best else self.wait + 1
        self.best = min(self.best, value)
        if self.wait >= self.patience:
            self.wait = 0
            for layer in self.layers:
                layer.strength.assign(layer.strength * self.factor)


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends a training whose loss is no longer finite, as a failure.

    Raises:
        WorkError: Naming the epoch and the usual remedies.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        bad = [key for key, value in (logs or {}).items() if not math.isfinite(value)]
        if bad:
            raise WorkError(
                f"training diverged in epoch {epoch + 1}: {bad[0]} is not finite; "
                "lower fit.learning_rate or fit.clip_norm."
            )


class Checkpoint(keras.callbacks.Callback):
    """Keeps everything that a training needs to go on as if never interrupted.

    After each epoch it writes the model's, the optimiser's and the random generators'
    state, the state of the other callbacks and the history; `state.json` is replaced
    last and names the arrays that belong to it, so an interruption at any moment leaves
    one whole checkpoint. The best weights are kept beside it.

    Args:
        folder: Where the checkpoint lies.
        monitor: Name of the watched figure; smaller is better.
        others: Callbacks whose numbers are kept and restored.
        facts: What must not change between interruption and resumption.
        writes: Whether it writes files, which one process does for all.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        others: Sequence[keras.callbacks.Callback],
        facts: dict[str, Any],
        writes: bool = True,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.monitor = monitor
        self.others = others
        self.facts = json.loads(json.dumps(facts))
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
        """Bring a compiled, built model back to the checkpoint.

        Returns:
            The number of finished epochs.

        Raises:
            InputError: If there is no checkpoint, or it is of another configuration.
        """
        if not self.state_path.is_file():
            raise InputError(
                f"{self.state_path}: no checkpoint to resume from; "
                "start without --resume."
            )
        state = self._read_state()
        # Checkpoints of before there was a choice do not say it.
        facts = {"precision": "float32"} | state["facts"]
        for key, value in self.facts.items():
            if facts.get(key) != value:
                name, before, now = _difference(key, facts.get(key), value)
                raise InputError(
                    f"{self.state_path}: {name} was {before} when the training was "
                    f"interrupted and is {now} now; resume with the same "
                    "configuration and data, or start without --resume."
                )
        model.optimizer.build(model.trainable_variables)
        try:
            _assign(_variables(model), self.folder / state["arrays"])
        except InputError:
            raise
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.folder / state['arrays']}: is missing or damaged ({error}); "
                "start without --resume."
            ) from error
        self.history, self.best = state["history"], state["best"]
        self._restored = state["callbacks"]
        return len(self.history)

    def _read_state(self) -> dict[str, Any]:
        """Return the stored state, each part of the type that it must have."""
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
        # A name alone: no path leads out of the folder.
        if not wrong and Path(state["arrays"]).name != state["arrays"]:
            wrong = ["arrays"]
        if not wrong and not self._are_numbers(state["callbacks"]):
            wrong = ["callbacks"]
        if wrong:
            raise InputError(
                f"{self.state_path}: is no checkpoint or a damaged one, its "
                f"{wrong[0]!r} is {str(state.get(wrong[0]))[:60]}; start without "
                "--resume."
            )
        if isinstance(state["facts"].get("settings"), dict):
            state["facts"]["settings"] = rename_stage(state["facts"]["settings"])
        return state

    def _are_numbers(self, stored: list[Any]) -> bool:
        """Whether these are numbers of the other callbacks, and no other attribute."""
        return len(stored) == len(self.others) and all(
            isinstance(one, dict)
            and all(isinstance(value, (int, float)) for value in one.values())
            and not any(hasattr(type(callback), key) for key in one)
            for one, callback in zip(stored, self.others, strict=True)
        )

    def waited(self, patience: int) -> bool:
        """Whether a restored training had already stopped early."""
        return any(
            "stopped_epoch" in numbers and numbers["wait"] >= patience
            for numbers in self._restored or []
        )

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # The other callbacks have just reset themselves; this one comes last.
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
            "facts": self.facts,
            "history": self.history,
            "callbacks": [_numbers(callback) for callback in self.others],
        }
        write_text(self.state_path, json.dumps(state))
        for old in self.folder.glob("epoch-*.npz"):
            if old.name != arrays.name:
                old.unlink()

    def restore_best(self, model: keras.Model) -> None:
        """Give the model the best weights of the training so far."""
        _assign(model.weights, self.best_path)


class HistoryWriter(keras.callbacks.Callback):
    """Writes the history of a run's stages as `history.csv` and `.json` each epoch.

    Args:
        folder: The run directory.
        stage: Name of the stage that is trained; the others' epochs are kept.
        checkpoint: The `Checkpoint`, which comes before this callback.
    """

    def __init__(self, folder: Path, stage: str, checkpoint: Checkpoint):
        super().__init__()
        self.path = Path(folder) / "history.json"
        self.stage = stage
        self.checkpoint = checkpoint

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.write()

    def write(self) -> None:
        """Write the epochs that the checkpoint knows of."""
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


def _strength(layer: Any) -> float:
    """Return the strength of a layer that may live on several devices."""
    return float(ops.convert_to_numpy(layer.strength))


def _write_variables(path: Path, variables: Sequence[Any]) -> None:
    """Write the values of variables, in order, as an .npz file."""
    values = [ops.convert_to_numpy(variable) for variable in variables]
    write_arrays(path, {str(i): value for i, value in enumerate(values)})


def _variables(model: keras.Model) -> list[Any]:
    """Return all that training changes: weights, random generators, optimiser."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    return own + list(model.optimizer.variables)


def _assign(variables: Sequence[Any], path: Path) -> None:
    arrays = read_arrays(path)
    if set(arrays) != {str(i) for i in range(len(variables))}:
        raise InputError(
            f"{path}: holds {len(arrays)} arrays, the model has {len(variables)}; "
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


def _difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """Return the first key in which nested facts differ, and both its values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in now:
            if before.get(key) != now[key]:
                return _difference(f"{name}.{key}", before.get(key), now[key])
    return name, before, now


def _numbers(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return a callback's plain numbers, such as `best`, `wait` and cooldowns."""
    values = vars(callback).items()
    return {
        key: float(value) if isinstance(value, np.floating) else value
        for key, value in values
        if isinstance(value, (int, float, np.floating)) and not key.startswith("_")
    }
