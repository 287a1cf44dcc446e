"""Compare the shock's chemistry with the solver's along its tracers.

    python examples/hydro/compare.py ism out [--page docs/hydro.md]

`out` is the folder that the shock wrote. The script imports the tracers, solves them by
UCLCHEM (minutes; once), lets the surrogate `ism` follow the same tracks, prints a table
and draws shock.png and tracers.png into the folder. `--page` puts the table where the
page has `<!-- numbers: hydro -->`, and the figures beside the page.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np

import astrokeras

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FLOOR, SEEN = 1e-20, 1e-12
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")
MARK = re.compile(r"(<!-- numbers: hydro -->\n).*?(<!-- end of numbers -->)", re.DOTALL)


def solve(folder: Path) -> float:
    """Solve the tracers, unless this was done; return the seconds of the solver."""
    tracks, solved, told = (
        folder / name for name in ("tracks.h5", "solved.h5", "solved.json")
    )
    if not told.exists():
        words = ["import", folder / "tracers.csv", "--out", tracks, "--tracks"]
        run(*words, "--no-split", "--overwrite", "dataset=ism")
        words = ["generate", tracks, solved, "--workers", "1", "--no-split", "--json"]
        told.write_text(run(*words, "--overwrite", "dataset=ism"))
    return float(json.loads(told.read_text())["seconds"])


def run(*words: object) -> str:
    """Call `astrokeras data` with some words; return what it prints."""
    program = Path(sys.executable).with_name("astrokeras")
    command = [program, "data", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return |log10 found - log10 truth|, both floored at 1e-20."""
    logs = [np.log10(np.maximum(x.astype("f8"), FLOOR)) for x in (found, truth)]
    return np.abs(logs[0] - logs[1])


def off(x: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Return the relative changes of element totals since state 0."""
    totals = x.astype("f8") @ atoms
    return np.abs(totals / totals[:, :1] - 1)


def column(x: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> list[str]:
    """Return the errors of states 1 to the end: all, seen species, last state."""
    dex = errors(x, truth)
    seen = (truth >= SEEN) & valid[..., None]
    seen[:, 0] = False
    last = valid[:, -1]
    return [
        f"{dex[:, 1:][valid[:, 1:]].mean():.3f}",
        f"{dex[seen].mean():.3f}",
        f"{dex[last, -1].mean():.3f}",
    ]


def main() -> None:
    """Print the table and draw both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the surrogate")
    parser.add_argument("folder", type=Path, help="what the shock wrote")
    parser.add_argument("--page", type=Path, help="page that gets table and figures")
    given = parser.parse_args()
    folder = given.folder
    lines = (folder / "summary.txt").read_text().split("\n")
    summary = {name: float(x) for name, x in (line.split() for line in lines if line)}
    solver_seconds = solve(folder)

    surrogate = astrokeras.load(given.name)
    solved, species, _ = astrokeras.read_tracers(folder / "solved.h5")
    truth = solved.abundances[:, :, [species.index(s) for s in surrogate.species]]
    count, states = truth.shape[:2]
    valid = np.arange(states) < solved.length[:, None]
    width = len(surrogate.species) + 2
    grid = np.fromfile(folder / "tracers.bin", "f4").reshape(states, -1, width)
    # Tracers without a single solved interval are left out of the file.
    grid = grid.swapaxes(0, 1)[solved.tracer - 1]
    grid, expected, frozen = grid[..., :-2], grid[..., -2], grid[..., -1] > 0
    arguments = truth[:, 0], solved.physical, solved.time
    wanted = {"return_expected_error": True, "return_status": True}
    surrogate.emulate(*arguments, **wanted)  # compiles
    began = time.process_time()
    followed, foreseen, status = surrogate.emulate(*arguments, **wanted)
    seconds = time.process_time() - began

    atoms = surrogate.stoichiometry
    believed = valid & (expected <= surrogate.trust.reliability_threshold) & ~frozen
    believed[:, 0] = False
    good = valid & (status == 0)
    good[:, 0] = False
    number = valid[:, 1:].sum()
    whole = summary["seconds_of_the_chemistry"]
    cells = int(summary["cells"])
    total = int(cells * (summary["steps"] + 10))
    names = [
        "error, dex",
        "of abundances above 1e-12, dex",
        "at the last state, dex",
        "expected error, mean, dex",
        "share of states that are reliable",
        "their error, dex",
        "element totals against the start, mean",
        "and at most",
        "seconds on one core",
    ]
    dex = errors(grid, truth)[believed].mean(), errors(followed, truth)[good].mean()
    cost = solver_seconds / count * cells / whole
    columns = [
        ["", *names],
        [
            "in the grid, at the tracers",
            *column(grid, truth, valid),
            f"{expected[:, 1:].mean():.3f}",
            f"{believed.sum() / number:.0%}",
            f"{dex[0]:.3f}",
            f"{summary['totals_mean']:.0e} (all cells)",
            f"{summary['totals_largest']:.0e}",
            f"{whole:.0f} for {total:,} steps of a cell",
        ],
        [
            "`emulate` along the tracks",
            *column(followed, truth, valid),
            f"{foreseen[:, 1:].mean():.3f}",
            f"{good.sum() / number:.0%}",
            f"{dex[1]:.3f}",
            f"{off(followed, atoms).mean():.0e}",
            f"{off(followed, atoms).max():.0e}",
            f"{seconds:.1f} for {count} tracers",
        ],
        [
            "UCLCHEM along the tracks",
            *["0"] * 3,
            *["", "", ""],
            f"{off(truth, atoms)[valid].mean():.0e}",
            f"{off(truth, atoms)[valid].max():.0e}",
            f"{solver_seconds:.0f} for {count} tracers",
        ],
    ]
    rows = ["| " + " | ".join(row) + " |" for row in zip(*columns, strict=True)]
    rows.insert(1, "|" + "---|" * len(columns))
    frozen_share = f"{summary['frozen']:.1%}"
    text = "\n".join(rows) + "\n\n"
    text += (
        f"`{given.name}`; {count} tracers of {states - 1} intervals each over "
        f"{summary['years'] / 1e6:.2f} Myr. Of all steps of a cell {frozen_share} were "
        f"frozen and {summary['reliable']:.0%} reliable; a step of a cell took "
        f"{summary['microseconds_a_cell_and_step']:.0f} microseconds of chemistry and "
        f"{1e6 * summary['seconds_of_the_flow'] / total:.0f} of flow. For one history "
        f"of each cell, UCLCHEM would take {cost:.0f} times as long as the grid's "
        f"chemistry. The flow conserves mass to {summary['mass_lost']:.0e}.\n"
    )
    print(text)
    draw_profiles(folder)
    draw_tracers(folder, surrogate.species, solved, truth, grid, followed)
    if given.page:
        page = given.page.read_text()
        given.page.write_text(MARK.sub(rf"\g<1>{text}\g<2>", page))
        for name in ("shock", "tracers"):
            target = given.page.with_name(f"hydro_{name}.png")
            target.write_bytes((folder / f"{name}.png").read_bytes())


def draw_profiles(folder: Path) -> None:
    """Draw gas, abundances and trust of the aged gas, halfway and at the end."""
    path = folder / "profiles.txt"  # in which #CO is a species and no comment
    data = np.genfromtxt(path, names=True, deletechars="", comments=None)
    times = np.unique(data["time"])
    figure, axes = plt.subplots(3, 3, figsize=(7.2, 5.6), sharex=True, sharey="row")
    shown = ("C+", "C", "CO", "#CO", "#H2O")
    for k, moment in enumerate((times[0], times[len(times) // 2], times[-1])):
        at = data[data["time"] == moment]
        gas, made, trust = axes[:, k]
        gas.semilogy(at["x"], at["n"], color=COLOURS[0], label="n, cm$^{-3}$")
        gas.semilogy(at["x"], at["T"], color=COLOURS[3], label="T, K")
        gas.semilogy(at["x"], at["Av"], color="0.5", label="Av, mag")
        gas.set_title(f"{(moment - times[0]) / 1e6:.2f} Myr", fontsize=9)
        for name, colour in zip(shown, COLOURS, strict=True):
            made.semilogy(at["x"], at[name], color=colour, label=name)
        made.set_ylim(1e-13, 1e-3)
        trust.plot(at["x"], at["expected"], color=COLOURS[0], label="expected error")
        still = np.where(at["frozen"] > 0, at["expected"], np.nan)
        trust.plot(at["x"], still, ".", ms=3, color=COLOURS[3], label="frozen")
        trust.set_xlabel("pc")
        trust.set_ylim(0, 1)
    for row, label in zip(axes, ("gas", "per H nucleus", "dex"), strict=True):
        row[0].set_ylabel(label)
        row[0].legend(fontsize=6, frameon=False, loc="best", ncol=2)
    save(figure, folder / "shock.png")


def draw_tracers(
    folder: Path, species: list[str], solved: object, *states: np.ndarray
) -> None:
    """Draw some species of three tracers: solved, in the grid, and emulated."""
    shown = ("H2", "C+", "CO", "#H2O")
    count = len(states[0])
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.9), sharex=True, sharey=True)
    for ax, row in zip(axes, (count // 10, count // 2, count - 1), strict=True):
        stop = solved.length[row]
        years = solved.time[row, 1:stop] / 1e6
        for name, colour in zip(shown, COLOURS, strict=False):
            k = species.index(name)
            for x, line in zip(states, ("-", "--", ":"), strict=True):
                ax.semilogy(years, x[row, 1:stop, k], line, color=colour, lw=1.3)
            ax.plot([], [], color=colour, label=name)
        ax.set_title(f"tracer {solved.tracer[row]}", fontsize=9)
        ax.set_xlabel("Myr")
        ax.set_ylim(1e-14, 1)
    for line, label in zip(
        ("-", "--", ":"), ("UCLCHEM", "grid", "emulate"), strict=True
    ):
        axes[0].plot([], [], line, color="0.3", label=label)
    axes[0].set_ylabel("per H nucleus")
    axes[0].legend(fontsize=6, frameon=False, ncol=2)
    save(figure, folder / "tracers.png")


def save(figure: plt.Figure, path: Path) -> None:
    """Write a figure."""
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
