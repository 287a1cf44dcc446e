"""The command `astrokeras benchmark`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from astrokeras.cli.options import Device, Json


def benchmark(
    run: Annotated[
        str,
        typer.Argument(metavar="[RUN]", help="Preset, or name or directory of a run."),
    ] = "grav",
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OVERRIDES]",
            help="Overrides of the training configuration, such as "
            "autoencoder=reference.",
        ),
    ] = None,
    tracers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Solved tracers with a split.  [default: the sample that is included]",
        ),
    ] = None,
    only: Annotated[
        Literal["autoencoder", "emulator", "rollout"] | None,
        typer.Option(
            help="Measure only the training of the autoencoder, that of the emulator, "
            "or the rollouts.  [default: all three]"
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            min=1, help="Measured repeats of each, after a first one that compiles."
        ),
    ] = 5,
    count: Annotated[int, typer.Option(min=1, help="Tracers in each rollout.")] = 2000,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure the speed of training and rollouts on this machine.

    Each rate is compared with the limit that the machine's matrix products set.
    """
    from astrokeras.benchmarking.benchmark import WORK, to_json
    from astrokeras.benchmarking.benchmark import benchmark as measure
    from astrokeras.cli.result_tables import print_benchmark
    from astrokeras.config import compose
    from astrokeras.system.package_data import resource

    words = list(overrides or [])
    if "=" in run:  # No run is named: the first word is an override.
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
        print_benchmark(figures)
