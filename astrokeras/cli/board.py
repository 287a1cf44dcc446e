"""`astrokeras board`."""

from typing import Annotated

import typer


def board(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUNS]",
            help="Names of runs, or folders; all of saved_models by default.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="0 for any that is free.  [default: the first free from 6006 on]",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 lets other machines in.")
    ] = "localhost",
) -> None:
    """Show trainings in TensorBoard, while they run and afterwards."""
    from astrokeras.monitoring.server import find_boards, serve
    from astrokeras.system.signals import leave

    boards = find_boards(runs or [])
    typer.echo("Starting TensorBoard; Ctrl-C ends it.", err=True)
    serve(boards, host, port, typer.echo)
    leave(0)  # without waiting for threads that still read
