"""The command `astrokeras predict`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import BatchSize, Initial, Json, Overwrite, Run, Scheduler


def predict(
    run: Run,
    tracers: Annotated[
        Path,
        typer.Argument(
            metavar="TRACERS.h5",
            help="Tracers with parameters, times and state 0; no solution is needed.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="Tracer file to write.")
    ],
    initial: Initial = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Reject tracers outside the training ranges, with exit code 2.  "
            "[default: warn, and say so in their status]",
        ),
    ] = False,
    substep: Annotated[
        bool,
        typer.Option(
            "--substep",
            help="Split intervals that are longer than trained into equal ones; only "
            "the states of TRACERS.h5 are written.",
        ),
    ] = False,
    batch_size: BatchSize = 256,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes of this machine that predict.  [default: this one alone]",
        ),
    ] = None,
    scheduler: Scheduler = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue an interrupted prediction."),
    ] = False,
    overwrite: Overwrite = False,
    compression: Annotated[
        str,
        typer.Option(
            metavar="gzip|none",
            help="Compression of OUT.h5; none is several times faster.",
        ),
    ] = "gzip",
    as_json: Json = False,
) -> None:
    """Predict the abundances of all tracers of a file.

    OUT.h5 also holds a status and an expected error for each state.
    """
    from astrokeras.models.status import MEANINGS, Status
    from astrokeras.prediction.predict import predict as run_prediction

    done = run_prediction(
        run,
        tracers,
        out,
        initial=initial,
        strict=strict,
        substep=substep,
        batch_size=batch_size,
        workers=workers,
        scheduler=scheduler,
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
        f"{done.path}: {done.tracers} tracers, {done.states} states predicted, "
        f"{done.reliable} of them reliable"
    )
    for name, count in done.status.items():
        typer.echo(f"  {count} states: {MEANINGS[Status[name.upper()]]}")
