"""`astrokeras models`: list and show presets and runs, import published weights."""

import typer

app = typer.Typer(
    help="List, show and import trained models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_() -> None:
    """List presets and runs with their figures."""
