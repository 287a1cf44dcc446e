"""`evaluate` and `predict` on the command line, with a surrogate of random weights.

In process, but for the tests that nothing imports Keras before it must.
"""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from score import score
from surrogates import make_surrogate
from tiny import PARAMETERS, SPECIES, STEP, make_tracers, write_tracers

from astrokeras.evaluation.evaluate import evaluate
from astrokeras.evaluation.summary_text import sentences
from astrokeras.runs.directory import Run
from astrokeras.runs.model_card import write_card
from astrokeras.system.atomic_files import hash_file


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory whose training file is `tiny.h5` beside it."""
    folder = tmp_path_factory.mktemp("rollouts")
    write_tracers(folder / "tiny.h5")
    (folder / "tiny").mkdir()
    surrogate = make_surrogate(np.random.default_rng(0))
    surrogate.save(folder / "tiny" / "surrogate.keras")
    config = f"dataset:\n  path: {folder / 'tiny.h5'}\n"
    (folder / "tiny" / "config.yaml").write_text(config)
    origin = {
        "data_sha256": hash_file(folder / "tiny.h5"),
        "split_sha256": "0",
        "versions": {},
        "seed": 0,
    }
    (folder / "tiny" / "provenance.json").write_text(json.dumps(origin))
    return folder / "tiny"


@pytest.mark.slow
def test_evaluate_reports_in_the_run(run, cli, tmp_path):
    predictions = tmp_path / "predicted.h5"
    result = cli("evaluate", run, "--json", "--stress", "--predictions", predictions)

    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures == json.loads((run / "metrics.json").read_text())
    assert (run / "report.html").is_file()
    assert len(list((run / "figures").glob("*.png"))) == 9
    card = (run / "card.md").read_text()
    assert f"| dex | {figures['dex']:.4g} |" in card
    assert "| Density | cm^-3 |" in card
    with h5py.File(predictions) as p, h5py.File(tmp_path / "predicted.truth.h5") as t:
        expected = score(t["abundances"][:], p["abundances"][:], SPECIES)
    assert figures["worst_species"] == expected.pop("worst_species")
    for key, value in expected.items():
        assert figures[key] == pytest.approx(value, rel=1e-6), key

    # One may be so bad that none of its states is reliable.
    copy = Run(shutil.copytree(run, tmp_path / "bad"))
    figures["error_bars"] = {"coverage": 0.9}
    figures["reliability"] = {"unreliable": 1.0, "reliable_dex": None}
    copy.metrics.write_text(json.dumps(figures))
    write_card(copy)
    assert (
        "100.0% of the states; no state is reliable"
        in (copy.path / "card.md").read_text()
    )


def test_predictions_are_replaced_when_asked(run, cli, tmp_path):
    out = tmp_path / "predicted.h5"
    out.write_text("mine")
    words = ("evaluate", run, "--out", tmp_path, "--predictions", out)

    result = cli(*words)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert f"{out}: exists; give another name or --overwrite." in result.stderr
    assert cli(*words, "--overwrite").exit_code == 0
    assert h5py.is_hdf5(out)


def test_figures_of_another_file_go_elsewhere(run, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = (run / "metrics.json").read_bytes()
    other = write_tracers(tmp_path / "other.h5", make_tracers(seed=3))

    result = cli("evaluate", run, other)

    assert result.exit_code == 0, result.stderr
    assert (run / "metrics.json").read_bytes() == before
    folder = tmp_path / "evaluations" / "tiny-other-test"
    assert (folder / "report.html").is_file()


def test_evaluate_prints_its_findings_and_the_verdict(run, cli, tmp_path):
    result = cli(
        "evaluate",
        run / "surrogate.keras",
        run.parent / "tiny.h5",
        "--split",
        "validation",
        "--out",
        tmp_path,
        "--batch-size",
        3,
    )

    assert result.exit_code == 0, result.stderr
    for name in ("mean error", "element totals", "rollouts", "tiny fails here: "):
        assert name in " ".join(result.stdout.split())
    assert "steer the training" in result.stdout
    assert "report.html" in result.stderr


@pytest.mark.long
def test_evaluate_is_independent_of_the_batch(run):
    one, other = (
        evaluate(run, split="all", report=False, batch_size=size).metrics
        for size in (3, 64)
    )
    assert one["dex"] == pytest.approx(other["dex"], rel=1e-5)


def test_predict_agrees_with_emulate(run, cli, tmp_path):
    import astrokeras

    out = tmp_path / "out.h5"
    result = cli("predict", run, run.parent / "tiny.h5", out, "--batch-size", 7)

    assert result.exit_code == 0, result.stderr
    assert "20 tracers, 240 states predicted, 240 of them reliable" in result.stdout
    tracers = make_tracers()
    expected = astrokeras.load(run).emulate(
        tracers.abundances[:, 0], tracers.physical, tracers.time
    )
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["abundances"], expected, rtol=1e-4)
        assert file["status"].shape == (20, 13)
        assert not file["status"][:].any()
        assert file.attrs["surrogate"] == "tiny"
        assert len(file.attrs["surrogate_sha256"]) == 64


def test_predict_takes_a_named_start(run, cli, tmp_path):
    out = tmp_path / "out.h5"
    words = ("predict", run, run.parent / "tiny.h5", out)
    result = cli(*words, "--initial", "tiny", "--json")

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["reliable"] == 240

    again = cli(*words, "--initial", "none")
    assert again.exit_code == 2
    assert "exists" in again.stderr
    other = cli(*words, "--initial", "none", "--overwrite")
    assert other.exit_code == 2
    assert "its initial conditions are: tiny" in other.stderr


def test_outside_the_box_is_a_warning_or_an_error(run, cli, tmp_path):
    tracers = make_tracers()
    tracers.physical[4, 6, 0] = 1e9
    given = write_tracers(tmp_path / "given.h5", tracers)
    out = tmp_path / "out.h5"

    strict = cli("predict", run, given, out, "--strict")
    assert strict.exit_code == 2
    assert strict.stderr.count("\n") == 1
    assert f"{PARAMETERS[0]} = 1e+09 cm^-3 lies outside" in strict.stderr
    assert not out.exists()

    loose = cli("predict", run, given, out)
    assert loose.exit_code == 0
    assert loose.stderr.startswith(f"Warning: {given}: {PARAMETERS[0]} = 1e+09")
    with h5py.File(out) as file:
        status = file["status"][:]
    assert status.sum() == status[4, 7:].sum() == 6


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_bad_file_is_refused_before_keras_is_imported(run, tmp_path, command):
    tracers = make_tracers()
    tracers.abundances[18, 0, 2] = 7.0
    given = write_tracers(tmp_path / "bad.h5", tracers)
    words = [command, str(run), str(given)]
    words += [str(tmp_path / "out.h5")] if command == "predict" else []
    code = (
        "import sys; from astrokeras.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "finally: assert not {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        f"Error: {given}: tracer 118, state 0: O is 7, but must be an abundance from 0 "
        "to 1 relative to H nuclei; correct the data.\n"
    )
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all"], ids=["empty", "text"])
def test_other_files_are_refused(run, cli, tmp_path, content):
    (tmp_path / "given.h5").write_bytes(content)
    result = cli("predict", run, tmp_path / "given.h5", tmp_path / "out.h5")

    assert result.exit_code == 2
    assert "cannot be read as HDF5" in result.stderr


def test_a_run_without_its_tracers_asks_for_them(run, cli):
    result = cli("evaluate", run / "surrogate.keras", "nowhere.h5")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "nowhere.h5: no such file" in result.stderr

    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text("dataset:\n  path: gone.h5\n")
    result = cli("evaluate", run)
    (run / "config.yaml").write_text(config)
    assert result.exit_code == 2
    assert "gone.h5': no such file" in result.stderr


@pytest.mark.long
def test_errors_on_longer_intervals_are_told(rng, tmp_path):
    surrogate = make_surrogate(rng, use_timestep=True, dt_range=(STEP, 4 * STEP))
    path = write_tracers(tmp_path / "tiny.h5")

    found = evaluate(surrogate, path, report=False, stress=True)

    assert list(found.intervals) == ["2", "4"]
    assert list(found.semigroup) == ["1", "2"]
    said = " ".join(sentences(found))
    two, four = (found.intervals[key]["dex"] for key in "24")
    assert f"Error at longer time steps: {two:.4g} dex (200 yr)" in said
    assert f"{four:.4g} dex (400 yr)." in said
    assert "Step-doubling error (two steps Δt against one of 2Δt): " in said
