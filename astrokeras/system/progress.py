"""What people see of long work, on stderr: bars on a terminal, lines elsewhere."""

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


@contextmanager
def solving_bar() -> Iterator[Callable[[int, int, int], None]]:
    """Show a bar of tracers; the callable takes those done, failed and in all.

    Elsewhere than on a terminal it is a line at every hundredth.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().tell
        return
    with make_bar(console) as bar:
        task = bar.add_task("Solving", total=None, note="")

        def tell(done: int, failed: int, total: int) -> None:
            note = f"tracers, {failed} failed"
            bar.update(task, completed=done, total=total, note=note)

        yield tell


class _Lines:
    """Lines with the time left, for logs."""

    def __init__(self) -> None:
        self.began, self.first, self.percent = time.monotonic(), -1, -1

    def tell(self, done: int, failed: int, total: int) -> None:
        if self.first < 0:
            self.first = done  # Of a run before.
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
