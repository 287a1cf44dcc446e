"""`astrokeras evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import Run


def evaluate(
    run: Run,
    tracers: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TRACERS.h5]",
            help="Solved tracers; the run's own file by default.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="test, validation, train or all tracers of the file.")
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the report; the run's by default for its own "
            "test simulations."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.h5",
            help="Write the predicted tracers, and next to them their solution as "
            "OUT.truth.h5 unless they are all of TRACERS.h5.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files of predictions that exist."),
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Tracers rolled out at once.")
    ] = 64,
    stress: Annotated[
        bool,
        typer.Option(
            "--stress",
            help="Also run the stress tests, which take several times as long: "
            "10,000 steps, mixing at every step, corrupted inputs.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.")
    ] = False,
) -> None:
    """Roll out test tracers from state 0, and write figures and a report."""
    from astrokeras.cli.evaluation_table import show
    from astrokeras.evaluation.evaluate import evaluate as run_evaluation

    result = run_evaluation(
        run,
        tracers,
        split,
        out,
        predictions=predictions,
        overwrite=overwrite,
        batch_size=batch_size,
        stress=stress,
        progress=True,
    )
    if as_json:
        typer.echo(result.to_json())
    else:
        show(result)
    typer.echo(f"Report: {result.folder}/report.html", err=True)
