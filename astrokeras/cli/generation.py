"""`astrokeras data generate`, `tracks` and `verify`: what concerns solvers."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import File, Json, Overwrite, refuse_text


def generate(
    tracks: Annotated[
        Path,
        typer.Argument(
            metavar="TRACKS",
            help="A file of trajectories: tracks, CSV, Parquet, or HDF5 with a dataset "
            "a column.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Such as solver=network, solver.time_limit=60, dataset=turbulent "
            "or dataset.raw_units.Density=g/cm3.",
        ),
    ] = None,
    initial: Annotated[
        str | None,
        typer.Option(
            help="One start for all: `network`, its own, or a CSV file.  [default: "
            "state 0 of TRACKS if it has one, else the network's own]"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Tracers solved side by side.  [default: the cores]"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask cluster, instead of our own."),
    ] = None,
    no_split: Annotated[
        bool, typer.Option("--no-split", help="Make no split.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was interrupted.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Solve the chemistry along trajectories, one process a tracer."""
    import json

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
        typer.echo(f"{made.failed} tracers failed: {made.failures}", err=True)
    if as_json:
        typer.echo(json.dumps(made.to_json(), indent=2))
        return
    each = made.seconds / (made.solved + made.failed)
    typer.echo(f"{made.path}: {made.solved} tracers, {each:.1f} s of a core each")


def tracks(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="collapse, turbulent, or a variant of your own in configs/tracks/.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.h5", help="The file of tracks to write.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]", help="Such as simulations=10 or mach=[5,10]."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make up trajectories of gas to solve the chemistry along.

    They hold physics and times, no abundances; configs/tracks/KIND.yaml explains the
    keys.
    """
    from astrokeras.config import compose_tracks
    from astrokeras.system.atomic_files import check_out
    from astrokeras.system.progress import tracer_bar
    from astrokeras.trajectories.make import make_tracks

    given = [f"tracks.{one.removeprefix('tracks.')}" for one in overrides or []]
    config = compose_tracks(kind, given)
    check_out(out, out.parent, overwrite)
    with tracer_bar("Making") as update:
        count = make_tracks(config, out, update)
    years = config.steps * config.step
    typer.echo(
        f"{out}: {count} tracks of {config.simulations} simulations from number "
        f"{config.first} on, {config.steps} steps of {config.step:g} yr ({years:g} yr)"
    )


def verify(
    file: File,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Such as solver=network or solver.constants.zeta=10.",
        ),
    ] = None,
    tracers: Annotated[
        int, typer.Option(min=1, help="Of different simulations; 2 starts in each.")
    ] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of their choice.")] = 0,
    threshold: Annotated[
        float, typer.Option(min=0, help="Dex up to which they agree.")
    ] = 0.02,
    as_json: Json = False,
) -> None:
    """Solve a few states of a file again, and tell whether it agrees with the solver.

    Prints how far they are apart, in dex, and tries what usually goes wrong: rows off
    by one, Draine's field, another zeta. The exit code is 1 if they disagree.
    """
    import json

    from astrokeras.cli.tables import render_verification
    from astrokeras.config import compose_generation
    from astrokeras.errors import WorkError
    from astrokeras.generation.verify import verify
    from astrokeras.system.progress import tracer_bar

    refuse_text(file)
    config = compose_generation(overrides or [])
    with tracer_bar("Verifying") as update:
        found = verify(
            file,
            config,
            tracers=tracers,
            seed=seed,
            threshold=threshold,
            progress=update,
        )
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        from rich.console import Console

        Console().print(render_verification(found.to_json()))
    if not found.agrees:
        raise WorkError(found.remark)
    if found.remark:
        typer.echo(f"Warning: {found.remark}", err=True)
