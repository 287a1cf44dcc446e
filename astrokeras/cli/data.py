"""`astrokeras data`: tracer files and tracks, made, looked into, verified, chosen."""

from pathlib import Path
from typing import Annotated

import typer

from astrokeras.cli.propose import propose

app = typer.Typer(
    help="Make tracer files from raw ones, and look into them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A tracer file.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file if it is there.")
]


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
    from astrokeras.config import compose
    from astrokeras.data.importers import import_tracers
    from astrokeras.data.render import render_import
    from astrokeras.files import check_out
    from astrokeras.workflows.progress import tracer_bar

    raw, overrides = _sort_arguments(arguments)
    config = compose(overrides).dataset
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


@app.command()
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for machines.")
    ] = False,
) -> None:
    """Solve the chemistry along trajectories, one process a tracer."""
    import json

    from astrokeras.config import compose_generation
    from astrokeras.workflows.generate import generate
    from astrokeras.workflows.progress import solving_bar

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


@app.command()
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
    from astrokeras.files import check_out
    from astrokeras.tracks.make import make_tracks
    from astrokeras.workflows.progress import tracer_bar

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


app.command()(propose)


@app.command()
def inspect(
    file: File,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for machines.")
    ] = False,
    read_all: Annotated[
        bool, typer.Option("--all", help="Read the values of every tracer.")
    ] = False,
) -> None:
    """Show what a tracer file holds: sizes, ranges, units, splits, starts."""
    import json

    from astrokeras.data.inspect import inspect_tracers

    _refuse_text(file)
    found = inspect_tracers(file, None if read_all else 1000)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.console import Console

    from astrokeras.data.render import render_inspection

    Console().print(render_inspection(found))


@app.command()
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for machines.")
    ] = False,
) -> None:
    """Solve a few states of a file again, and tell whether it agrees with the solver.

    Prints how far they are apart, in dex, and tries what usually goes wrong: rows off
    by one, Draine's field, another zeta. The exit code is 1 if they disagree.
    """
    import json

    from astrokeras.config import compose_generation
    from astrokeras.data.render import render_verification
    from astrokeras.errors import WorkError
    from astrokeras.workflows.progress import tracer_bar
    from astrokeras.workflows.verify import verify

    _refuse_text(file)
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

    from astrokeras.config import SplitConfig, check
    from astrokeras.data.schema import SPLITS
    from astrokeras.data.split import split_file

    _refuse_text(file)
    config = SplitConfig(by=by, validation=validation, test=test, seed=seed)
    check(config)
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
    from astrokeras.data.subset import sample_tracers
    from astrokeras.files import check_out

    _refuse_text(file)
    check_out(out, file, overwrite)
    rows = sample_tracers(file, out, per_simulation, max_mb, seed, every)
    typer.echo(f"{out}: {len(rows)} tracers, {out.stat().st_size / 1e6:.1f} MB")


def _refuse_text(file: Path) -> None:
    """Refuse what is a raw file by its looks, such as CSV, as one to be imported."""
    from astrokeras.data.guard import is_hdf5
    from astrokeras.errors import InputError

    named = file.suffix.lower() in (".h5", ".hdf5", ".hdf")  # Damaged, rather.
    if file.is_file() and not named and not is_hdf5(file):
        raise InputError(
            f"{file}: is no tracer file; make one of raw data with "
            f"`astrokeras data import {file} --out OUT.h5`."
        )


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
