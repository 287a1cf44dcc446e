"""Search algorithms of keras-tuner, with a state that no interruption can damage.

keras-tuner proposes values and learns from the results; `astrokeras.tuning.search`
trains the trials. Importing this module imports keras-tuner, and with it Keras.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from astrokeras.config import TunerConfig
from astrokeras.system.atomic_files import write_text
from astrokeras.tuning.search_space import Dimension

OBJECTIVE = "val_dex"
# Interval between two requests of a worker that has to wait for trials of others.
SECONDS_BETWEEN_REQUESTS = 2.0


class TrialFailed(keras_tuner.errors.FailedTrialError):
    """A trial failed; the search continues."""


class SearchFailed(keras_tuner.errors.FatalError):
    """The search itself failed; the cause of this error is the reason."""


class _SingleFileState:
    """Saves the state of an oracle and of its trials in one file, atomically.

    keras-tuner writes a file for the oracle and one per trial in place: a kill at the
    wrong moment would leave an incomplete file, or files that contradict each other.
    """

    def save(self: Any) -> None:
        trials = {name: trial.get_state() for name, trial in self.trials.items()}
        state = {"oracle": self.get_state(), "trials": trials}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(state))

    def reload(self: Any) -> None:
        """Read the state from the file; trials that were running are repeated first."""
        stored = json.loads(self.path.read_text())
        self.trials = {
            name: Trial.from_state(state) for name, state in stored["trials"].items()
        }
        state = stored["oracle"]
        state["retry_queue"] += state["ongoing_trials"].values()
        state["ongoing_trials"] = {}
        self.set_state(state)


class RandomOracle(_SingleFileState, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(_SingleFileState, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation by a Gaussian process, after some random trials."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # Fits to few trials warn, and users cannot act on these warnings.
            warnings.simplefilter("ignore")
            return super().populate_space(trial_id)


class HyperbandOracle(_SingleFileState, keras_tuner.oracles.HyperbandOracle):
    """Hyperband: many short trials, the better of which are trained longer."""


class TrialTuner(keras_tuner.Tuner):
    """Calls a function for each trial of an oracle, which may run in the chief.

    Args:
        oracle: The oracle.
        train: Function of the trial's name, the proposed values and Hyperband's number
            of epochs (else None), which returns the objective or raises `TrialFailed`.
        directory: Folder in which keras-tuner may write.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        train: Callable[[str, dict[str, Any], int | None], float],
        directory: Path,
    ):
        self.train = train
        self.waiting = False
        folder = directory.absolute()
        super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)

    def run_trial(self, trial: Trial, *_: Any, **__: Any) -> dict[str, float]:
        values = trial.hyperparameters.values
        epochs = values.get("tuner/epochs")
        proposed = {k: v for k, v in values.items() if not k.startswith("tuner/")}
        try:
            return {OBJECTIVE: self.train(trial.trial_id, proposed, epochs)}
        except OSError as error:  # The next trial would fail too, as on a full disk.
            raise SearchFailed from error

    def pre_create_trial(self) -> None:
        # If no trial is ready, keras-tuner would repeat its request at once.
        if self.waiting:
            time.sleep(SECONDS_BETWEEN_REQUESTS)
        self.waiting = True

    def on_trial_begin(self, trial: Trial) -> None:
        self.waiting = False

    def save(self) -> None:
        """Do nothing: the oracle saves its state, and a tuner has none."""


def make_oracle(
    settings: TunerConfig, space: Sequence[Dimension], epochs: int, path: Path
) -> Any:
    """Return the oracle of a search.

    Args:
        settings: Settings of the search.
        space: The search space.
        epochs: Epochs of the longest trial, for Hyperband.
        path: File of the oracle's state.
    """
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min"),
        "hyperparameters": _hyperparameters(space),
        "seed": settings.seed + 1,  # keras-tuner draws a seed in place of 0.
        # A failed trial is not repeated, and never ends the search.
        "max_retries_per_trial": 0,
        "max_consecutive_failed_trials": sys.maxsize,
    }
    if settings.algorithm == "hyperband":
        oracle = HyperbandOracle(max_epochs=epochs, factor=settings.factor, **common)
    elif settings.algorithm == "bayesian":
        oracle = BayesianOracle(
            max_trials=settings.trials, num_initial_points=settings.initial, **common
        )
    else:
        oracle = RandomOracle(max_trials=settings.trials, **common)
    oracle.path = path
    return oracle


def _hyperparameters(space: Sequence[Dimension]) -> keras_tuner.HyperParameters:
    """Return the search space in the form of keras-tuner.

    Its constructors allow one condition per field; its configuration allows several.
    """
    kinds = {"int": "Int", "float": "Float", "bool": "Boolean", "choice": "Choice"}
    by_path = {field.path: field for field in space}
    configs = []
    for field in space:
        config: dict[str, Any] = {"name": field.path}
        config["conditions"] = [
            {
                "class_name": "Parent",
                "config": {
                    "name": other,
                    "values": [by_path[other].store(value) for value in values],
                },
            }
            for other, values in field.when.items()
        ]
        if field.kind == "choice":
            config["values"] = [field.store(value) for value in field.values]
        elif field.kind != "bool":
            config["min_value"], config["max_value"] = field.low, field.high
            config["step"] = field.step
            config["sampling"] = "log" if field.log else "linear"
        configs.append({"class_name": kinds[field.kind], "config": config})
    return keras_tuner.HyperParameters.from_config({"space": configs, "values": {}})
