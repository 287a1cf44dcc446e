"""The command line: one Typer application, one file a command.

A command's module imports Typer alone; what it works with is imported when it runs.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import astrokeras
from astrokeras.backend import NO_BACKEND, missing_backend, select_backend
from astrokeras.cli import data, models
from astrokeras.cli.evaluate import evaluate
from astrokeras.cli.predict import predict
from astrokeras.cli.train import train
from astrokeras.errors import InputError, WorkError


class _Program(TyperGroup):
    """Takes the global options out of any command line and reports errors in a line."""

    def main(  # type: ignore[override]  # The other settings pass through.
        self, args: Sequence[str] | None = None, **settings: Any
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        debug = False
        try:
            words, backend, debug = _lift_globals(words)
            select_backend(backend, required=False)
            return super().main(words, **settings)
        except Exception as error:
            if debug:
                raise
            message, code = _explain(error)
            typer.echo(f"Error: {message}", err=True)
            sys.exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"astrokeras {astrokeras.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="astrokeras",
    cls=_Program,
    help="Learn astrochemistry from solved tracers, and emulate it.",
    epilog="COMMAND --help explains a command; it takes --backend and --debug as well.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Plain help does not import rich.
)


@app.callback()
def program(
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="tensorflow|jax|torch",
            help="Backend of Keras, before or after COMMAND.  "
            "[default: $KERAS_BACKEND, else the first that is installed]",
        ),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error."),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Declare the global options; `_Program.main` takes them wherever they stand."""


app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")


def _lift_globals(words: list[str]) -> tuple[list[str], str | None, bool]:
    """Return the words without `--backend NAME` and `--debug`, and these two."""
    rest: list[str] = []
    backend, debug = None, False
    queue = iter(words)
    for word in queue:
        if word == "--":
            rest += [word, *queue]
        elif word == "--debug":
            debug = True
        elif word == "--backend":
            backend = next(queue, "")
        elif word.startswith("--backend="):
            backend = word.partition("=")[2]
        else:
            rest.append(word)
    if backend == "":
        raise InputError("--backend: needs a name; use tensorflow, jax or torch.")
    return rest, backend, debug


def _explain(error: Exception) -> tuple[str, int]:
    """Return the one line that an error is worth, and the exit code."""
    if isinstance(error, ImportError) and missing_backend(error):
        return NO_BACKEND, 2
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, InputError):
        return message, 2
    if isinstance(error, WorkError | OSError):
        return message, 1
    return f"{type(error).__name__}: {message} (--debug shows where)", 1


def main() -> None:
    """Run the command line."""
    app(prog_name="astrokeras")
