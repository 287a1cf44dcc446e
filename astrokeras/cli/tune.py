"""The command `astrokeras tune`."""

from typing import Annotated

import typer

from astrokeras.cli.options import Device


def tune(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="tuner=NAME chooses a search of configs/tuner/, such as "
            "tuner=emulator; tuner.KEY=VALUE changes it, such as tuner.trials=50; "
            "other overrides change the training configuration.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted search.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a search of the same name.")
    ] = False,
    chief: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Search with several processes: run as the chief at HOST:PORT, which "
            "distributes the trials; with --worker, connect to it.  "
            "[default: $KERASTUNER_ORACLE_IP and _PORT]",
        ),
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Run as a worker, which trains the trials of the chief; ID must "
            "differ between workers.  [default: $KERASTUNER_TUNER_ID]",
        ),
    ] = None,
    show: Annotated[
        bool,
        typer.Option("--show", help="Print the leaderboard so far without searching."),
    ] = False,
    device: Device = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all results as JSON.")
    ] = False,
) -> None:
    """Search for better hyperparameters, and write the best ones.

    The best configurations are written for `astrokeras train --config-dir`.
    """
    from astrokeras.tuning import leaderboard
    from astrokeras.tuning.chief_workers import find_team
    from astrokeras.tuning.search import find_search
    from astrokeras.tuning.search import tune as run_search
    from astrokeras.tuning.trials import open_search

    words = overrides or []
    if show:
        search = open_search(find_search(words).path)
    else:
        team = find_team(chief, worker)
        search = run_search(words, resume, overwrite, device, team)
        if team.worker is not None:
            return  # The chief prints the results.
    if as_json:
        typer.echo(leaderboard.to_json(search))
        return
    from astrokeras.cli.result_tables import print_leaderboard

    print_leaderboard(search)
