"""keras-tuner's algorithms, with a state that no interruption can damage.

keras-tuner proposes values and learns from the outcomes; what a trial is, and how it is
trained, it is told by `workflows.tune`. Importing this module imports keras-tuner, and
with it Keras.
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
# Between two questions of a worker that has to wait for the trials of others.
SECONDS_BETWEEN_QUESTIONS = 2.0


class TrialFailed(keras_tuner.errors.FailedTrialError):
    """A trial without a result; the search goes on."""


class SearchFailed(keras_tuner.errors.FatalError):
    """What ends the search, its cause, rather than the trial."""


class _Whole:
    """Keeps the state of an oracle and of its trials in one file, written as a whole.

    keras-tuner's own files, one for the oracle and one a trial, are written in place: a
    kill at the wrong moment would leave half of one, or two that contradict each other.
    """

    def save(self: Any) -> None:
        trials = {name: one.get_state() for name, one in self.trials.items()}
        state = {"oracle": self.get_state(), "trials": trials}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(state))

    def reload(self: Any) -> None:
        """Take the state from the file; trials that were running come first again."""
        kept = json.loads(self.path.read_text())
        self.trials = {
            name: Trial.from_state(state) for name, state in kept["trials"].items()
        }
        state = kept["oracle"]
        state["retry_queue"] += state["ongoing_trials"].values()
        state["ongoing_trials"] = {}
        self.set_state(state)


class RandomOracle(_Whole, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(_Whole, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation with a Gaussian process, after some random trials."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        with warnings.catch_warnings():
            # Of a fit to a few trials, which nobody can act on.
            warnings.simplefilter("ignore")
            return super().populate_space(trial_id)


class HyperbandOracle(_Whole, keras_tuner.oracles.HyperbandOracle):
    """Hyperband: many short trials, of which the better ones are trained longer."""


class TrialTuner(keras_tuner.Tuner):
    """Hands the trials of an oracle, here or at the chief's, to a function.

    Args:
        oracle: One of the above.
        train: Takes the trial's name, the values that keras-tuner proposes and the
            epochs that Hyperband wants (else None); returns the objective or raises
            `TrialFailed`.
        directory: Where keras-tuner may write.
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
        except OSError as error:  # such as a full disk, which no next trial gets around
            raise SearchFailed from error

    def pre_create_trial(self) -> None:
        # After the answer "nothing yet" keras-tuner asks again at once.
        if self.waiting:
            time.sleep(SECONDS_BETWEEN_QUESTIONS)
        self.waiting = True

    def on_trial_begin(self, trial: Trial) -> None:
        self.waiting = False

    def save(self) -> None:
        """Do nothing: the oracle saves itself, and a tuner has no state."""


def make_oracle(
    settings: TunerConfig, space: Sequence[Dimension], epochs: int, path: Path
) -> Any:
    """Return the oracle of a search.

    Args:
        settings: Of the search.
        space: What is searched.
        epochs: Of the longest trial, for Hyperband.
        path: The file of its state.
    """
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min"),
        "hyperparameters": _hyperparameters(space),
        "seed": settings.seed + 1,  # it takes 0 for no seed
        # A failed trial is not tried again, and never ends the search.
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
    """Return the space as keras-tuner's, several conditions a field included."""
    kinds = {"int": "Int", "float": "Float", "bool": "Boolean", "choice": "Choice"}
    by_path = {one.path: one for one in space}
    configs = []
    for one in space:
        config: dict[str, Any] = {"name": one.path}
        config["conditions"] = [
            {
                "class_name": "Parent",
                "config": {
                    "name": other,
                    "values": [by_path[other].store(value) for value in values],
                },
            }
            for other, values in one.when.items()
        ]
        if one.kind == "choice":
            config["values"] = [one.store(value) for value in one.values]
        elif one.kind != "bool":
            config |= {"min_value": one.low, "max_value": one.high, "step": one.step}
            config["sampling"] = "log" if one.log else "linear"
        configs.append({"class_name": kinds[one.kind], "config": config})
    return keras_tuner.HyperParameters.from_config({"space": configs, "values": {}})
