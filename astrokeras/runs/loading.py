"""Loading of surrogates and autoencoders, and reading their metadata without Keras."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrokeras.errors import InputError
from astrokeras.layers.precision import PRECISIONS
from astrokeras.models.metadata import SurrogateMetadata, check_metadata
from astrokeras.runs.directory import Run, find_run
from astrokeras.runs.model_file_check import AUTOENCODERS, read_archive
from astrokeras.system import arguments
from astrokeras.system.backend import start_keras
from astrokeras.system.close_names import suggest
from astrokeras.system.input_paths import check_input, content

if TYPE_CHECKING:
    from astrokeras.models.emulator import AnyAutoencoder
    from astrokeras.models.surrogate import Surrogate


def find_surrogate(name: str | Path) -> Path:
    """Return the `.keras` file of a preset's name, a run directory or a file.

    Raises:
        InputError: If there is none.
    """
    path = arguments.path("the surrogate", name)
    if path.suffix == ".keras":
        check_input(path)
        return path
    if path.is_file():
        remedy = f"rename it to {path.with_suffix('.keras').name}, if it is one"
        if path.suffix.lower() != ".keras":
            remedy = "give the .keras file of a run, or the name of a run"
        kind = content(path) or "a file"
        raise InputError(
            f"{path}: is {kind}, and no .keras file by its name; {remedy}."
        )
    run = find_run(name)
    if not run.surrogate.is_file():
        raise InputError(
            f"{run.surrogate}: the run has no surrogate yet; finish it with "
            f"`astrokeras train emulator name={run.name}`."
        )
    return run.surrogate


def read_metadata(name: str | Path) -> SurrogateMetadata:
    """Return a surrogate's metadata without importing Keras.

    Args:
        name: A preset's name, a run directory or a `.keras` file.

    Raises:
        InputError: If the file is missing, holds no surrogate, or is not safe to load.
    """
    path = find_surrogate(name)
    return check_metadata(path, read_archive(path, "Surrogate"))


def read_run_metadata(run: Run) -> SurrogateMetadata:
    """Return the metadata of a run's surrogate, with its provenance and figures.

    Raises:
        InputError: As `read_metadata` does, or if a file of the run is damaged.
    """
    provenance, figures = run.read_provenance(), run.read_metrics()
    metadata = read_metadata(run.surrogate)
    return replace(metadata, provenance=provenance, figures=figures)


def load(name: str | Path, precision: str | None = None) -> "Surrogate":
    """Load a surrogate for inference.

    It computes in its own precision, whatever Keras' global policy and `floatx` are.

    Args:
        name: A preset's name such as `"grav"`, a run directory or a `.keras` file.
        precision: Precision of the matrix products in dense layers: `"float32"` or, for
            accelerators, `"mixed_bfloat16"`; by default that of the file.

    Returns:
        The `Surrogate`, frozen.

    Raises:
        InputError: If there is no such surrogate, the file holds no surrogate, or the
            precision is unknown.
    """
    if precision not in (None, *PRECISIONS):
        raise InputError(
            f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}"
            f"{suggest(precision, PRECISIONS)}"
        )
    read_metadata(name)
    path = find_surrogate(name)

    start_keras()
    from astrokeras.models.surrogate import Surrogate

    surrogate = _load(path)
    assert isinstance(surrogate, Surrogate)
    if precision is not None:
        from astrokeras.models.emulator import copy_model

        surrogate = surrogate.replace(
            emulator=copy_model(surrogate.emulator, precision)
        )
    run = Run(path.parent)
    if path == run.surrogate:
        with contextlib.suppress(InputError):  # Its numbers do not depend on the file.
            provenance = run.read_provenance()
            surrogate.metadata = replace(surrogate.metadata, provenance=provenance)
    surrogate.trainable = False
    return surrogate


def load_autoencoder(path: Path) -> "AnyAutoencoder":
    """Load a run's `autoencoder.keras`. Imports Keras.

    Raises:
        InputError: If the file holds no autoencoder.
    """
    read_archive(path, *AUTOENCODERS)
    start_keras()

    return _load(path)


def _load(path: Path) -> Any:
    """Build the model of a file that was checked."""
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (InputError, ImportError, MemoryError):
        raise
    except Exception as error:  # A wrong value can raise any error within Keras.
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its model cannot be built ({reason}); fetch or make it again."
        ) from error
