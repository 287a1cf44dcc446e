"""Terminal table of an evaluation."""

from astrokeras.evaluation.result import Evaluation
from astrokeras.evaluation.summary_text import (
    MEANINGS,
    TITLES,
    cell,
    columns,
    headline,
    sentences,
    summary,
)


def show(evaluation: Evaluation) -> None:
    """Print the figures of rollout, autoencoder and baselines on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    predictions = columns(evaluation)
    title = Text(headline(evaluation), style="bold")
    grid = Table(title=title, title_justify="left")
    grid.add_column("", no_wrap=True)
    for name in predictions:
        grid.add_column(TITLES[name], justify="right", overflow="fold")
    for key in MEANINGS:
        grid.add_row(key, *(cell(getattr(one, key)) for one in predictions.values()))
    ratios = [evaluation.times_better.get(name) for name in predictions]
    if any(ratios):
        cells = ("" if ratio is None else f"{ratio:.3g}" for ratio in ratios)
        grid.add_row("dex / surrogate's", *cells)
    console = Console()
    console.print(grid)
    console.print(Text(summary(evaluation)))
    for name, one in evaluation.details["surrogate"].starts.items():
        line = f"From start {name}: {cell(one['dex'])} dex, {one['tracers']} tracers."
        console.print(Text(line))
    for line in sentences(evaluation):
        console.print(Text(line))
    for note in evaluation.notes:
        console.print(Text(f"Note: {note}.", style="yellow"))
