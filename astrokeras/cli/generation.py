"""The commands `astrokeras data generate`, `tracks` and `verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import File, Json, Overwrite, Scheduler, refuse_text


def generate(
    tracks: Annotated[
        Path,
        typer.Argument(
            metavar="TRACKS",
            help="Trajectories: a file of tracks, or a table in CSV, Parquet, or HDF5 "
            "with a dataset for each column.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Tracer file to write.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Overrides such as solver=network, solver.cpu_limit=60, "
            "dataset=turbulent or dataset.raw_units.Density=g/cm3.",
        ),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            metavar="network|FILE",
            help="Initial abundances of all tracers: those of the network, or a CSV "
            "file.  [default: state 0 of TRACKS if it has one, else the network's]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tracers solved in parallel.  [default: one for each core]"
        ),
    ] = None,
    scheduler: Scheduler = None,
    no_split: Annotated[
        bool,
        typer.Option("--no-split", help="Do not split into train, validation, test."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted generation.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Solve the chemistry along trajectories, in parallel.

    Each tracer is solved in a process of its own. Where the solver stalls, a tracer is
    kept up to there; OUT.failed.csv lists the interval and the reason.
    """
    from astrokeras.config import compose_generation
    from astrokeras.generation.generate import generate
    from astrokeras.system.progress import solving_bar

    config = compose_generation(overrides or [])
    with solving_bar() as update:
        made = generate(
            tracks,
            out,
            config,
            initial=initial,
            scheduler=scheduler,
            workers=workers,
            split=not no_split,
            resume=resume,
            overwrite=overwrite,
            progress=update,
            warn=lambda line: typer.echo(f"Warning: {line}", err=True),
        )
    if made.failures is not None:
        typer.echo(
            f"{made.stopped} tracers end early, {made.failed} failed and are left out: "
            f"{made.failures}",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(made.to_json(), indent=2))
        return
    seconds = made.seconds / (made.solved + made.failed)
    typer.echo(f"{made.path}: {made.solved} tracers, {seconds:.1f} core seconds each")


def tracks(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="collapse, turbulent, explore, standard, or a variant of your own in "
            "configs/tracks/.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="File of tracks to write.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Overrides such as simulations=10 or mach=[5,10]; "
            "configs/tracks/KIND.yaml explains the keys.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Generate synthetic trajectories of gas, without chemistry.

    They hold times and physical parameters. Solve their chemistry with
    `astrokeras data generate`.
    """
    from astrokeras.config import EvenTracksConfig, compose_tracks
    from astrokeras.system.atomic_files import check_out
    from astrokeras.system.progress import tracer_bar
    from astrokeras.trajectories.make import count_tracks, make_tracks

    words = [f"tracks.{word.removeprefix('tracks.')}" for word in overrides or []]
    config = compose_tracks(kind, words)
    check_out(out, out.parent, overwrite)
    with tracer_bar("Making") as update:
        count = make_tracks(config, out, update)
    steps = f"{config.steps} steps"
    if isinstance(config, EvenTracksConfig):
        steps += f" of {config.step:g} yr ({config.steps * config.step:g} yr)"
    typer.echo(
        f"{out}: {count} tracks of {count_tracks(config)[0]} simulations from number "
        f"{config.first} on, {steps}"
    )


def verify(
    file: File,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Overrides such as solver=network or solver.constants.zeta=10.",
        ),
    ] = None,
    tracers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of tracers, from different simulations; two states of each "
            "are solved again.",
        ),
    ] = 4,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed of the choice of tracers.")
    ] = 0,
    threshold: Annotated[
        float,
        typer.Option(min=0, help="Largest mean difference of a file that agrees, dex."),
    ] = 0.02,
    as_json: Json = False,
) -> None:
    """Check a tracer file against a solver of the chemistry.

    A few states are solved again, and the differences are printed in dex. The usual
    mistakes are tried too: rows off by one, Draine's field, another zeta. The exit code
    is 1 if file and solver disagree.
    """
    from astrokeras.config import compose_generation
    from astrokeras.errors import WorkError
    from astrokeras.generation.verify import verify
    from astrokeras.system.progress import tracer_bar

    refuse_text(file)
    config = compose_generation(overrides or [])
    with tracer_bar("Verifying") as update:
        result = verify(
            file,
            config,
            tracers=tracers,
            seed=seed,
            threshold=threshold,
            progress=update,
            warn=lambda line: typer.echo(f"Warning: {line}", err=True),
        )
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2))
    else:
        from rich.console import Console

        from astrokeras.cli.tables import render_verification

        Console().print(render_verification(result.to_json()))
    if not result.agrees:
        raise WorkError(result.remark)
    if result.remark:
        typer.echo(f"Warning: {result.remark}", err=True)
