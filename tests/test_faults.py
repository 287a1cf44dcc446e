"""Killed, interrupted, out of disk, or two at once: nothing is lost or damaged.

`faults.py`, beside this file, kills more often: `just faults`.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import standin
from conftest import BACKEND, ROOT
from processes import started, wait_for
from tiny import make_tracers, overrides, write_tracers

import astrokeras
from astrokeras.config import compose
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.prediction import blocks
from astrokeras.prediction.predict import predict
from astrokeras.system.atomic_files import partial_name, write_text
from astrokeras.system.folder_lock import hold
from astrokeras.system.signals import way_back
from astrokeras.training.train import train
from astrokeras.tuning.search import tune

TESTS = Path(__file__).parent
OLD = TESTS / "old" / "format1.keras"
pytestmark = pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")


@pytest.fixture
def folder(tmp_path):
    write_tracers(tmp_path / "tiny.h5")
    return tmp_path


@contextmanager
def disk_of(size):
    """Let no file grow beyond some bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- killed ---


@pytest.mark.long
def test_killed_trainings_end_as_one_never_killed(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            TESTS / "support" / "faults.py",
            *["--kills", "3", "--only", "autoencoder"],
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": str(BACKEND)},
        cwd=tmp_path,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same") == 3


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["history", "record"])
def test_a_stage_that_was_killed_at_its_end_is_ended(folder, monkeypatch, moment):
    """After its last checkpoint, and after its model file: both are easily missed."""

    def killed(*_, **__):
        raise KeyboardInterrupt

    short = ("autoencoder.fit.epochs=1", "emulator.fit.epochs=1")
    config = compose(overrides(folder, *short))
    with monkeypatch.context() as patch:
        if moment == "history":
            patch.setattr("astrokeras.training.checkpoint.HistoryWriter.write", killed)
        else:
            patch.setattr("astrokeras.training.train.record", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, ("autoencoder",))
    run = train(config, ("autoencoder",), resume=True)

    assert [one["epoch"] for one in read_json(run.path / "history.json")] == [1]
    assert set(run.read_provenance()["stages"]) == {"autoencoder"}


def read_json(path):
    return json.loads(path.read_text())["autoencoder"]


class Killed(Exception):
    pass


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """A prediction that was cut off in its third block of three."""
    standin.write_tracers(tmp_path / "given.h5")
    predict_stand_in(tmp_path, "whole.h5")
    roll_out, calls = blocks.roll_out_with_status, []

    def until_the_third(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return roll_out(*arguments)

    monkeypatch.setattr(blocks, "roll_out_with_status", until_the_third)
    with pytest.raises(Killed):
        predict_stand_in(tmp_path, "out.h5")
    return calls


def predict_stand_in(folder, out, **options):
    options = {"batch_size": 4, "warn": lambda line: None} | options
    surrogate = standin.StandIn()
    return predict(surrogate, folder / "given.h5", folder / out, **options)


def test_a_resumed_prediction_is_the_same_and_repeats_nothing(tmp_path, cut):
    assert not (tmp_path / "out.h5").exists()
    with pytest.raises(InputError, match=r"continue .* --resume, or .*--overwrite"):
        predict_stand_in(tmp_path, "out.h5")

    done = predict_stand_in(tmp_path, "out.h5", resume=True)

    assert len(cut) == 3 + 1
    assert done.tracers == 12
    with TracerStore(tmp_path / "out.h5") as ours:
        with TracerStore(tmp_path / "whole.h5") as whole:
            assert set(ours.file) == set(whole.file)
            for name in ours.file:
                one, other = ours.file[name][()], whole.file[name][()]
                np.testing.assert_array_equal(one, other)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"given.h5", "out.h5", "whole.h5"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 5}, "tracers at once was 4 .* is 5 now"),
        ({"initial": "standard"}, "initial was None"),
        ({"compression": "none"}, "compression was gzip"),
    ],
)
def test_another_prediction_is_not_resumed(tmp_path, cut, changed, message):
    with pytest.raises(InputError, match=message):
        predict_stand_in(tmp_path, "out.h5", resume=True, **changed)


def test_another_prediction_may_replace_it(tmp_path, cut):
    predict_stand_in(tmp_path, "out.h5", overwrite=True, batch_size=5)

    assert len(cut) == 3 + 3
    assert not (tmp_path / "out.h5.parts").exists()


def test_nothing_to_resume_is_said(folder):
    with pytest.raises(InputError, match="no interrupted prediction to resume"):
        predict(OLD, folder / "tiny.h5", folder / "out.h5", resume=True)


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "text"
    code = (
        "import sys; from pathlib import Path\n"
        "from astrokeras.system.atomic_files import partial_name\n"
        "partial_name(Path(sys.argv[1])).write_text('half')"
    )
    with started(path, folder=tmp_path, code=code) as process:
        assert process.wait(60) == 0
    mine = partial_name(tmp_path / "other")
    mine.write_text("half")  # of a process that lives
    assert len(list(tmp_path.iterdir())) == 2

    write_text(path, "whole")
    write_text(tmp_path / "other2", "whole")

    names = {one.name for one in tmp_path.iterdir()}
    assert names == {"text", "other2", mine.name}


# --- told to leave ---

LONG = ("autoencoder.fit.epochs=100000", "autoencoder.fit.patience=100000")


@pytest.mark.slow
def test_a_signal_ends_a_training_with_the_way_back(folder):
    run = folder / "runs" / "tiny"
    words = ["train", *overrides(folder, *LONG)]
    with started(*words, folder=folder) as process:
        state = run / "checkpoints" / "autoencoder" / "state.json"
        wait_for(state.is_file, process)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, said = process.communicate(timeout=60)

    assert time.monotonic() - began < 10
    assert process.returncode == 143
    assert "Go on with: astrokeras train --resume dataset.name=tiny" in said
    assert "Traceback" not in said
    kept = json.loads(state.read_text())
    assert f"Interrupted after epoch {len(kept['history'])} of the autoencoder" in said
    with np.load(state.with_name(kept["arrays"])) as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays)
    assert not (run / ".lock").exists()


def test_ctrl_c_ends_a_command_with_the_way_back(cli, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("astrokeras.training.train.train", interrupted)
    monkeypatch.setattr(sys, "argv", ["astrokeras", "train", "seed=3"])
    result = cli("train", "seed=3")

    assert result.exit_code == 130
    assert result.stderr == "Go on with: astrokeras train --resume seed=3\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_ends_what_does_not_hear_it(tmp_path, number):
    """A backend that computes: here NumPy, for minutes."""
    code = """
import sys
import numpy as np
from astrokeras.system import signals
signals.PATIENCE = 0.5
signals.heed_signals(["--threads", "1", "tune", "name=x y"])
matrix = np.random.default_rng(0).normal(size=(6000, 6000))
print("deaf", flush=True)
np.linalg.svd(matrix)
"""
    with started(folder=tmp_path, code=code) as process:
        assert process.stdout.readline() == "deaf\n"
        time.sleep(1)
        process.send_signal(number)
        began = time.monotonic()
        _, said = process.communicate(timeout=60)

    assert time.monotonic() - began < 10
    assert process.returncode == 128 + number
    assert said == "Go on with: astrokeras --threads 1 tune --resume 'name=x y'\n"


def test_a_signal_that_garbage_collection_swallows_is_sent_again(tmp_path):
    code = """
import time
from astrokeras.system import signals
signals.heed_signals([])
class Garbage:
    def __del__(self):
        print("collecting", flush=True)
        time.sleep(60)
garbage = Garbage()
try:
    del garbage
    time.sleep(60)
except signals.Terminated:
    signals.leave(7)
"""
    with started(folder=tmp_path, code=code) as process:
        assert process.stdout.readline() == "collecting\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (7, "")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train a=1 --overwrite", "train --resume a=1"),
        (
            "--backend jax predict a b c --resume",
            "--backend jax predict --resume a b c",
        ),
        ("--backend=jax tune", "--backend=jax tune --resume"),
        ("data generate a b --overwrite", "data generate --resume a b"),
        ("data import a --out b", None),
        ("data", None),
        ("--version", None),
        ("", None),
    ],
)
def test_the_way_back_is_the_command_with_resume(words, line):
    expected = line and f"Go on with: astrokeras {line}"
    assert way_back(words.split()) == expected


# --- no space, no permission ---


def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path):
    path = tmp_path / "text"
    write_text(path, "old")

    with disk_of(1000), pytest.raises(OSError, match=r"File too large.*text"):
        write_text(path, "new" * 1000)

    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("place", ["train", "import", "predict"])
def test_hdf5_is_not_let_run_into_a_full_disk(folder, cli, monkeypatch, place):
    """It would end in a page of tracebacks."""
    nearly = namedtuple("usage", "free")(2**20 + 1000)
    monkeypatch.setattr(
        "astrokeras.system.atomic_files.shutil.disk_usage", lambda path: nearly
    )
    before = set(folder.iterdir())
    commands = {
        "train": ["train", *overrides(folder, f"cache_dir={folder}")],
        "import": ["data", "import", folder / "tiny.h5", "--out", folder / "out.h5"],
        "predict": ["predict", OLD, folder / "tiny.h5", folder / "out.h5"],
    }

    result = cli(*commands[place])

    assert result.exit_code == 1
    assert "\nError: [Errno 28] No space left on device: '" in f"\n{result.stderr}"
    assert "Traceback" not in result.stderr
    assert {path.suffix for path in set(folder.iterdir()) - before} <= {".parts"}


@pytest.mark.slow
def test_a_training_goes_on_when_there_is_space_again(folder, cli, monkeypatch):
    config = compose(overrides(folder, "name=whole"))
    whole = train(config, ("autoencoder",))
    size = (whole.checkpoint("autoencoder") / "epoch-4.npz").stat().st_size
    words = ["train", "autoencoder", *overrides(folder)]
    monkeypatch.setattr(sys, "argv", ["astrokeras", *words])
    from astrokeras.training.checkpoint import Checkpoint

    end = Checkpoint.on_epoch_end

    def on_a_full_disk(self, epoch, logs=None):
        with disk_of(size // 2 if epoch == 2 else resource.RLIM_INFINITY):
            end(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", on_a_full_disk)
        result = cli(*words)

    assert result.exit_code == 1
    assert "File too large: " in result.stderr
    assert "Go on with: astrokeras train --resume autoencoder" in result.stderr
    state = folder / "runs" / "tiny" / "checkpoints" / "autoencoder" / "state.json"
    assert len(json.loads(state.read_text())["history"]) == 2
    run = train(compose(overrides(folder)), ("autoencoder",), resume=True)
    assert read_json(run.path / "history.json") == read_json(
        whole.path / "history.json"
    )


def test_where_nothing_can_be_written_is_said_before_the_work(folder, cli):
    readable = folder / "readable"
    readable.mkdir(mode=0o555)
    # The administrator may write anywhere but where the kernel answers.
    place = readable if os.access(readable, os.W_OK) is False else Path("/proc/self/fd")
    if not place.is_dir():
        pytest.skip("needs a folder that nobody can write to")

    result = cli("train", *overrides(folder, f"runs_dir={place}", "cache_dir=cache"))

    assert result.exit_code in (1, 2)
    assert str(place) in result.stderr
    assert len(result.stderr.splitlines()) <= 2


# --- two at once ---

HOLD = """
import sys, time
from pathlib import Path
from astrokeras.system.folder_lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_one_process_at_a_time(tmp_path):
    place = tmp_path / "runs" / "one"
    with started(place, folder=tmp_path, code=HOLD) as process:
        assert process.stdout.readline() == "held\n"
        told = f"process {process.pid} on .* is working on it; wait"
        with pytest.raises(InputError, match=told):
            with hold(place):
                pass
        process.kill()  # what it leaves behind locks nothing
        process.wait()
    assert (place / ".lock").is_file()

    with hold(place):
        assert f"process {os.getpid()} " in (place / ".lock").read_text()
        (place / "result").touch()
    assert [path.name for path in place.iterdir()] == ["result"]


def test_a_folder_that_nothing_was_written_to_vanishes(tmp_path):
    with hold(tmp_path / "runs" / "one"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_many_that_come_at_once_go_one_by_one(tmp_path):
    """Although each removes the lock file, and the folder, when it leaves."""
    inside, most, entered = [], [], []

    def enter():
        for _ in range(200):
            try:
                with hold(tmp_path / "one"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    entered.append(1)
            except InputError:
                continue

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 1
    assert entered


def test_two_of_one_name_are_refused(folder, cli):
    """Two trainings, two searches, two predictions of one file."""
    pytest.importorskip("keras_tuner")
    words = overrides(folder)
    tuning = [word for word in words if "epochs" not in word]
    before = sorted(folder.rglob("*"))
    for place, work in (
        ("runs/tiny", lambda: train(compose(words))),
        ("runs/tiny", lambda: tune(["tuner=autoencoder", *tuning])),
        ("out.h5.parts", lambda: predict(OLD, folder / "tiny.h5", folder / "out.h5")),
    ):
        with hold(folder / place):
            with pytest.raises(InputError, match=f"{place}.* is working on it"):
                work()
    assert [path for path in sorted(folder.rglob("*")) if path.suffix == ".keras"] == []
    assert before == [folder / "tiny.h5"]


def test_a_surrogate_is_read_whole_while_it_is_replaced(tmp_path):
    """As `predict` does while a training ends."""
    from astrokeras.training.stages import _save

    first = astrokeras.load(OLD)
    second = first.replace(t_max=4000.0)
    path = tmp_path / "surrogate.keras"
    _save(first, path)
    over = threading.Event()

    def write():
        while not over.is_set():
            for one in (second, first):
                _save(one, path)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = {astrokeras.load(path).metadata.t_max for _ in range(8)}
    finally:
        over.set()
        thread.join()

    assert seen <= {2000.0, 4000.0}


def test_eight_threads_share_a_surrogate():
    """Also what is not compiled yet: each begins with another length of rollout."""
    tracers = make_tracers()
    alone, shared = astrokeras.load(OLD), astrokeras.load(OLD)
    lengths = [1 + i % 2 for i in range(8)]

    def emulate(surrogate, number):
        rows, steps = slice(number, number + 3), lengths[number]
        given = tracers.abundances[rows, 0], tracers.physical[rows, :steps]
        options = {"return_sigma": True, "return_expected_error": True}
        return surrogate.emulate(*given, 100.0, return_status=True, **options)

    found = [[] for _ in lengths]

    def work(number):
        for _ in range(3):
            found[number].append(emulate(shared, number))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, answers in enumerate(found):
        assert len(answers) == 3
        expected = emulate(alone, number)
        for answer in answers:
            for one, other in zip(answer, expected, strict=True):
                np.testing.assert_array_equal(one, other)
