"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

File = Annotated[Path, typer.Argument(metavar="FILE", help="Tracer file.")]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Surrogate: a preset, the name or directory of a run, or a .keras file.",
    ),
]
Initial = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Initial abundances of all tracers: a name that `models show` lists, or a "
        "CSV file with a column for each species.  [default: state 0 of each tracer]",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Tracers rolled out at once.")]
Device = Annotated[
    Literal["cpu", "gpu"] | None,
    typer.Option(help="CPU or GPU.  [default: a GPU if present]"),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Scheduler of a running Dask cluster.  [default: this machine alone]",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output file if it exists.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def refuse_text(file: Path) -> None:
    """Raise InputError for a file that looks like raw data, such as CSV."""
    from astrokeras.data.tracers.hdf5_sandbox import is_hdf5
    from astrokeras.errors import InputError
    from astrokeras.system.input_paths import content

    # A file with an ending of HDF5 is damaged rather than of another format.
    named = file.suffix.lower() in (".h5", ".hdf5", ".hdf")
    if file.is_file() and not named and not is_hdf5(file):
        kind = content(file)
        remedy = (
            f"make one from raw data with `astrokeras data import {file} --out OUT.h5`."
        )
        if kind and "gzip" not in kind and "Parquet" not in kind:
            remedy = f"it is {kind}."
        raise InputError(f"{file}: is no tracer file; {remedy}")
