"""`astrokeras export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from astrokeras.cli.options import Run


def export(
    run: Run,
    to: Annotated[
        Literal["onnx", "savedmodel", "torch", "numpy"],
        typer.Option(help="The format; it decides the backend that writes it."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder; exports/RUN-FORMAT by default.")
    ] = None,
    tracers: Annotated[
        Path | None,
        typer.Option(help="Solved tracers to check with; the run's own by default."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an export that exists.")
    ] = False,
) -> None:
    """Write encode, decode, step and rollout for other codes, and check each."""
    from astrokeras.export.export import export as run_export
    from astrokeras.export.export import show

    show(run_export(run, to, out, tracers, overwrite))
