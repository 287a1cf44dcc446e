"""Import of raw tables: its reader against pandas and h5py alone, and its memory.

Reads the same rows of a CSV file, a table between blanks and a pandas HDFStore, which
it writes first. With `--gigabytes`, a table of such a size is imported by a process of
its own, whose peak memory is printed.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure

STATES = 300
"""States of a tracer."""
SPECIES = 300
"""Species of a row, beside the time, parameters and a tracer's number."""


def write_tables(folder: Path, megabytes: float) -> dict[str, Path]:
    """Write one table as text with commas and blanks, and as HDF5."""
    import numpy as np
    import pandas as pd

    names, values = make_rows(np.random.default_rng(0))
    count = max(1, round(megabytes * 1e6 / (13 * values.size)))
    paths = {
        "commas": folder / "table.csv",
        "blanks": folder / "table.txt",
        "HDF5": folder / "table.h5",
    }
    frames = []
    for kind, between in (("commas", ","), ("blanks", " ")):
        with paths[kind].open("w") as file:
            file.write(between.join(names) + "\n")
            for number in range(count):
                values[:, -1] = number
                np.savetxt(file, values, "%.6e", between)
    for number in range(count):
        frames.append(pd.DataFrame(values, columns=names).assign(Tracer=number))
    pd.concat(frames).to_hdf(paths["HDF5"], key="df")
    return paths


def make_rows(rng: Any) -> tuple[list[str], Any]:
    """Return names and one tracer, whose species hold little of the hydrogen."""
    import numpy as np

    names = ["Time", "Density", "Av", "gasTemp", "radfield"]
    smooth = 10 ** np.cumsum(rng.normal(0, 0.01, (STATES, 4)), axis=0)
    columns = [100.0 * np.arange(STATES), *(smooth * [1e4, 3, 20, 1.7]).T]
    for number in range(SPECIES):
        names.append(f"C{number // 15 + 1}O{number % 15 + 1}")
        columns.append(10 ** rng.uniform(-20, -5, STATES))
    return [*names, "Tracer"], np.column_stack([*columns, np.zeros(STATES)])


def read_table(path: Path) -> None:
    """Read all that an import reads: first the numbers of tracers, then all rows."""
    from contextlib import ExitStack

    from astrokeras.config import compose
    from astrokeras.data.importers.import_report import ImportStatistics
    from astrokeras.data.importers.open_sources import open_parts

    config = compose(["dataset=uclchem"]).dataset
    with ExitStack() as stack:
        (part,) = open_parts(path, Path("out"), config, ImportStatistics(), stack)
        columns = [*part.columns.parameters.values(), *part.columns.abundances]
        for start in range(0, part.table.rows, 8192):
            stop = min(start + 8192, part.table.rows)
            part.table.read(start, stop, columns)


def peer(kind: str, path: Path) -> Callable[[], object]:
    """Return what reads the same table without this package."""
    import h5py
    import pandas as pd

    def blocks() -> None:
        with h5py.File(path) as file:
            for name in ("block0_values", "block1_values"):
                dataset = file[f"df/{name}"]
                for start in range(0, len(dataset), 8192):
                    dataset[start : start + 8192]

    if kind == "HDF5":
        return blocks
    return partial(pd.read_csv, path, sep="," if kind == "commas" else r"\s+")


def peak(path: Path, out: Path) -> tuple[float, float]:
    """Return the peak memory of an import, MB, and its seconds."""
    code = (
        "import resource, sys, time; from astrokeras.cli import main\n"
        "start = time.perf_counter()\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,"
        " time.perf_counter() - start)\n"
    )
    words = ["data", "import", str(path), "--out", str(out), "--no-split"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=measure.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    memory, seconds = done.stdout.split()[-2:]
    return float(memory), float(seconds)


def main() -> None:
    """Measure, print and write the figures."""
    parser = measure.options(__doc__)
    parser.add_argument("--megabytes", type=float, default=22, help="of text to read")
    parser.add_argument("--gigabytes", type=float, help="of text to import")
    parser.add_argument("--scratch", type=Path, help="folder of temporary files")
    args = parser.parse_args()
    measure.set_threads(args.threads)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        if args.gigabytes:
            path = Path(name) / "table.csv"
            grow(path, args.gigabytes)
            memory, seconds = peak(path, Path(name) / "out.h5")
            size = path.stat().st_size / 1e9
            print(f"{size:.1f} GB in {seconds:.0f} s, peak of {memory:.0f} MB")
            return
        rows = [["seconds", "ours", "alone", "ours / alone"]]
        for kind, path in write_tables(Path(name), args.megabytes).items():
            both = {"alone": peer(kind, path), "ours": partial(read_table, path)}
            taken = measure.alternate(both, args.repeats)
            shown = [taken["ours"], taken["alone"], taken["ratios"]["ours"]]
            figures[kind] = dict(zip(("ours", "alone", "ratio"), shown, strict=True))
            rows.append([kind, *map(measure.show, shown)])
    measure.table(rows)
    measure.write("tables", {"megabytes": args.megabytes} | figures, args.out)


def grow(path: Path, gigabytes: float) -> None:
    """Write a CSV file of such a size, with the same rows in each tracer."""
    import io

    import numpy as np

    names, values = make_rows(np.random.default_rng(0))
    text = io.StringIO()
    np.savetxt(text, values[:, :-1], "%.6e", ",")
    lines = text.getvalue().splitlines()
    count = round(gigabytes * 1e9 / len(text.getvalue()))
    with path.open("w") as file:
        file.write(",".join(names) + "\n")
        for number in range(count):
            end = f",{number}\n"
            file.write(end.join(lines) + end)


if __name__ == "__main__":
    main()
