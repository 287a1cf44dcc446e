"""Commands replace what they wrote, by rename, and nothing else."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from tiny import overrides, write_tracers

from astrokeras.config import compose
from astrokeras.errors import InputError
from astrokeras.export.export import export
from astrokeras.generation.generate import _check_failures
from astrokeras.prediction.resumable_output import ResumableOutput
from astrokeras.runs.directory import Run, find_run
from astrokeras.system.atomic_files import write_text
from astrokeras.system.folder_lock import hold
from astrokeras.system.folder_replacement import (
    KEPT,
    drop_aside,
    recover,
    set_aside,
    written_folder,
)
from astrokeras.system.manifest import (
    EVALUATION,
    NAME,
    SEARCH,
    check_folder,
    check_names,
    claim,
    owned_files,
    remove,
    run_names,
)
from astrokeras.training.train import train
from astrokeras.tuning.search import tune

pytestmark = pytest.mark.neutral

GRAV = ROOT / "saved_models" / "grav"
RUN = (
    "config.yaml",
    "autoencoder.keras",
    "surrogate.keras",
    "history.json",
    "metrics.json",
    "figures/trajectories.png",
    "checkpoints/emulator/epoch-4.npz",
    "tensorboard/emulator/events.out.tfevents.1.host.2.3",
)


class Killed(BaseException):
    """What stands for a kill: no handler of errors sees it."""


def fill(folder, *names, text="mine"):
    """Write files, which no command claims."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def make_run(folder, text="old"):
    """Write a run's files as training and evaluation do."""
    folder.mkdir(parents=True, exist_ok=True)
    claim(folder, "run", [name for name in run_names() if name not in EVALUATION])
    claim(folder, "evaluation", EVALUATION)
    return fill(folder, *RUN, text=text)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME
    }


@contextlib.contextmanager
def killed_at(count):
    """Raise instead of the rename of this number, and of any that is tried later."""
    calls = []

    def broken(original):
        def rename(*arguments, **options):
            calls.append(arguments)
            if len(calls) > count:
                raise Killed
            return original(*arguments, **options)

        return rename

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, broken(getattr(os, name)))
        yield calls


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("owned")
    write_tracers(path / "tiny.h5")
    return path


@pytest.fixture(scope="module")
def config(place):
    return compose(overrides(place))


@pytest.fixture
def folder(place):
    """Where the runs lie; none of another test is there."""
    shutil.rmtree(place / "runs", ignore_errors=True)
    return place


# Training: before Keras is imported, and so before anything is trained.


@pytest.mark.parametrize(
    "name",
    [
        "report.html",
        "metrics.json",
        "config.yaml",
        "card.md",
        "history.csv",
        "figures/trajectories.png",
        "checkpoints/emulator/epoch-9.npz",
        "tensorboard/emulator/events.out.tfevents.1.host.2.3",
        "checkpoints",  # a file where a folder must be
    ],
)
def test_training_refuses_a_file_of_the_users_with_a_runs_name(folder, config, name):
    path = fill(folder / "runs" / "tiny", name)
    before = contents(path)

    for overwrite in (False, True):
        with pytest.raises(InputError, match=rf"{name}: is in the way .*; move it aw"):
            train(config, overwrite=overwrite)

    assert contents(path) == before


@pytest.fixture
def untrained(monkeypatch):
    """Let a training make its folder ready, and go no further."""

    def stop(*arguments, **options):
        raise Killed

    monkeypatch.setattr("astrokeras.training.stages.train_autoencoder", stop)


def test_training_anew_keeps_the_users_files_and_the_former_run(
    folder, config, untrained
):
    path = make_run(folder / "runs" / "tiny")
    mine = ("notes.txt", "figures/mine.png", "checkpoints/mine.npz")
    fill(path, *mine)

    with pytest.raises(Killed):
        train(config, overwrite=True)

    assert all((path / name).read_text() == "mine" for name in mine)
    kept = contents(path / KEPT)
    assert kept == dict.fromkeys(RUN, b"old")
    # No figures of the former run are left to be taken for those of the new one.
    assert set(contents(path)) - {f"{KEPT}/{name}" for name in RUN} == {
        *mine,
        "config.yaml",
    }
    with pytest.raises(InputError, match=rf"the former model is kept in .*{KEPT}"):
        find_run(path)
    with pytest.raises(Killed):  # the unfinished one is replaced; the former stays
        train(config, overwrite=True)
    assert contents(path / KEPT) == kept


@pytest.mark.parametrize("count", range(len(RUN) + 1))
def test_a_kill_while_a_run_is_set_aside_loses_nothing(tmp_path, count):
    path = fill(make_run(tmp_path / "run"), "notes.txt")
    before = contents(path)
    with killed_at(count), pytest.raises(Killed):
        set_aside(path, run_names())

    recover(path)

    assert contents(path) == before
    assert find_run(path).path == path


def test_what_was_set_aside_goes_when_the_new_is_finished(tmp_path):
    path = fill(make_run(tmp_path / "run"), "notes.txt")
    set_aside(path, run_names())
    drop_aside(path)

    assert contents(path) == {"notes.txt": b"mine"}


# Folders that are replaced as a whole.


def replace(folder, kind="export", name="about.json"):
    with written_folder(folder, kind) as beside:
        (beside / name).write_text("new")


@pytest.mark.parametrize("count", range(4))
def test_a_kill_while_a_folder_is_replaced_leaves_old_or_new(tmp_path, count):
    folder = tmp_path / "out"
    replace(folder)
    fill(folder, "about.json", text="old")
    with contextlib.suppress(Killed), killed_at(count):
        replace(folder)

    recover(folder)

    found = contents(folder)["about.json"]
    assert found == (b"old" if count < 3 else b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_that_a_kill_left_under_another_name_is_found(tmp_path):
    make_run(tmp_path / "run.replaced-elsewhere-1")

    assert find_run(tmp_path / "run").surrogate.read_text() == "old"


def make_export(folder):
    replace(folder)
    fill(folder, "notes.txt")


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (make_run, "autoencoder.keras"),
        (lambda folder: fill(folder, "mine.txt"), "mine.txt"),
        (lambda folder: fill(folder, "saved_model.pb"), "saved_model.pb"),
        (make_export, "notes.txt"),
    ],
)
def test_export_replaces_nothing_but_an_export(tmp_path, make, name):
    out = tmp_path / "out"
    make(out)
    before = contents(out)
    with pytest.raises(
        InputError, match=rf"{name}: is not a file of an export .*; move"
    ):
        export(GRAV, "numpy", out, overwrite=True)

    assert contents(out) == before


def test_export_replaces_no_link(tmp_path):
    replace(tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="out: is not a real folder"):
        export(
            ROOT / "saved_models" / "grav", "numpy", tmp_path / "out", overwrite=True
        )
    assert contents(tmp_path / "real")


def test_a_folder_of_the_user_beside_an_export_stays(tmp_path):
    mine = fill(tmp_path / "out.partial", "thesis.tex")
    replace(tmp_path / "out")

    assert contents(mine)


def test_a_failure_leaves_the_former_folder(tmp_path):
    folder = tmp_path / "out"
    replace(folder)
    with pytest.raises(IsADirectoryError), written_folder(folder, "export") as beside:
        beside.write_text("half")

    assert contents(folder) == {"about.json": b"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# What versions without manifests wrote.


@pytest.mark.parametrize("preset", ["grav", "turbulent"])
def test_a_preset_is_recognised_and_what_is_beside_it_is_not(tmp_path, preset):
    run = tmp_path / preset
    shutil.copytree(ROOT / "saved_models" / preset, run)
    check_folder(run, "run", "evaluation")
    check_names(run, run_names())
    with pytest.raises(InputError, match="is not a file of an export"):
        check_folder(run, "export")

    fill(run, "notes.txt")
    with pytest.raises(InputError, match=r"notes\.txt: is not a file of a run"):
        check_folder(run, "run", "evaluation")
    remove(run, run_names())
    assert contents(run) == {"notes.txt": b"mine"}


def test_an_older_export_is_recognised(tmp_path):
    about = {"species": [], "elements": [], "box": {}, "floor": 1e-20}
    fill(tmp_path, "about.json", text=json.dumps(about))
    fill(tmp_path, "step.onnx", "variables/variables.index", "__pycache__/a.pyc")

    check_folder(tmp_path, "export")


# Searches, predictions, generations, evaluations, locks.


@pytest.fixture
def unsearched(monkeypatch):
    def stop(*arguments, **options):
        raise Killed

    monkeypatch.setattr("astrokeras.tuning.search._search", stop)


def words(folder):
    return ["tuner=autoencoder", *overrides(folder, "name=search")]


def test_a_search_replaces_no_file_of_the_user(folder, unsearched):
    pytest.importorskip("keras_tuner")
    path = folder / "runs" / "search"
    for name in ("configs/autoencoder/best-1.yaml", "trials/0/trial.json"):
        fill(path, name)
        with pytest.raises(InputError, match=rf"{name}: is in the way"):
            tune(words(folder))
        (path / name).unlink()
    mine = ("notes.txt", "trials/notes.txt", "configs/mine.yaml")
    fill(path, *mine)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(Killed):
            tune(words(folder), **options)
        assert all((path / name).read_text() == "mine" for name in mine)


def test_an_interrupted_replacement_of_a_search_keeps_the_former(tmp_path):
    path = tmp_path / "search"
    path.mkdir()
    claim(path, "search", SEARCH)
    fill(path, "search.json", "trials/0/trial.json", "oracle/state.json", text="old")
    make_run(path / "trials" / "0")
    fill(path, "notes.txt")
    before = contents(path)
    assert owned_files(path)[0].name == "search.json"  # what workers wait for
    set_aside(path)

    kept = {f"{KEPT}/{name}": text for name, text in before.items()}
    del kept[f"{KEPT}/notes.txt"]
    assert contents(path) == kept | {"notes.txt": b"mine"}


@pytest.mark.parametrize("name", ["000000.h5", "solved.journal", "facts.json"])
def test_parts_in_a_folder_of_the_user_are_refused(tmp_path, name):
    parts = ResumableOutput(tmp_path / "out.h5")
    fill(parts.folder, name)

    with pytest.raises(InputError, match=f"{name}: is in the way"):
        parts.check(tmp_path / "given.h5", resume=False, overwrite=True)


def test_parts_leave_the_users_files(tmp_path):
    parts = ResumableOutput(tmp_path / "out.h5")
    fill(parts.folder, "mine.h5", "mine.journal")
    parts.check(tmp_path / "given.h5", resume=False, overwrite=False)
    with parts.opened({}, resume=False):
        fill(parts.folder, "000000.h5", text="block")

    assert set(contents(parts.folder)) == {"mine.h5", "mine.journal"}
    assert not (parts.folder / NAME).exists()


def test_a_list_of_failures_replaces_no_other_file(tmp_path):
    path = fill(tmp_path, "out.h5.failed.csv") / "out.h5.failed.csv"
    with pytest.raises(InputError, match=r"failed\.csv: is no list of failed tracers"):
        _check_failures(path)
    path.write_text("tracer,simulation,row,seconds,reason\n")
    _check_failures(path)


@pytest.mark.parametrize("name", EVALUATION)
def test_an_evaluation_replaces_no_file_of_the_user(tmp_path, name):
    fill(tmp_path, name)
    with pytest.raises(InputError, match=rf"{name}: is in the way"):
        check_names(tmp_path, EVALUATION)


def test_another_programs_lock_is_left_alone(tmp_path):
    (tmp_path / ".lock").write_text("pid 7 of my editor")
    with pytest.raises(InputError, match=r"\.lock: is in the way"):
        with hold(tmp_path):
            pass
    assert (tmp_path / ".lock").read_text() == "pid 7 of my editor"


# Links.


def test_no_link_is_followed(tmp_path):
    outside = fill(tmp_path / "outside", "trajectories.png", "epoch-4.npz")
    path = make_run(tmp_path / "run")
    shutil.rmtree(path / "figures")
    (path / "figures").symlink_to(outside)
    (path / "checkpoints" / "emulator" / "best.npz").symlink_to(outside / "epoch-4.npz")

    remove(path, run_names())
    with pytest.raises(InputError, match="figures: is in the way"):
        check_names(path, run_names())

    assert set(contents(outside)) == {"trajectories.png", "epoch-4.npz"}
    assert (path / "figures").is_symlink()


def test_a_manifest_cannot_name_what_lies_outside(tmp_path):
    outside = fill(tmp_path, "mine.txt")
    path = make_run(tmp_path / "run")
    write_text(path / NAME, json.dumps({"run": ["../mine.txt", "/etc/hosts", "*"]}))

    remove(path)

    assert contents(outside)["mine.txt"] == b"mine"
    assert Path("/etc/hosts").exists()
    assert not Run(path).surrogate.exists()
