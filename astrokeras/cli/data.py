"""`astrokeras data`: tracer files and tracks, made, looked into, verified, chosen."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.generation import generate, tracks, verify
from astrokeras.cli.options import File, Json, Overwrite, refuse_text
from astrokeras.cli.propose import propose

app = typer.Typer(
    help="Make, solve, choose and look into tracer files and trajectories.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("import")
def import_(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RAW... [OVERRIDES]",
            help="AstroChemNet's HDFStores (raw or cleaned), UCLCHEM's CSV output, "
            "Parquet, HDF5 with a dataset a column, or tracer files, and overrides "
            "such as dataset.alignment=this, split.by=tracer, raw_units.Density=g/cm3.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The tracer file to write.")],
    no_split: Annotated[
        bool,
        typer.Option("--no-split", help="Make no split: for data never trained on."),
    ] = False,
    tracks: Annotated[
        bool,
        typer.Option(
            "--tracks", help="Take the physics alone, whatever else there is."
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert raw files to one tracer file and split it by simulation.

    Without species it becomes a file of tracks. dataset.raw_units names the units of
    the raw columns, where they are others.
    """
    from astrokeras.cli.tables import render_import
    from astrokeras.config import compose
    from astrokeras.data.importers.importer import import_tracers
    from astrokeras.system.atomic_files import check_out
    from astrokeras.system.progress import tracer_bar

    raw, overrides = _sort_arguments(arguments)
    # What the default dataset says of its origin is not true of other people's files.
    named = any(one.startswith("dataset=") for one in overrides)
    config = compose(overrides if named else ["dataset=uclchem", *overrides]).dataset
    # An input that is the output is named as such, whichever place it has.
    for path in raw:
        check_out(out, Path(path), overwrite=True)
    check_out(out, out.parent, overwrite)
    with tracer_bar("Importing") as update:
        report = import_tracers(
            raw, out, config, split=not no_split, tracks=tracks, progress=update
        )
    result, *remarks = render_import(report)
    for line in remarks:
        typer.echo(line, err=True)
    typer.echo(result)


for command in (generate, tracks, propose, verify):
    app.command()(command)


@app.command()
def inspect(
    file: File,
    as_json: Json = False,
    read_all: Annotated[
        bool, typer.Option("--all", help="Read the values of every tracer.")
    ] = False,
) -> None:
    """Show what a tracer file holds: sizes, ranges, units, splits, starts."""
    import json

    from astrokeras.data.tracers.summary import inspect_tracers

    refuse_text(file)
    found = inspect_tracers(file, None if read_all else 1000)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console

    from astrokeras.cli.tables import render_inspection

    Console().print(render_inspection(found))


@app.command()
def split(
    file: File,
    by: Annotated[
        str, typer.Option(metavar="simulation|tracer", help="What stays together.")
    ] = "simulation",
    validation: Annotated[float, typer.Option(help="Fraction.")] = 0.15,
    test: Annotated[float, typer.Option(help="Fraction.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Of the permutation.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a split that is there.")
    ] = False,
) -> None:
    """Store a split in a tracer file that has none."""
    import numpy as np

    from astrokeras.config import SplitConfig
    from astrokeras.data.tracers.file_format import SPLITS
    from astrokeras.data.tracers.split import split_file

    refuse_text(file)
    config = SplitConfig(by=by, validation=validation, test=test, seed=seed)
    codes = split_file(file, config, force)
    counts = np.bincount(codes, minlength=len(SPLITS))
    shares = (f"{n} {name}" for n, name in zip(counts, SPLITS, strict=True))
    typer.echo(f"{file}: {', '.join(shares)}")


@app.command()
def sample(
    file: File,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The sample to write.")],
    per_simulation: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many tracers of each simulation."),
    ] = None,
    max_mb: Annotated[
        float | None,
        typer.Option(min=0, help="At most so many megabytes; what fits, by default."),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            min=1, help="Keep every so many states, and mean parameters between."
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a sample, spread evenly over the simulations; it inherits the split."""
    from astrokeras.data.tracers.subset import sample_tracers
    from astrokeras.system.atomic_files import check_out

    refuse_text(file)
    check_out(out, file, overwrite)
    rows = sample_tracers(file, out, per_simulation, max_mb, seed, every)
    typer.echo(f"{out}: {len(rows)} tracers, {out.stat().st_size / 1e6:.1f} MB")


def _sort_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell files from overrides; here a key may leave out `dataset.`."""
    from dataclasses import fields

    from astrokeras.config import DatasetConfig

    keys = {item.name for item in fields(DatasetConfig)}
    raw, overrides = [], []
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals or Path(argument).exists():
            raw.append(argument)
        else:
            short = key.partition(".")[0] in keys
            overrides.append(f"dataset.{argument}" if short else argument)
    return raw, overrides
