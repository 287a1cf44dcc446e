"""The commands `astrokeras data`: import, inspect, split and generate tracer data."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.generation import generate, tracks, verify
from astrokeras.cli.options import File, Json, Overwrite, refuse_text
from astrokeras.cli.propose import propose

app = typer.Typer(
    help="Import, inspect, split or generate tracer data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("import")
def import_(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RAW... [OVERRIDES]",
            help="Files of UCLCHEM, NEATH, Nautilus, KROME or AstroChemNet, tables "
            "between blanks, commas or tabs, Parquet, HDF5 with a dataset for each "
            "column, snapshots of GADGET, AREPO, SWIFT, FLASH, AthenaPK or Phantom (or "
            "their folder), or tracer files; and overrides such as "
            "dataset.alignment=this, split.by=tracer or raw_units.Density=g/cm3. "
            "dataset=ism joins tracers of any interstellar gas.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Tracer file to write.")],
    no_split: Annotated[
        bool,
        typer.Option("--no-split", help="Do not split: for data never trained on."),
    ] = False,
    tracks: Annotated[
        bool,
        typer.Option(
            "--tracks",
            help="Import times and physical parameters only, to solve or predict from.",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Convert raw files to one tracer file, split by simulation.

    Raw files without species become a file of tracks. dataset.raw_units gives the units
    of raw columns that differ from those of the tracer file. A parameter that a file
    lacks may be a number, such as parameters.Radfield=1.7. Files may differ in their
    parameters: what one lacks is filled with what it held fixed, else with dustTemp =
    gasTemp, zeta = 1, N(H2) = 0.5 N(H) and N(CO) = 1e-5 N(H).
    """
    from astrokeras.cli.tables import render_import
    from astrokeras.config import compose
    from astrokeras.data.importers.importer import import_tracers
    from astrokeras.system.atomic_files import check_out
    from astrokeras.system.progress import tracer_bar

    raw, overrides = _sort_arguments(arguments)
    # The default dataset describes the shipped data, not the files of users.
    named = any(word.startswith("dataset=") for word in overrides)
    config = compose(overrides if named else ["dataset=uclchem", *overrides]).dataset
    # The message names the input that is also the output.
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
        bool, typer.Option("--all", help="Read the values of all tracers, not of 1000.")
    ] = False,
) -> None:
    """Show the sizes, units, ranges and splits of a tracer file."""
    import json

    from astrokeras.data.checks.summary import inspect_tracers

    refuse_text(file)
    summary = inspect_tracers(file, None if read_all else 1000)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    from rich.console import Console

    from astrokeras.cli.tables import render_inspection

    Console().print(render_inspection(summary))


@app.command()
def split(
    file: File,
    by: Annotated[
        str,
        typer.Option(
            metavar="simulation|tracer|number",
            help="Unit that is not divided. Tracers of a simulation resemble each "
            "other, so a split by tracer leaks training data into the test set. By "
            "number, simulations that end in 8 are test and in 7 validation.",
        ),
    ] = "simulation",
    validation: Annotated[
        float, typer.Option(help="Fraction of validation tracers.")
    ] = 0.15,
    test: Annotated[float, typer.Option(help="Fraction of test tracers.")] = 0.15,
    seed: Annotated[int, typer.Option(help="Random seed of the split.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing split.")
    ] = False,
) -> None:
    """Split a tracer file into train, validation and test tracers."""
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
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Tracer file to write.")],
    per_simulation: Annotated[
        int | None,
        typer.Option(min=1, help="Largest number of tracers of each simulation."),
    ] = None,
    max_mb: Annotated[
        float | None,
        typer.Option(min=0, help="Largest size of OUT in MB.  [default: no limit]"),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            min=1,
            help="Keep every N-th state, and average the parameters in between.",
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(help="Random seed of the choice.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Write a sample of a tracer file, even over its simulations.

    The sample inherits the split.
    """
    from astrokeras.data.tracers.subset import sample_tracers
    from astrokeras.system.atomic_files import check_out

    refuse_text(file)
    check_out(out, file, overwrite)
    rows = sample_tracers(file, out, per_simulation, max_mb, seed, every)
    typer.echo(f"{out}: {len(rows)} tracers, {out.stat().st_size / 1e6:.1f} MB")


@app.command()
def resample(
    file: File,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Tracer file to write.")],
    times: Annotated[
        str | None,
        typer.Option(
            metavar="YEARS",
            help="Times of the states: years between commas, or START:STOP:STEP.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Number of equal steps of each tracer."),
    ] = None,
    max_dt: Annotated[
        float | None,
        typer.Option(
            metavar="YEARS",
            help="Longest step: longer intervals are split, and all states kept.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the tracers of a file at other times.

    Abundances are interpolated linearly in their logarithm; parameters are averaged,
    densities arithmetically and all others geometrically.
    """
    from astrokeras.data.importers.resampling import parse_times, resample_tracers
    from astrokeras.system.atomic_files import check_out

    refuse_text(file)
    check_out(out, file, overwrite)
    years = None if times is None else parse_times(times)
    done = resample_tracers(file, out, times=years, steps=steps, max_dt=max_dt)
    typer.echo(f"{out}: {done.tracers} tracers, up to {done.states} states")
    if done.left_out:
        typer.echo(f"{done.left_out} tracers with fewer than two states", err=True)
    if done.largest_change:
        typer.echo(
            f"abundances change by up to {done.largest_change:.2g} dex between the "
            "states that new ones lie between",
            err=True,
        )


def _sort_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return files and overrides; keys of the dataset may omit `dataset.`."""
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
