"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tracer file.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file if it is there.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Run = Annotated[
    str, typer.Argument(help="Name or directory of a run, or a .keras file.")
]
Initial = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="One start for all: a start of the surrogate (`models show` lists them), "
        "or a CSV file of abundances.  [default: state 0 of each tracer]",
    ),
]


def refuse_text(file: Path) -> None:
    """Refuse what is a raw file by its looks, such as CSV, as one to be imported."""
    from astrokeras.data.tracers.hdf5_sandbox import is_hdf5
    from astrokeras.errors import InputError
    from astrokeras.system.input_paths import content

    named = file.suffix.lower() in (".h5", ".hdf5", ".hdf")  # Damaged, rather.
    if file.is_file() and not named and not is_hdf5(file):
        kind = content(file)
        remedy = (
            f"make one of raw data with `astrokeras data import {file} --out OUT.h5`."
        )
        if kind and "gzip" not in kind and "Parquet" not in kind:
            remedy = f"it is {kind}."
        raise InputError(f"{file}: is no tracer file; {remedy}")
