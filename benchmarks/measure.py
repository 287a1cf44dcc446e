"""What the benchmarks share: repeats, comparisons in pairs, data, and the machine.

Import it before NumPy or a backend, and call `set_threads` at once: thread pools take
their size when they are loaded. So this file and the scripts import only Python's own
modules at their top.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SAMPLE = ROOT / "data" / "grav.h5"
COMMAND = (sys.executable, "-c", "from astrokeras.cli import main; main()")
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "h5py")
Summary = dict[str, Any]


def options(description: str | None, repeats: int = 5) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=SAMPLE, help="a tracer file")
    parser.add_argument("--repeats", type=int, default=repeats, help="that count")
    parser.add_argument("--threads", type=int, default=cores(), help="of all parts")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for figures")
    return parser


def set_threads(threads: int) -> None:
    """Give NumPy and the backends of this process and its children so many threads."""
    from astrokeras.system.backend import select_threads

    select_threads(threads)


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a child that finds this checkout's package."""
    known = os.environ.get("PYTHONPATH")
    paths = [str(ROOT), *([known] if known else [])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | settings


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def summarise(values: Sequence[float]) -> Summary:
    """Return median, lowest and highest of some values, and the values."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }


def seconds(function: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def repeat(function: Callable[[], object], repeats: int, warm_up: int = 1) -> Summary:
    """Summarise the wall seconds of `repeats` calls, after some that do not count."""
    for _ in range(warm_up):
        function()
    return summarise([seconds(function) for _ in range(repeats)])


def alternate(
    functions: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, Any]:
    """Time functions by turns (A B A B), so that all meet the same busy moments.

    Args:
        functions: By name; the first is compared with each of the others.
        repeats: Rounds that count.
        warm_up: Rounds before them that do not.

    Returns:
        The seconds of each, summarised, and under `ratios` how many times faster the
        first is than each other one: their seconds divided round by round.
    """
    for _ in range(warm_up):
        for function in functions.values():
            function()
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            taken[name].append(seconds(function))
    first, *others = functions
    ratios = {
        other: summarise(
            [b / a for a, b in zip(taken[first], taken[other], strict=True)]
        )
        for other in others
    }
    return {name: summarise(values) for name, values in taken.items()} | {
        "ratios": ratios
    }


def rate(work: float, taken: Summary) -> Summary:
    """Turn summarised seconds for `work` items into items per second."""
    return summarise([work / value for value in taken["values"]])


def show(summary: Summary, digits: int = 3) -> str:
    """Return `median (low to high)` for a table."""
    form = ",.0f" if summary["low"] >= 10 else f".{digits}g"
    median, low, high = (f"{summary[key]:{form}}" for key in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def table(rows: Sequence[Sequence[object]]) -> None:
    """Print rows of equal length as columns."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip(), flush=True)


def write_repeated(
    source: Path,
    target: Path,
    times: int,
    states: int | None = None,
    compression: str | None = None,
) -> None:
    """Write a tracer file's tracers several times over, under new numbers.

    Args:
        source: A tracer file.
        target: The file to write, streamed.
        times: How often.
        states: How many states of each tracer are kept, all by default.
        compression: As h5py names it.
    """
    from astrokeras import TracerStore, TracerWriter

    with TracerStore(source) as store:
        states = states or store.states
        with TracerWriter(
            target,
            species=store.species,
            parameters=store.parameters,
            units=store.units,
            states=states,
            attributes=store.attributes,
            compression=compression,
        ) as writer:
            for copy in range(times):
                for block in store.blocks(check=False):
                    block.tracer += copy * (int(store.tracer.max()) + 1)
                    block.simulation += copy * (int(store.simulation.max()) + 1)
                    block.abundances = block.abundances[:, :states]
                    block.physical = block.physical[:, : states - 1]
                    block.time = block.time[:, :states]
                    block.length = block.length.clip(max=states)
                    writer.append(block)


def matmul_rate(threads: int = 1, size: int = 2048, repeats: int = 7) -> float:
    """Return what this machine does: GFLOP/s of a float32 product by NumPy.

    It runs in a process of its own, because the number of threads is fixed once NumPy
    is loaded.
    """
    code = (
        "from astrokeras.benchmarking.benchmark import measure_products; "
        f"print(measure_products({repeats}, {size}) / 1e9)"
    )
    threads_of = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**dict.fromkeys(threads_of, str(threads))),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def machine() -> dict[str, Any]:
    """Describe the machine and the software, without its name or any path."""
    from astrokeras import __version__

    versions = {"astrokeras": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    threads = os.environ.get("OMP_NUM_THREADS")
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1
        ),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": int(threads) if threads else None,
        "backend": os.environ.get("KERAS_BACKEND"),
        "gpu": "not measured",
        "versions": versions,
    }


def _cpu() -> str:
    """Return the CPU's model, as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    known = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in lines)
    }
    name = known.get("model name", platform.machine())
    if {"cpu family", "model"} <= known.keys():
        name += f" (family {known['cpu family']}, model {known['model']})"
    return name


def write(name: str, figures: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write figures with machine and date as `<name>.json`; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    facts = {"benchmark": name, "date": date.today().isoformat(), "machine": machine()}
    text = json.dumps(facts | dict(figures), indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return path
