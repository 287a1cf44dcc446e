"""What people see of long work, on stderr: bars on a terminal, lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


def report(message: str) -> None:
    """Print a message to people."""
    Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)


def make_bar(console: Console) -> Progress:
    """Return a bar with a description, a count, the time left and a note."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )


@contextmanager
def tracer_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of tracers done; the callable takes tracers done and in all."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    with make_bar(console) as bar:
        task = bar.add_task(description, total=None, note="tracers")
        yield lambda done, total: bar.update(task, completed=done, total=total)
