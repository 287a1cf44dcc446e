"""Peak memory of a training, on a tracer file and on one that is ten times larger.

Each figure is that of a process of its own which runs the command line: the largest
resident memory that the system saw. The larger file repeats the tracers under new
numbers. `--gigabytes` trains on a file of that size instead, once. The settings are
those that ship, but for the number of epochs and the overrides given.
"""

import math
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import measure

SETTINGS = ("name=run", "runs_dir=runs")


def train(folder: Path, file: Path, settings: tuple[str, ...]) -> dict[str, float]:
    """Make the training cache, then train; return peaks in MB and seconds."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    words = [f"dataset.path={file}", *SETTINGS, *settings]
    cache = run(folder, ["train", "--mode", "preprocess", *words])
    fit = run(folder, ["train", "--mode", "train", *words])
    shutil.rmtree(folder / "runs")
    return {
        "cache_mb": cache[0],
        "cache_seconds": cache[1],
        "train_mb": fit[0],
        "train_seconds": fit[1],
    }


def run(folder: Path, words: list[str]) -> tuple[float, float]:
    """Run the command line in a folder; return its peak in MB and its seconds."""
    start = time.perf_counter()
    with open(folder / "log.txt", "w+") as log:
        child = subprocess.Popen(
            [*measure.COMMAND, *words],
            cwd=folder,
            env=measure.environment(),
            stdout=log,
            stderr=log,
        )
        # Of this child alone, where `getrusage` gives the largest of all of them.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        if child.returncode:
            raise SystemExit(f"astrokeras {' '.join(words)} failed:\n{log.read()}")
    return usage.ru_maxrss * 1024 / 1e6, time.perf_counter() - start


def compare(folder: Path, args: Any) -> dict[str, Any]:
    """Train by turns on the tracers once and `--times` times over."""
    files = {
        "once": (folder / "once.h5", 1),
        "larger": (folder / "large.h5", args.times),
    }
    for path, times in files.values():
        measure.write_repeated(args.data, path, times, compression=args.compression)
    settings = epochs(args.epochs) + tuple(args.overrides)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in files}
    for _ in range(args.repeats):
        for name, (path, _) in files.items():
            taken[name].append(train(folder, path, settings))
    figures: dict[str, Any] = {
        name: {key: measure.summarise([run[key] for run in runs]) for key in runs[0]}
        for name, runs in taken.items()
    }
    figures["ratio"] = {
        key: measure.summarise(
            [
                b[key] / a[key]
                for a, b in zip(taken["once"], taken["larger"], strict=True)
            ]
        )
        for key in ("cache_mb", "train_mb")
    }
    sizes = {name: path.stat().st_size / 1e6 for name, (path, _) in files.items()}
    rows = [["peak of", *(f"{name}, {sizes[name]:,.0f} MB" for name in files), "ratio"]]
    for key, words in {"cache_mb": "making the cache", "train_mb": "training"}.items():
        peaks = (f"{measure.show(figures[name][key])} MB" for name in files)
        rows.append([words, *peaks, measure.show(figures["ratio"][key])])
    measure.table(rows)
    print("target: a ratio of at most 1.10")
    return figures | {"times": args.times, "file_mb": sizes, "settings": settings}


def train_on_large(folder: Path, args: Any) -> dict[str, Any]:
    """Train an epoch of each stage on a file of `--gigabytes`."""
    path = folder / "large.h5"
    measure.write_repeated(args.data, path, 1, compression=args.compression)
    times = math.ceil(args.gigabytes * 1e9 / path.stat().st_size)
    # The file, and its training and validation tracers again as the cache.
    needed, free = 2 * args.gigabytes, shutil.disk_usage(folder).free / 1e9
    if free < needed + 2:
        raise SystemExit(f"{needed:.0f} GB are needed and {free:.0f} GB are free.")
    written = measure.seconds(
        lambda: measure.write_repeated(
            args.data, path, times, compression=args.compression
        )
    )
    size = path.stat().st_size / 1e9
    settings = epochs(1) + tuple(args.overrides)
    figures: dict[str, Any] = train(folder, path, settings)
    print(f"{size:.1f} GB, written in {written:.0f} s; one epoch of each stage")
    measure.table(
        [
            ["", "peak, MB", "seconds"],
            *(
                [
                    name,
                    f"{figures[f'{key}_mb']:,.0f}",
                    f"{figures[f'{key}_seconds']:.0f}",
                ]
                for key, name in {"cache": "cache", "train": "training"}.items()
            ),
        ]
    )
    return figures | {"file_gb": size, "times": times, "settings": settings}


def epochs(count: int) -> tuple[str, str]:
    """Return the settings for so many epochs of both stages."""
    return f"autoencoder.fit.epochs={count}", f"emulator.fit.epochs={count}"


def main() -> None:
    """Measure, print and write the figures."""
    parser = measure.options(__doc__, repeats=3)
    parser.add_argument("--times", type=int, default=10, help="of the larger file")
    parser.add_argument("--epochs", type=int, default=2, help="of each stage")
    parser.add_argument("--gigabytes", type=float, help="train on a file of this size")
    parser.add_argument("--compression", choices=["gzip"], help="of the files written")
    parser.add_argument("--scratch", type=Path, help="folder of temporary files")
    parser.add_argument("overrides", nargs="*", help="of the configuration")
    args = parser.parse_args()
    measure.set_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        work = train_on_large if args.gigabytes else compare
        figures = work(Path(folder).resolve(), args)
    name = f"memory_{args.gigabytes:g}gb" if args.gigabytes else "memory"
    measure.write(name, {"data": args.data.name} | figures, args.out)


if __name__ == "__main__":
    main()
