"""`astrokeras tune`."""

from typing import Annotated, Literal

import typer


def tune(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="tuner=emulator or tuner=mine chooses a search of configs/tuner/, "
            "tuner.trials=50 changes it; all others are of the configuration.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted search.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a search of the same name.")
    ] = False,
    chief: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Let workers train: be their chief, who listens there, or with "
            "--worker ask it.  [default: $KERASTUNER_ORACLE_IP and _PORT]",
        ),
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Train trials of a chief; a name of its own for each worker.  "
            "[default: $KERASTUNER_TUNER_ID]",
        ),
    ] = None,
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Print the leaderboard so far, and search nothing."
        ),
    ] = False,
    device: Annotated[
        Literal["cpu", "gpu"] | None,
        typer.Option(help="What is there by default."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all results as JSON.")
    ] = False,
) -> None:
    """Search for a better configuration, and write the best for `train`."""
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
            return  # The chief tells what was found.
    if as_json:
        typer.echo(leaderboard.to_json(search))
    else:
        leaderboard.show(search)
