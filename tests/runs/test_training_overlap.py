"""What is said of figures on data that a run was trained on, by its provenance."""

import json

import numpy as np
import pytest
from standin import StandIn, write_tracers

from astrokeras.cli.result_tables import print_evaluation
from astrokeras.errors import InputError
from astrokeras.evaluation import evaluate as evaluation
from astrokeras.runs.surrogate_reference import (
    SurrogateReference,
    find_surrogate_reference,
)
from astrokeras.runs.training_overlap import own_tracers
from astrokeras.system.atomic_files import hash_file

FILES = {"attributes": {"files": ["raw.h5:df"]}}


class TrainedStandIn(SurrogateReference):
    """A stand-in that lies in a run directory."""

    def load(self):
        return StandIn(0.1)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run trained on simulations 0 to 3 of `own.h5`, which `evaluate` finds."""
    folder = tmp_path / "run"
    folder.mkdir()
    own = tmp_path / "own.h5"
    write_tracers(own, count=16, **FILES)
    (folder / "config.yaml").write_text(f"dataset:\n  path: {own}\n")
    (folder / "surrogate.keras").touch()
    origin = {
        "data_sha256": hash_file(own),
        "training_simulations": [0, 1, 2, 3],
        "training_tracers": 8,
    }
    (folder / "provenance.json").write_text(json.dumps(origin))
    facts = vars(find_surrogate_reference(StandIn())) | {
        "path": folder / "surrogate.keras"
    }
    target = TrainedStandIn(**facts)
    monkeypatch.setattr(evaluation, "find_surrogate_reference", lambda run: target)
    return target


def measure(path, split="test", **options):
    return evaluation.evaluate("run", path, split, report=False, **options).metrics


def test_the_split_of_training_is_no_reason_for_a_word(run, tmp_path):
    metrics = measure(tmp_path / "own.h5")

    assert metrics["notes"] == []
    assert not metrics["optimistic"]


# Simulation 0, of two tracers, and those trained on change places.
OTHER_SPLIT = np.repeat([2, 0, 1], [2, 12, 2]).astype("u1")


@pytest.mark.parametrize("name", ["own.h5", "copy.h5"])
def test_trained_simulations_of_a_new_split_are_optimistic(run, tmp_path, capsys, name):
    write_tracers(tmp_path / name, count=16, split=OTHER_SPLIT, **FILES)

    found = evaluation.evaluate("run", tmp_path / name, report=False)

    assert found.optimistic
    assert found.notes == [
        "optimistic: 2 of 2 tracers evaluated are of simulations that the surrogate "
        "was trained on"
    ]
    print_evaluation(found)
    assert "optimistic split" in capsys.readouterr().out


def test_a_file_without_split_can_hold_trained_simulations(run, tmp_path):
    split = np.full(16, 255, "u1")
    write_tracers(tmp_path / "own.h5", count=16, split=split, **FILES)

    metrics = measure(tmp_path / "own.h5", "all")

    assert metrics["optimistic"]
    assert metrics["notes"][0].startswith("optimistic: 8 of 16 tracers")


def test_equal_numbers_in_other_data_are_only_spoken_of(run, tmp_path):
    other = {"attributes": {"files": ["another.h5:df"]}}
    write_tracers(tmp_path / "other.h5", count=16, split=OTHER_SPLIT, **other)

    metrics = measure(tmp_path / "other.h5")

    assert not metrics["optimistic"]
    assert len(metrics["notes"]) == 1
    assert "2 of 2 tracers" in metrics["notes"][0]
    assert "if these simulations are the same as in training" in metrics["notes"][0]


def test_tracers_of_no_simulation_are_none_of_training(run, tmp_path):
    origin = json.loads(run.run.provenance.read_text())
    origin["training_simulations"] = [-1]
    run.run.provenance.write_text(json.dumps(origin))
    simulation = np.repeat([5, -1], [10, 6])
    write_tracers(tmp_path / "other.h5", count=16, simulation=simulation)

    assert measure(tmp_path / "other.h5")["notes"] == []


def test_baselines_of_a_sample_are_called_weak(run, tmp_path, capsys):
    origin = json.loads(run.run.provenance.read_text()) | {"training_tracers": 603}
    run.run.provenance.write_text(json.dumps(origin))

    result = evaluation.evaluate("run", tmp_path / "own.h5", out=tmp_path / "report")

    (note,) = result.metrics["notes"]
    assert "the 8 training tracers of this file" in note
    assert "trained on 603: with that many the baselines would be stronger" in note
    assert note in (tmp_path / "report" / "report.html").read_text()
    print_evaluation(result)
    assert note in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "text",
        "- a",
        "a: [",
        "dataset: 3",
        "dataset:\n  name: x",
        "dataset: {path: }",
    ],
)
def test_a_wrong_configuration_is_an_error_of_a_line(run, content):
    run.run.config.write_text(content)

    with pytest.raises(InputError, match=r"config\.yaml: names no tracer file") as one:
        own_tracers(run)
    assert "\n" not in str(one.value)


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_wrong_provenance_is_an_error_of_a_line(run, content):
    run.run.provenance.write_text(content)

    with pytest.raises(InputError, match=r"provenance\.json: is not a JSON object"):
        run.run.read_provenance()
