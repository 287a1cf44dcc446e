"""Terminal tables of evaluations, searches, exports and measurements of speed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from astrokeras.evaluation.summary_text import headline
from astrokeras.runs.metric_descriptions import SOLVER_STEPS, format_value

if TYPE_CHECKING:
    from astrokeras.evaluation.result import Evaluation
    from astrokeras.export.export import Export
    from astrokeras.tuning.trials import Result, Search

SHOWN = 5  # trials in the table of a search
GRADE_STYLES = {"PASS": "green", "NOTE": "yellow", "WARN": "bold red"}
NAME_WIDTH = 20  # columns of the names of findings
FILE_WIDTH = 120  # columns of a table that is written to a file


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the findings of an evaluation on one screen, and the verdict."""
    console = Console()
    console.print(Text(headline(evaluation), style="bold"))
    for topic in dict.fromkeys(finding.topic for finding in evaluation.findings):
        console.print(Text(topic.upper(), style="bold"))
        grid = Table.grid(padding=(0, 1))
        for finding in evaluation.findings:
            if finding.topic == topic:
                mark = Text(finding.grade, style=GRADE_STYLES[finding.grade])
                grid.add_row(mark, Text(finding.name), Text(finding.text))
        grid.columns[1].min_width = NAME_WIDTH
        console.print(grid)
    for note in evaluation.notes:
        console.print(Text(f"Note: {note}.", style="yellow"))
    console.print(Text(evaluation.verdict, style="bold"))


def print_leaderboard(search: Search) -> None:
    """Print the best trials, why others failed, and how to train the best one."""
    from astrokeras.tuning.leaderboard import command

    results = search.results()
    done = [result for result in results if result.val_dex is not None]
    failed = [result for result in results if result.val_dex is None]
    lines = []
    if len(done) > SHOWN:
        lines.append(f"{len(done) - SHOWN} more with --json.")
    if failed:
        lines.append(f"{len(failed)} failed; {failed[0].trial}: {failed[0].reason}")
    if done:
        lines.append("To train the best one, for as many epochs as configured:")
        lines.append(command(search, 1, done[0]))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    console.print(_trial_table(search, len(results), done[:SHOWN]))
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def print_export(export: Export) -> None:
    """Print the folder of an export, and how far its functions are from Keras."""
    batches = ", ".join(map(str, next(iter(export.differences.values()))))
    print(f"Largest difference from Keras, at batches of {batches}:")
    for name, by_batch in export.differences.items():
        unit = {"encode": "of latents", "rollout": "dex"}.get(name, "of scaled values")
        values = ", ".join(f"{value:.0e}" for value in by_batch.values())
        print(f"{name:8} {values} {unit}")
    print(export.folder)


def print_benchmark(figures: dict[str, Any]) -> None:
    """Print measured rates as a table, and on stderr what they are relative to."""
    print(
        f"{'':28}{'rate':>12}{'low … high':>22}{'kFLOP each':>12}"
        f"{'of the limit':>14}{'first':>9}"
    )
    for row in figures["rows"]:
        rate = row["rate"]
        spread = f"{_format_rate(rate['low'])} … {_format_rate(rate['high'])}"
        print(
            f"{row['name']:28}{_format_rate(rate['median']):>12}{spread:>22}"
            f"{row['flops'] / 1e3:>12,.0f}{row['share']:>13.0%} "
            f"{row['first']:>7.1f} s  {row['unit']}/s"
        )
        if row["name"] == "rollout":
            times = rate["median"] / SOLVER_STEPS
            threads = os.environ.get("OMP_NUM_THREADS", "all")
            print(
                f"{'':28}{times:>12,.0f} times UCLCHEM on one core, with {threads} "
                "threads here"
            )
    products = [row["products"] / 1e9 for row in figures["rows"]]
    print(
        f"{figures['backend']}; the limit is {min(products):.0f} to "
        f"{max(products):.0f} GFLOP/s of float32 matrix products (NumPy), measured "
        "beside each row at the same threads.",
        file=sys.stderr,
    )


def _titled_table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left")


def _trial_table(search: Search, count: int, results: Sequence[Result]) -> Table:
    """Return a table with a column for each trial, best first, and rows of fields."""
    table = _titled_table(
        f"{search.path.name}: {count} trials, {search.settings.algorithm}, "
        f"{' and '.join(search.stages)}"
    )
    table.add_column("trial", no_wrap=True)
    for result in results:
        table.add_column(result.trial, justify="right", overflow="fold")
    rows = {
        "dex": [f"{result.val_dex:.4f}" for result in results],
        "epochs": [" + ".join(map(str, result.epochs.values())) for result in results],
        "seconds": [f"{result.seconds:.0f}" for result in results],
    }
    for path in search.settings.space:
        # A trial lacks the fields whose condition it does not meet.
        rows[path] = [format_value(result.values.get(path, "")) for result in results]
    for name, cells in rows.items():
        table.add_row(name, *cells, end_section=name == "seconds")
    return table


def _format_rate(rate: float) -> str:
    return f"{rate / 1e3:,.1f} k" if rate < 1e6 else f"{rate / 1e6:,.2f} M"
