"""The commands `astrokeras models`: list, show and import trained models."""

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
    """List presets and runs with their errors and the gas that they cover."""
    from astrokeras.runs.listing import list_models

    typer.echo(list_models(as_json))


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Preset, or name or directory of a run."),
    ],
    as_json: Json = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also print all figures and the configuration."),
    ] = False,
) -> None:
    """Show the training data, limits and errors of a model."""
    from astrokeras.runs.listing import show_model

    typer.echo(show_model(name, as_json, everything))


@app.command("import")
def import_(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Weights of AstroChemNet's autoencoder and emulator (.pth) and its "
            "latents_minmax.npy, in any order.",
        ),
    ],
    species: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Species in the order of the network, one on each line, or as JSON.",
        ),
    ],
    ranges: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=LOW:HIGH|FILE",
            help="Training range of a parameter, once for each in the order of the "
            "network, or one JSON file.",
        ),
    ],
    alignment: Annotated[
        str,
        typer.Option(
            metavar="next|this",
            help="Alignment of the raw training data: the parameters of row k drove "
            "the step from row k to k+1 (next), or the step to row k (this).",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="RUN",
            help="Run to write: a directory, or a name in saved_models.",
        ),
    ],
    step: Annotated[float, typer.Option(help="Time step in years.")] = 92.9,
    states: Annotated[int, typer.Option(help="States in a training window.")] = 240,
    initial: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV file of initial abundances, stored under the name of the file.",
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="TRACERS.h5",
            help="Tracer file whose order of species the surrogate shall have.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run.")
    ] = False,
) -> None:
    """Convert the published weights of AstroChemNet to a surrogate."""
    from astrokeras.astrochemnet.checkpoint import (
        read_checkpoint,
        read_ranges,
        read_species,
    )
    from astrokeras.astrochemnet.importer import write_run
    from astrokeras.astrochemnet.keras_conversion import Labels, reorder

    names = read_species(species)
    starts = None
    if initial is not None:
        from astrokeras.data.tracers.initial_abundances import read_initial

        starts = {initial.stem: read_initial(initial, names).tolist()}
    labels = Labels(names, read_ranges(ranges), alignment, step, states, starts)
    checkpoint = read_checkpoint(checkpoints)
    if like is not None:
        checkpoint, labels = reorder(checkpoint, labels, like)
    # A bare name is that of a run in saved_models, as for `train`.
    path = out if len(out.parts) > 1 else Path("saved_models") / out
    run = write_run(checkpoint, labels, path, checkpoints, overwrite)
    typer.echo(str(run.path))
