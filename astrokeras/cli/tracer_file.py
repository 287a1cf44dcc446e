"""What the commands of `astrokeras data` share: a tracer file to read or to write."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tracer file.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file if it is there.")
]


def refuse_text(file: Path) -> None:
    """Refuse what is a raw file by its looks, such as CSV, as one to be imported."""
    from astrokeras.data.guard import is_hdf5
    from astrokeras.errors import InputError

    named = file.suffix.lower() in (".h5", ".hdf5", ".hdf")  # Damaged, rather.
    if file.is_file() and not named and not is_hdf5(file):
        raise InputError(
            f"{file}: is no tracer file; make one of raw data with "
            f"`astrokeras data import {file} --out OUT.h5`."
        )
