"""The command `astrokeras data propose`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import BatchSize, Initial, Json, Overwrite, Run


def propose(
    run: Run,
    tracks: Annotated[
        Path,
        typer.Argument(
            metavar="TRACKS", help="Trajectories to choose from, solved or not."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="File of tracks to write.")
    ],
    count: Annotated[
        int, typer.Option(min=1, help="Number of trajectories to choose.")
    ],
    initial: Initial = None,
    solved: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Tracers that are solved already; give the file that RUN was trained "
            "on. They are not chosen, nor are the simulations of the validation and "
            "test splits of FILE, and trajectories similar to its training tracers are "
            "worth less. May be given several times.",
        ),
    ] = None,
    batch_size: BatchSize = 256,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Choose the trajectories that would improve RUN most if solved.

    Trajectories with large expected errors, far from solved ones, come first,
    without near-copies of each other. Solve OUT.h5 with `astrokeras data generate`.
    """
    from astrokeras.generation.propose import propose as run_proposal
    from astrokeras.system.progress import tracer_bar

    with tracer_bar("Rolling out") as update:
        done = run_proposal(
            run,
            tracks,
            out,
            count,
            initial=initial,
            solved=solved or (),
            batch_size=batch_size,
            overwrite=overwrite,
            progress=update,
            warn=lambda line: typer.echo(f"Warning: {line}.", err=True),
        )
    if as_json:
        typer.echo(json.dumps(done.to_json(), indent=2))
        return
    rest = f", of the others {done.expected_rest:.2g}" * (done.chosen < done.pool)
    typer.echo(
        f"{done.path}: {done.chosen} of {done.pool} trajectories, expected error "
        f"{done.expected:.2g} dex{rest}; RUN is reliable in {done.reliable:.0%} of the "
        f"states of all {done.pool}, and in every state of {done.reliable_tracers:.0%} "
        "of the trajectories"
    )
