"""The command `astrokeras export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from astrokeras.cli.options import Run


def export(
    run: Run,
    to: Annotated[
        Literal["onnx", "savedmodel", "torch", "numpy", "c"],
        typer.Option(
            help="Format. TensorFlow writes onnx and savedmodel, PyTorch writes torch, "
            "c is a library in C without dependencies."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write.  [default: exports/RUN-FORMAT]"),
    ] = None,
    tracers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Solved tracers to check the export with.  [default: the file that "
            "RUN was trained on]",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing export.")
    ] = False,
) -> None:
    """Write a surrogate in a format that other codes can call.

    The functions encode, decode, step and rollout (not to torch and c) are exported,
    and each is compared with Keras.
    """
    from astrokeras.cli.result_tables import print_export
    from astrokeras.export.export import export as run_export

    print_export(run_export(run, to, out, tracers, overwrite))
