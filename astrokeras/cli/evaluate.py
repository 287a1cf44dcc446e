"""The command `astrokeras evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import BatchSize, Json, Run


def evaluate(
    run: Run,
    tracers: Annotated[
        Path | None,
        typer.Argument(
            metavar="[TRACERS.h5]",
            help="Solved tracers.  [default: the file that RUN was trained on]",
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="test|validation|train|all", help="Tracers to evaluate on."
        ),
    ] = "test",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the report.  [default: that of the run for its own test "
            "tracers, else evaluations/RUN-FILE-SPLIT]"
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.h5",
            help="Also write the predicted tracers to OUT.h5 and, unless they are all "
            "tracers of the file, their solution to OUT.truth.h5.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing files of predictions."),
    ] = False,
    batch_size: BatchSize = 64,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Leave out the rollout that decodes each step, and the maps.",
        ),
    ] = False,
    stress: Annotated[
        bool,
        typer.Option(
            "--stress",
            help="Also run what takes several times as long: later starts, longer "
            "steps, 10,000 steps, mixing at every step, corrupted inputs.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare predicted with solved test tracers.

    Tracers are rolled out from state 0. Each figure is told with a verdict, and
    written with all others to report.html, metrics.json and figures/; the thresholds
    are those of configs/evaluation/default.yaml.
    """
    from astrokeras.cli.result_tables import print_evaluation
    from astrokeras.evaluation.evaluate import evaluate as run_evaluation

    result = run_evaluation(
        run,
        tracers,
        split,
        out,
        predictions=predictions,
        overwrite=overwrite,
        batch_size=batch_size,
        quick=quick,
        stress=stress,
        progress=True,
    )
    if as_json:
        typer.echo(result.to_json())
    else:
        print_evaluation(result)
    typer.echo(f"Report: {result.folder}/report.html", err=True)
