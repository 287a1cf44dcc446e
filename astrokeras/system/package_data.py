"""Folders of the configuration, the sample data and the pretrained surrogates."""

from pathlib import Path

from astrokeras.errors import WorkError
from astrokeras.system import arguments

PACKAGE = Path(__file__).resolve().parents[1]


def resource(folder: str) -> Path:
    """Return the folder `configs`, `data` or `saved_models` that ships with astrokeras.

    A checkout keeps these folders next to the package, a wheel in its folder `share/`.

    Args:
        folder: Name of the folder.

    Raises:
        InputError: For any other name.
        WorkError: If the installation lacks the folder.
    """
    arguments.choice("folder", folder, "configs", "data", "saved_models")
    candidates = (PACKAGE / "share" / folder, PACKAGE.parent / folder)
    for path in candidates:
        if path.is_dir():
            return path
    raise WorkError(
        f"This installation of astrokeras lacks its folder {folder!r} "
        f"(looked for {candidates[0]}); install the package again."
    )
