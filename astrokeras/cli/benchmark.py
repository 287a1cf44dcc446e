"""`astrokeras benchmark`."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def benchmark(
    run: Annotated[
        str, typer.Argument(help="Name or directory of the surrogate to roll out.")
    ] = "grav",
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Of the trainings' configuration, such as autoencoder=reference.",
        ),
    ] = None,
    tracers: Annotated[
        Path | None,
        typer.Option(
            help="Solved tracers with a split; the shipped sample by default."
        ),
    ] = None,
    only: Annotated[
        Literal["autoencoder", "emulator", "rollout"] | None,
        typer.Option(help="Measure this alone."),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(min=1, help="Measured calls of each, after one that compiles."),
    ] = 5,
    count: Annotated[int, typer.Option(min=1, help="Tracers of a rollout.")] = 2000,
    device: Annotated[
        Literal["cpu", "gpu"] | None, typer.Option(help="What is there by default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON.")
    ] = False,
) -> None:
    """Measure trainings and rollouts here, beside what the machine's products allow."""
    from astrokeras.benchmarking.benchmark import WORK, show, to_json
    from astrokeras.benchmarking.benchmark import benchmark as measure
    from astrokeras.config import compose
    from astrokeras.system.package_data import resource

    words = list(overrides or [])
    if "=" in run:  # no run is named, the overrides begin at once
        run, words = "grav", [run, *words]
    figures = measure(
        compose(words),
        run,
        tracers or resource("data") / "grav.h5",
        [only] if only else WORK,
        repeats,
        count,
        device,
    )
    if as_json:
        typer.echo(to_json(figures))
    else:
        show(figures)
