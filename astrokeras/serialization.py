"""Loading surrogates, and reading what they are without a backend."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrokeras.backend import start_keras
from astrokeras.data.limits import FORMAT
from astrokeras.errors import InputError

if TYPE_CHECKING:
    from astrokeras.models.surrogate import Surrogate

# The configuration of 333 species is 60 kB; this bound leaves room for thousands.
LARGEST_CONFIG = 64 * 2**20
KEYS = (
    "species",
    "parameters",
    "units",
    "elements",
    "stoichiometry",
    "step",
    "duration",
    "box",
    "species_box",
    "starts",
    "floor",
    "fixed",
    "version",
)


def find_surrogate(name: str | Path) -> Path:
    """Return the `.keras` file of a preset's name, a run directory or a file.

    Raises:
        InputError: If there is none.
    """
    path = Path(name)
    if path.suffix == ".keras":
        if path.is_file():
            return path
        raise InputError(f"{path}: no such file; check the path.")
    from astrokeras.workflows.runs import find_run

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
        `step`, `duration`, `box`, `species_box`, `starts`, `floor`, `fixed` and
        `version` of `Surrogate`.

    Raises:
        InputError: If the file is missing or holds no surrogate.
    """
    path = find_surrogate(name)
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("config.json")
            if info.file_size > LARGEST_CONFIG:
                raise InputError(
                    f"{path}: config.json claims {info.file_size} bytes; "
                    "this is no surrogate, do not use it."
                )
            stored = json.loads(archive.read(info))
            archive.getinfo("model.weights.h5")
            kind = stored["registered_name"]
            config = dict(stored["config"])
    except (
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: is no Keras model file, or a damaged one ({error}); "
            "fetch or make it again."
        ) from error
    if kind != "astrokeras>Surrogate":
        raise InputError(
            f"{path}: holds a {stored.get('class_name')}, not a Surrogate; "
            "give the surrogate.keras of a run."
        )
    if config.get("version", FORMAT) > FORMAT:
        raise InputError(
            f"{path}: has format version {config['version']}, this astrokeras reads up "
            f"to {FORMAT}; install a newer one."
        )
    missing = [key for key in KEYS if key not in config]
    if missing:
        raise InputError(
            f"{path}: its config.json lacks {', '.join(missing)}; it is damaged or of "
            "another version, fetch or make it again."
        )
    return {key: config[key] for key in KEYS}


def load(name: str | Path) -> "Surrogate":
    """Load a surrogate for inference.

    Args:
        name: A preset's name such as `"grav"`, a run directory or a `.keras` file.

    Returns:
        The `Surrogate`, frozen.

    Raises:
        InputError: If there is no such surrogate or the file is not one.
    """
    read_metadata(name)
    path = find_surrogate(name)

    start_keras()
    import keras

    from astrokeras.models.surrogate import Surrogate

    try:
        surrogate = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: its model cannot be built ({reason}); fetch or make it again."
        ) from error
    assert isinstance(surrogate, Surrogate)
    surrogate.trainable = False
    return surrogate
