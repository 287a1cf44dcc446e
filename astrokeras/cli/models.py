"""`astrokeras models`: list and show presets and runs, import published weights."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.options import Json

app = typer.Typer(
    help="List, show and import trained models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List presets and runs with their figures."""
    from astrokeras.runs.listing import list_models

    typer.echo(list_models(as_json))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A preset, a run or its directory.")],
    as_json: Json = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Add all figures and the configuration."),
    ] = False,
) -> None:
    """Show what a model was trained on, its limits and its figures."""
    from astrokeras.runs.listing import show_model

    typer.echo(show_model(name, as_json, everything))


@app.command("import")
def import_(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="AstroChemNet's autoencoder and emulator (.pth) and "
            "latents_minmax.npy, in any order.",
        ),
    ],
    species: Annotated[
        Path,
        typer.Option(help="Species in the network's order: one a line, or JSON."),
    ],
    ranges: Annotated[
        list[str],
        typer.Option(
            help="NAME=LOW:HIGH, once for each parameter in the network's order, "
            "or a JSON file."
        ),
    ],
    alignment: Annotated[
        str,
        typer.Option(
            metavar="next|this",
            help="Whether row k of its raw data drove row k to k+1, or led to row k.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Run to write: a directory, or a name.", show_default=False),
    ],
    step: Annotated[float, typer.Option(help="Years between states.")] = 92.9,
    states: Annotated[int, typer.Option(help="States of a training window.")] = 240,
    initial: Annotated[
        Path | None,
        typer.Option(help="CSV of initial abundances, kept as a named start."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="TRACERS.h5",
            help="Tracer file whose order of species the surrogate takes, to fit it.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run.")
    ] = False,
) -> None:
    """Turn AstroChemNet's published weights into a surrogate."""
    from astrokeras.astrochemnet.builder import Labels, reorder
    from astrokeras.astrochemnet.checkpoint import (
        read_checkpoint,
        read_ranges,
        read_species,
    )
    from astrokeras.astrochemnet.importer import write_run

    names = read_species(species)
    starts = None
    if initial is not None:
        from astrokeras.data.tracers.initial_abundances import read_initial

        starts = {initial.stem: read_initial(initial, names).tolist()}
    labels = Labels(names, read_ranges(ranges), alignment, step, states, starts)
    checkpoint = read_checkpoint(checkpoints)
    if like is not None:
        checkpoint, labels = reorder(checkpoint, labels, like)
    # A bare name stands for a run beside the others, as it does for `train`.
    path = out if len(out.parts) > 1 else Path("saved_models") / out
    run = write_run(checkpoint, labels, path, checkpoints, overwrite)
    typer.echo(str(run.path))
