"""Command line: one Typer application, with one file for each command.

The module of a command imports Typer only; it imports everything else when it runs.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import astrokeras
from astrokeras.cli import data, models
from astrokeras.cli.benchmark import benchmark
from astrokeras.cli.board import board
from astrokeras.cli.evaluate import evaluate
from astrokeras.cli.export import export
from astrokeras.cli.predict import predict
from astrokeras.cli.train import train
from astrokeras.cli.tune import tune
from astrokeras.errors import InputError, WorkError
from astrokeras.system.backend import (
    NO_BACKEND,
    missing_backend,
    select_backend,
    select_threads,
)
from astrokeras.system.close_names import suggest
from astrokeras.system.malloc import keep_memory
from astrokeras.system.signals import exit_code, heed_signals, leave, way_back

# Global options that need a value, and which one.
_NEEDS = {
    "--backend": "a name; use tensorflow, jax or torch",
    "--threads": "a number, 1 or more",
}


class _Program(TyperGroup):
    """Accepts global options anywhere, and reports an error in one line."""

    def main(  # type: ignore[override]  # Typer passes the other settings.
        self, args: Sequence[str] | None = None, **settings: Any
    ) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        debug = False
        try:
            words, chosen = _lift_globals(given)
            debug = chosen["--debug"] is not None
            select_threads(chosen["--threads"])
            select_backend(chosen["--backend"], required=False)
            return super().main(words, **settings)
        except Exception as error:
            if debug:
                raise
            message, code = _explain(error)
            typer.echo(f"Error: {message}", err=True)
            if isinstance(error, OSError):  # such as a full disk
                _show(way_back(given))
            sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            _show(way_back(sys.argv[1:]) or "Interrupted.")
            sys.exit(exit_code(error))
        except Exception as error:
            _name_similar_option(error)
            raise

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            _name_similar_option(error)
            raise


def _name_similar_option(error: Any) -> None:
    """Add a similar option to the message of an unknown one, global ones included."""
    option = getattr(error, "option_name", None)
    if option and hasattr(error, "possibilities"):
        known = error.possibilities or [*_NEEDS, "--debug"]
        error.message += suggest(option, known, "")
        error.possibilities = None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"astrokeras {astrokeras.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="astrokeras",
    cls=_Program,
    help="Train, evaluate and run neural surrogates of astrochemistry.",
    epilog="COMMAND --help explains a command. All commands also take --backend, "
    "--threads and --debug.",
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
            help="Backend of Keras.  [default: $KERAS_BACKEND, else the first that "
            "is installed]",
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="CPU threads of the backend.  [default: all available cores]",
        ),
    ] = None,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the full traceback of an error."),
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
    """Declare the global options; `_Program.main` reads them anywhere in the line."""


app.command()(train)
app.command()(tune)
app.command()(evaluate)
app.command()(predict)
app.command()(export)
app.command()(board)
app.command()(benchmark)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")


def _lift_globals(words: list[str]) -> tuple[list[str], dict[str, str | None]]:
    """Return the words without the global options, and the values of these."""
    rest: list[str] = []
    chosen: dict[str, str | None] = dict.fromkeys((*_NEEDS, "--debug"))
    queue = iter(words)
    for word in queue:
        option, equals, value = word.partition("=")
        if word == "--":
            rest += [word, *queue]
        elif word == "--debug":
            chosen[word] = word
        elif option in _NEEDS:
            chosen[option] = value if equals else next(queue, "")
            if not chosen[option]:
                raise InputError(f"{option}: needs {_NEEDS[option]}.")
        else:
            rest.append(word)
    return rest, chosen


def _show(line: str | None) -> None:
    if line is not None:
        typer.echo(line, err=True)


def _explain(error: Exception) -> tuple[str, int]:
    """Return the message of an error in one line, and the exit code."""
    if isinstance(error, ImportError) and missing_backend(error):
        return NO_BACKEND, 2
    message = " ".join(str(error).split()) or type(error).__name__
    # A name from a file may hold control characters or invalid text.
    message = "".join(letter if letter.isprintable() else "?" for letter in message)
    if isinstance(error, InputError):
        return message, 2
    if isinstance(error, WorkError | OSError):
        return message, 1
    return f"{type(error).__name__}: {message} (--debug shows where)", 1


def _take_any_text() -> None:
    """Replace characters that the encoding of the terminal lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush() -> int:
    """Write the rest of the output; return 1 if that fails, else 0."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return 0
    except OSError as error:
        # Without this, Python would fail again at exit, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(
            error, BrokenPipeError
        ):  # The reader has ended, such as `head`.
            typer.echo(f"Error: the output cannot be written ({error}).", err=True)
        return 1


def main() -> None:
    """Run the command line."""
    keep_memory()
    heed_signals(sys.argv[1:])
    _take_any_text()
    try:
        app(prog_name="astrokeras")
    except SystemExit as done:
        if done.code in (130, 143):
            leave(int(done.code))
        sys.exit(done.code or _flush())
    sys.exit(_flush())
