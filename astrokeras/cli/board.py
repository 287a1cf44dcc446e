"""The command `astrokeras board`."""

from typing import Annotated

import typer


def board(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUNS]",
            help="Names of runs, or directories.  [default: all of saved_models]",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the web page, 0 for any free one.  [default: the first free "
            "port from 6006]",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 lets other machines connect."),
    ] = "localhost",
) -> None:
    """Show trainings in TensorBoard, while they run or afterwards."""
    from astrokeras.monitoring.server import find_boards, serve
    from astrokeras.system.signals import leave

    boards = find_boards(runs or [])
    typer.echo("Starting TensorBoard; Ctrl-C ends it.", err=True)
    serve(boards, host, port, typer.echo)
    leave(0)  # This does not wait for threads that still read.
