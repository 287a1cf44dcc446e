"""Progress on stderr: bars on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


def report(message: str) -> None:
    """Print a message to stderr."""
    Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)


def make_bar(console: Console) -> Progress:
    """Return a progress bar with a description, a count, the time left and a note."""
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
    """Show a progress bar; the yielded function takes tracers done and their total."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    with make_bar(console) as bar:
        task = bar.add_task(description, total=None, note="tracers")
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def solving_bar() -> Iterator[Callable[[int, int, int], None]]:
    """Show a progress bar; the function takes tracers done, failed and their total.

    Without a terminal it prints a line at every percent.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _ProgressLines().update
        return
    with make_bar(console) as bar:
        task = bar.add_task("Solving", total=None, note="")

        def update(done: int, failed: int, total: int) -> None:
            note = f"tracers, {failed} failed"
            bar.update(task, completed=done, total=total, note=note)

        yield update


class _ProgressLines:
    """Progress as lines with the time left, for logs."""

    def __init__(self) -> None:
        self.began, self.first, self.percent = time.monotonic(), -1, -1

    def update(self, done: int, failed: int, total: int) -> None:
        if self.first < 0:
            self.first = done  # Tracers of an earlier, resumed run.
        if 100 * done // total == self.percent:
            return
        self.percent = 100 * done // total
        left = "?"
        if done > self.first:
            each = (time.monotonic() - self.began) / (done - self.first)
            left = str(timedelta(seconds=round(each * (total - done))))
        report(
            f"Solved {done - failed} of {total} tracers, {failed} failed, {left} left"
        )
