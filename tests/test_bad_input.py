"""Malformed input ends in one line and exit code 2, and nothing is written."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter

import pytest
from conftest import ROOT
from malformed import CASES, make_folder

SHARE = len(CASES) // 20
# The cases of a kind resemble each other: a third of them guards it every day.
MOST = [
    case if i % 3 == 0 else pytest.param(case, marks=pytest.mark.long)
    for i, case in enumerate(CASES)
]
pytestmark = pytest.mark.neutral
REMEDIES = (";", "must", "allowed are", "give", "use", "such as", "there are")


@pytest.fixture(scope="module")
def sound(tmp_path_factory, sample_path):
    """A folder with the files that the cases spoil."""
    folder = tmp_path_factory.mktemp("sound")
    make_folder(folder, sample_path, ROOT / "saved_models" / "grav" / "surrogate.keras")
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "work")


def check(case, folder, message, code):
    assert code == 2, message
    assert message.startswith("Error: "), message
    assert message.count("\n") == 1, message
    assert len(message) < 1500, message
    assert any(word in message for word in REMEDIES), message
    for word in case.expected:
        assert word in message
    written = {path.name for path in folder.iterdir() if path.name.startswith("out")}
    assert not written
    assert not list(folder.rglob("*.partial*"))


@pytest.mark.parametrize("case", MOST, ids=str)
def test_each_is_refused_in_a_line(case, folder, cli, monkeypatch):
    def start(*_):
        raise AssertionError("Keras was started")

    monkeypatch.setattr("astrokeras.runs.loading.start_keras", start)
    monkeypatch.setattr("astrokeras.training.train.start_keras", start)
    monkeypatch.chdir(folder)
    case.change(folder)
    before = resource.getrusage(resource.RUSAGE_SELF)

    result = cli(*case.words)

    after = resource.getrusage(resource.RUSAGE_SELF)
    check(case, folder, result.stderr, result.exit_code)
    assert after.ru_utime - before.ru_utime < 10
    assert after.ru_maxrss - before.ru_maxrss < 10**6, "kB"


@pytest.mark.parametrize("case", CASES[:: 3 * SHARE], ids=str)
def test_some_as_they_are_typed(case, folder):
    case.change(folder)
    code = "import sys; from astrokeras.cli import main\ntry: main()\n"
    code += (
        "finally: assert not {'keras', 'tensorflow', 'jax', 'torch'} & {*sys.modules}"
    )
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", code, *case.words],
        cwd=folder,
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )

    taken = time.monotonic() - began
    check(case, folder, done.stderr, done.returncode)
    assert taken < 30  # On a busy machine; about one second on a quiet one.


def test_the_catalogue_is_as_long_as_it_says():
    counts = Counter(case.kind for case in CASES)
    assert len(CASES) >= 200
    assert len({str(case) for case in CASES}) == len(CASES)
    assert min(counts.values()) >= 15
