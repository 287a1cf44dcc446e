"""How many CPU threads a process uses, as `--threads` says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BACKEND, ROOT

from astrokeras.errors import InputError
from astrokeras.system import backend

# Prints how many cores a loop of large products keeps busy. It counts CPU time, so
# that other work on the machine cannot make it fail.
PRODUCTS = """
import time
from astrokeras.system.backend import select_threads, start_keras
select_threads({threads})
start_keras("cpu")
import keras, numpy as np
matrix = keras.ops.convert_to_tensor(np.ones((1200, 1200), "float32"))
product = lambda: keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix))
product()
used, began = time.process_time(), time.perf_counter()
for _ in range(8):
    product()
print((time.process_time() - used) / (time.perf_counter() - began))
"""


@pytest.fixture
def unset(monkeypatch):
    """No variable set, and all put back afterwards."""
    for name in backend.THREAD_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.slow
@pytest.mark.long
def test_one_thread_keeps_one_core_busy():
    kept = {k: v for k, v in os.environ.items() if k not in backend.THREAD_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTS.format(threads=1)],
        capture_output=True,
        text=True,
        env=kept | {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": str(BACKEND)},
        timeout=300,
        check=True,
    )

    assert float(done.stdout) <= 1.2


def test_every_library_is_told(unset):
    assert backend.select_threads("3") == 3

    assert {os.environ[name] for name in backend.THREAD_VARIABLES} == {"3"}


def test_the_default_is_the_cores_of_this_process(unset, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    assert backend.select_threads() == 3
    assert os.environ["NPROC"] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "2"  # the user's own comes first


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5", ""])
def test_what_is_no_number_of_threads_is_refused(count, unset):
    with pytest.raises(InputError, match=r"--threads: .* give 1 or more"):
        backend.select_threads(count)
    assert "NPROC" not in os.environ


@pytest.mark.parametrize(
    "words",
    [
        ["--threads", "2", "models", "list"],
        ["models", "--threads=2", "list"],
        ["models", "list", "--threads", "2"],
    ],
    ids=" ".join,
)
def test_threads_are_taken_anywhere(words, cli, unset):
    assert cli(*words).exit_code == 0
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "2"


@pytest.mark.parametrize("words", [["--threads"], ["--threads="], ["--threads", "x"]])
def test_a_wrong_number_is_one_line(words, cli, unset):
    result = cli("models", "list", *words)

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --threads: ")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("JAX_COMPILATION", "JAX_PERSISTENT")):
            monkeypatch.delenv(name)
    # What the function sets is removed again after the test.
    for name in ("DIR", "MIN"):
        monkeypatch.setenv(f"JAX_COMPILATION_CACHE_{name}", "")
        monkeypatch.delenv(f"JAX_COMPILATION_CACHE_{name}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_compiled_programs_are_kept_by_kind_of_processor(no_cache, monkeypatch):
    backend.keep_programs()
    folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert folder.parent == no_cache / "astrokeras"
    assert folder.is_dir()

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setattr(backend.platform, "machine", lambda: "another")
    backend.keep_programs()
    assert Path(os.environ["JAX_COMPILATION_CACHE_DIR"]) != folder


def test_the_users_own_cache_is_left_alone(no_cache, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    backend.keep_programs()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == ""
    assert not (no_cache / "astrokeras").exists()


def test_a_home_that_cannot_be_written_does_no_harm(no_cache, monkeypatch):
    (no_cache / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_cache / "file"))
    backend.keep_programs()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
