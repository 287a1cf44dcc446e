"""How many CPU threads a process uses, as `--threads` says."""

import os
import subprocess
import sys

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
