"""Selection of backend, device and threads before Keras is imported.

Keras reads its backend from the environment variable `KERAS_BACKEND` when it is first
imported; the backends read their number of threads likewise. All functions except
`start_keras` and `check_device` only set environment variables, so that commands
without Keras start fast.
"""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest

BACKENDS = ("tensorflow", "jax", "torch")
DEVICES = ("cpu", "gpu")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # PyTorch, and NumPy where its BLAS is built on OpenMP
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",  # NumPy as pip installs it
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # JAX: the size of XLA's thread pool on CPUs
)
"""Variables that the libraries read once, when they are first imported."""
NO_BACKEND = (
    "No Keras backend is installed; choose one with "
    "`pip install 'astrokeras[tensorflow]'` (or jax, torch, gpu, all)."
)


def select_backend(name: str | None = None, *, required: bool = True) -> str | None:
    """Select the backend of Keras.

    The default is `KERAS_BACKEND`, else the backend of the user's `keras.json`, else
    the first installed of TensorFlow, JAX and PyTorch.

    Args:
        name: `tensorflow`, `jax` or `torch`; the default if `None`.
        required: Whether to raise an error if no backend is installed.

    Returns:
        The name of the backend, `None` if none is installed and none is required.

    Raises:
        InputError: If the name is unknown, the backend is not installed, or Keras
            already runs on another backend.
    """
    chosen = name or os.environ.get("KERAS_BACKEND") or _default()
    if chosen is None:
        if required:
            raise InputError(NO_BACKEND)
        return None
    source = "--backend" if name else "KERAS_BACKEND"
    if chosen not in BACKENDS:
        raise InputError(
            f"{source}: unknown backend {chosen!r}; use {', '.join(BACKENDS)}"
            f"{suggest(chosen, BACKENDS)}"
        )
    if not _installed(chosen):
        if required or name:
            raise InputError(
                f"{source}: the backend {chosen!r} is not installed; "
                f"`pip install 'astrokeras[{chosen}]'` brings it."
            )
        return None
    running = _running()
    if running not in (None, chosen):
        raise InputError(
            f"{source}: Keras already runs on {running!r} in this process and cannot "
            f"change to {chosen!r}; start a new process."
        )
    os.environ["KERAS_BACKEND"] = chosen
    return chosen


def select_threads(count: str | int | None = None) -> int:
    """Set the number of CPU threads for all backends.

    Call it before NumPy and Keras are imported. The default is the number of cores that
    this process may use: with more threads than free cores PyTorch trains many times
    slower than with one thread. Variables set by the user override the default.

    Args:
        count: Number of threads, also as text; the default if `None`.

    Returns:
        The number of threads.

    Raises:
        InputError: If the count is not a positive whole number.
    """
    wanted = available_cores() if count is None else _whole(count)
    for name in THREAD_VARIABLES:
        if count is not None:
            os.environ[name] = str(wanted)
        else:
            os.environ.setdefault(name, str(wanted))
    return wanted


def start_keras(device: str | None = None) -> None:
    """Import Keras on the selected backend and device, without messages of the backend.

    Args:
        device: `cpu` hides the accelerators, `gpu` requires one, `None` uses one if
            present.

    Raises:
        InputError: If there is no backend, the device is unknown, or there is no GPU.
    """
    backend = select_backend()
    select_device(device)
    if backend == "jax":
        keep_programs()
    with _without_chatter(backend):
        import keras  # noqa: F401
    # TensorFlow mistakes the functions of a surrogate for one compiled too often.
    logging.getLogger("tensorflow").addFilter(_not_retracing)
    check_device(device)


def keep_programs() -> None:
    """Let JAX keep what it compiles, so that the next process need not compile it.

    The folder below `~/.cache/astrokeras` (or `XDG_CACHE_HOME`) is that of this kind of
    processor, as the machines of a cluster share a home and differ. Variables set by
    the user override it; `JAX_COMPILATION_CACHE_DIR=` keeps nothing.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "astrokeras" / f"jax-{_processor()}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, or none that can be written
        return
    if os.access(folder, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")


def _processor() -> str:
    """Return a hash of the kind of processor and of what it can do."""
    kind = f"{platform.machine()} {platform.processor()}"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        kind += "".join(
            dict.fromkeys(
                line
                for line in lines
                if line.startswith(("flags", "Features", "model name"))
            )
        )
    return hashlib.sha256(kind.encode()).hexdigest()[:12]


def select_device(device: str | None) -> None:
    """Hide the accelerators from all backends (`cpu`), or not (`gpu`, `None`).

    Call it before Keras is imported, and `check_device` afterwards.

    Raises:
        InputError: If the device is unknown.
    """
    if device is not None and device not in DEVICES:
        raise InputError(f"--device: unknown device {device!r}; use cpu or gpu.")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["KERAS_TORCH_DEVICE"] = "cpu"


def check_device(device: str | None) -> None:
    """Raise InputError if the requested GPU is missing. Imports Keras.

    Raises:
        InputError: If `device` is `gpu` and the backend sees none.
    """
    if device != "gpu":
        return
    import keras

    # Each backend places a new tensor on its GPU if it has one.
    if "cpu" in str(keras.ops.zeros(()).device).lower():
        raise InputError(
            f"--device: {keras.config.backend()} sees no GPU here; use --device cpu, "
            "or install a build with GPU support (`pip install 'astrokeras[gpu]'`)."
        )


def missing_backend(error: ImportError) -> bool:
    """Return whether an import failed because a backend is not installed."""
    return (error.name or "").split(".")[0] in BACKENDS


@contextlib.contextmanager
def _without_chatter(backend: str | None) -> Iterator[None]:
    """Suppress the messages that TensorFlow writes to stderr while it is imported.

    Messages about CPU features and missing GPU libraries look like failures and appear
    before TensorFlow reads any setting. `TF_CPP_MIN_LOG_LEVEL` shows them again.
    """
    quiet = "TF_CPP_MIN_LOG_LEVEL" not in os.environ
    if backend != "tensorflow" or "tensorflow" in sys.modules or not quiet:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _not_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()


def _default() -> str | None:
    """Return the user's own choice if it is installed, else the first installed."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        preferred = json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        preferred = None
    candidates = [name for name in BACKENDS if name == preferred] + list(BACKENDS)
    return next((name for name in candidates if _installed(name)), None)


def available_cores() -> int:
    """Return the number of cores that this process may use, e.g. in a batch job."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _whole(count: str | int) -> int:
    try:
        number = int(count)
    except ValueError:
        number = 0
    if number < 1:
        raise InputError(
            f"--threads: {count!r} is not a number of threads; give 1 or more, such as "
            f"--threads {available_cores()}."
        )
    return number


def _installed(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _running() -> str | None:
    """Return the backend with which Keras was imported, `None` if it was not."""
    keras = sys.modules.get("keras")
    config = getattr(keras, "config", None)
    return config.backend() if config else None
