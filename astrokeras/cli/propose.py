"""`astrokeras data propose`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import Initial, Overwrite, Run


def propose(
    run: Run,
    tracks: Annotated[
        Path,
        typer.Argument(metavar="TRACKS", help="The pool: trajectories, solved or not."),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="The file of tracks to write.")
    ],
    count: Annotated[int, typer.Option(min=1, help="Trajectories to choose.")],
    initial: Initial = None,
    solved: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Leave out the tracers of this file, solved or not, and the "
            "simulations of its validation and test; what is like its others is worth "
            "less: give what RUN was trained on. May be given several times.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Tracers rolled out at once.")
    ] = 256,
    overwrite: Overwrite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was chosen as JSON.")
    ] = False,
) -> None:
    """Choose the trajectories whose solution would teach RUN most.

    Large errors far from what is solved attract, near-copies do not. OUT.h5 is for
    `astrokeras data generate`.
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
        f"{done.expected:.2g} dex{rest}; trusted are {done.trusted:.0%} of the pool's "
        f"states, and {done.trusted_tracers:.0%} of its trajectories in every state"
    )
