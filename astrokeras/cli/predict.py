"""`astrokeras predict`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import Initial, Run


def predict(
    run: Run,
    tracers: Annotated[
        Path,
        typer.Argument(
            metavar="TRACERS.h5",
            help="Parameters, times and state 0; the solution need not be there.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="The tracer file to write.")
    ],
    initial: Initial = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Refuse what lies outside the training box; exit code 2."
        ),
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Tracers rolled out at once.")
    ] = 256,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted prediction."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT.h5 if it exists.")
    ] = False,
    compression: Annotated[
        str, typer.Option(help="gzip, or none to write several times faster.")
    ] = "gzip",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON.")
    ] = False,
) -> None:
    """Roll out every tracer of TRACERS.h5 and write OUT.h5 with status and trust."""
    from astrokeras.prediction.predict import predict as run_prediction

    done = run_prediction(
        run,
        tracers,
        out,
        initial=initial,
        strict=strict,
        batch_size=batch_size,
        resume=resume,
        overwrite=overwrite,
        compression=compression,
        progress=True,
        warn=lambda line: typer.echo(f"Warning: {line}.", err=True),
    )
    if as_json:
        typer.echo(json.dumps(done.to_json()))
        return
    typer.echo(
        f"{done.path}: {done.tracers} tracers, {done.states} states predicted: "
        f"{done.fine} fine, {done.outside} outside the training box, "
        f"{done.not_finite} not finite, {done.doubtful} of little trust"
    )
