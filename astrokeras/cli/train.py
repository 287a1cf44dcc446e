"""The command `astrokeras train`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from astrokeras.cli.options import Device

STAGES = ("autoencoder", "emulator")


def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[autoencoder|emulator] [OVERRIDES]",
            help="Stage to train, both by default, and overrides of the configuration "
            "such as dataset=grav, emulator.window=128 or seed=3. from=NAME fine-tunes "
            "a surrogate (a preset, a run directory or a .keras file) on the dataset.",
        ),
    ] = None,
    mode: Annotated[
        Literal["preprocess", "train", "both"],
        typer.Option(
            help="preprocess only writes the training cache, train only uses an "
            "existing one."
        ),
    ] = "both",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue after the last finished epoch.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run of the same name.")
    ] = False,
    config_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder with configurations of your own, or from `tune`, searched "
            "before configs/.",
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Train a surrogate and write it to a run directory."""
    from astrokeras.config import compose
    from astrokeras.errors import InputError
    from astrokeras.system.close_names import suggest
    from astrokeras.training.train import train as run_training

    arguments = arguments or []
    stages = tuple(word for word in arguments if word in STAGES) or STAGES
    overrides = [word for word in arguments if word not in STAGES]
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            raise InputError(
                f"{word!r} is neither a stage ({', '.join(STAGES)}) nor an override "
                f"KEY=VALUE, such as seed=3{suggest(word, STAGES)}"
            )
    if config_dir is not None and not config_dir.is_dir():
        raise InputError(
            f"--config-dir {config_dir}: no such folder; give one with the folders "
            "autoencoder/, emulator/ or dataset/."
        )
    config = compose(overrides, config_dir)
    run = run_training(config, stages, mode, resume, overwrite, device)
    if mode != "preprocess":
        typer.echo(str(run.path))
