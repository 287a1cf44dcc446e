"""Loading surrogates, and reading what they are without a backend."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrokeras.errors import InputError
from astrokeras.layers.precision import PRECISIONS
from astrokeras.models.metadata import check_metadata
from astrokeras.runs.model_file_check import AUTOENCODERS, read_archive
from astrokeras.system import arguments
from astrokeras.system.backend import start_keras
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
    from astrokeras.runs.directory import find_run

    run = find_run(name)
    if not run.surrogate.is_file():
        raise InputError(
            f"{run.surrogate}: the run has no surrogate yet; finish it with "
            f"`astrokeras train emulator name={run.name}`."
        )
    return run.surrogate


def read_metadata(name: str | Path) -> dict[str, Any]:
    """Return a surrogate's species, units and limits without importing Keras.

    Args:
        name: A preset's name, a run directory or a `.keras` file.

    Returns:
        The keys `species`, `parameters`, `units`, `elements`, `stoichiometry`,
        `dt_range`, `t_max`, `parameter_ranges`, `species_ranges`, `initial_conditions`,
        `floor`, `fixed` and `version` of `Surrogate`, and whether it is `calibrated`.

    Raises:
        InputError: If the file is missing, holds no surrogate, or is not safe to load.
    """
    path = find_surrogate(name)
    return check_metadata(path, read_archive(path, "Surrogate"))


def load(name: str | Path, precision: str | None = None) -> "Surrogate":
    """Load a surrogate for inference.

    It computes as it was saved, whatever Keras' global policy and `floatx` are.

    Args:
        name: A preset's name such as `"grav"`, a run directory or a `.keras` file.
        precision: Of the products of its dense layers, `"float32"` or, for
            accelerators, `"mixed_bfloat16"`; by default that of the file.

    Returns:
        The `Surrogate`, frozen.

    Raises:
        InputError: If there is no such surrogate, the file is not one, or the
            precision is another.
    """
    if precision not in (None, *PRECISIONS):
        raise InputError(
            f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}."
        )
    read_metadata(name)
    path = find_surrogate(name)

    start_keras()
    from astrokeras.models.surrogate import Surrogate

    surrogate = _load(path)
    assert isinstance(surrogate, Surrogate)
    if precision is not None:
        from astrokeras.models.model_copy import copy_model

        surrogate = surrogate.replace(
            emulator=copy_model(surrogate.emulator, precision)
        )
    surrogate.trainable = False
    return surrogate


def load_autoencoder(path: Path) -> "AnyAutoencoder":
    """Load a run's `autoencoder.keras`. Imports Keras.

    Raises:
        InputError: If the file is none.
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
    except Exception as error:  # Whatever a wrong value does within Keras.
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its model cannot be built ({reason}); fetch or make it again."
        ) from error
