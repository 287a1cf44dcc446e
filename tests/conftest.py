"""Settings and fixtures of all tests.

One process tests one backend: the one that `KERAS_BACKEND` names.
"""

import os

# Before any import of NumPy or a backend: the tests' arrays are tiny, and with a
# thread per core on busy cores their backends wait for each other, PyTorch 30 times
# longer than alone.
for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",
):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Tests make the same tiny models again and again: JAX need not compile them each time.
_programs = os.path.join(os.path.dirname(__file__), "..", ".pytest_cache", "jax")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.abspath(_programs))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")

import gc
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from astrokeras.system.backend import BACKENDS, select_backend

ROOT = Path(__file__).resolve().parent.parent
BACKEND = select_backend()

# Shells start what runs in the background deaf to Ctrl-C, and so would be what the
# tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked for other backends than the one in use.

    Files with slow tests come first: of two processes none shall begin with one when
    the other is about to end.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        wanted = {name for name in BACKENDS if item.get_closest_marker(name)}
        if wanted and BACKEND not in wanted:
            reason = f"needs {' or '.join(sorted(wanted))}, runs on {BACKEND}"
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a parameter with its value, so that a failed case explains itself."""
    if isinstance(val, bool | int | float):
        return f"{argname}={val}"
    return None


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Start each test from the same random state, in Keras too if it is loaded."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - third-party code draws from it
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def keep_programs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let JAX read what it compiled before: many trainings are alike, and compiling is
    most of their time. Each process has a folder: a file may be read half written.
    """
    if BACKEND == "jax":
        import jax

        folder = tmp_path_factory.mktemp("programs")
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True, scope="module")
def forget_programs() -> Iterator[None]:
    """Let go of what JAX compiled: each program takes memory maps, of which Linux
    allows a process 65,530; a whole suite would end in a segmentation fault.
    """
    yield
    if BACKEND == "jax" and "jax" in sys.modules:
        gc.collect()
        sys.modules["jax"].clear_caches()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that starts anew in each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def sample_path() -> Path:
    """The tracer file that ships with the package."""
    path = ROOT / "data" / "grav.h5"
    if not path.exists():
        pytest.skip(f"needs {path.name}, the sample that ships with the package")
    return path


@pytest.fixture(scope="session")
def raw_folder() -> Path:
    """The folder of the raw files that the sample was made from."""
    default = ROOT.parent / "shared" / "data"
    folder = Path(os.environ.get("ASTROKERAS_RAW_DATA", default))
    if not (folder / "grav_raw.h5").exists():
        pytest.skip("needs grav_raw.h5; ASTROKERAS_RAW_DATA names its folder")
    return folder


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command line in this process: `cli("train", "seed=3")` → `Result`."""
    from astrokeras.cli import app

    # The command line may choose a backend; this process already has one.
    monkeypatch.setenv("KERAS_BACKEND", str(BACKEND))

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run
