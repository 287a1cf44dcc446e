"""How fast this machine trains and emulates, beside what its arithmetic allows."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from astrokeras.config import Config
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.backend import start_keras
from astrokeras.training.preflight import check_backend, check_intervals

STAGES = ("autoencoder", "emulator")
WORK = (*STAGES, "rollout")
# Of UCLCHEM 3.5 on one core: 297 steps in 13 s, the median of the shipped data. It is
# not measured here.
SOLVER_STEPS = 23.0
PRODUCT_SIZE = 2048


def measure_products(repeats: int = 7, size: int = PRODUCT_SIZE) -> float:
    """Return this machine's rate of float32 matrix products by NumPy, operations/s.

    NumPy uses as many threads as it was told to at its start, as `--threads` says.

    Args:
        repeats: Measured products, after one that does not count.
        size: Rows and columns of the matrices.
    """
    import numpy as np

    left, right = np.random.default_rng(0).random((2, size, size), "float32")
    out = np.zeros_like(left)
    taken = _repeat(lambda: np.matmul(left, right, out=out), repeats)
    return 2 * size**3 / statistics.median(taken)


def benchmark(
    config: Config,
    run: str,
    tracers: Path,
    work: Sequence[str] = WORK,
    repeats: int = 5,
    count: int = 2000,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure trainings as configured and rollouts of a surrogate.

    Args:
        config: The configuration of the trainings.
        run: Name or directory of the surrogate that is rolled out.
        tracers: A solved tracer file with a split.
        work: What to measure, of `WORK`.
        repeats: Measured calls, after one that compiles.
        count: Tracers of a rollout.
        device: `cpu`, `gpu`, or what is there.

    Returns:
        The backend and, under `rows`, for each piece of work its name
        and unit, `flops` (operations of the products of one unit), `rate` (median,
        low, high), `limit` (rate at which the machine's matrix products alone would
        allow), `share` of it, and seconds of the `first` call, compilation included.

    Raises:
        InputError: For unknown work or a wrong file.
    """
    repeats = arguments.whole("repeats", repeats, low=1)
    count = arguments.whole("count", count, low=1)
    unknown = [name for name in work if name not in WORK]
    if unknown:
        raise InputError(f"unknown work {unknown[0]!r}; choose of {', '.join(WORK)}.")
    stages = [stage for stage in STAGES if stage in work]
    check_backend(config, stages)
    check_intervals(config)
    start_keras(device)
    import keras

    import astrokeras
    from astrokeras.benchmarking import workloads
    from astrokeras.data.pipeline.training_cache import prepare

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        makers: list[Callable[[], Any]] = []
        if stages:
            cache = prepare(
                tracers,
                Path(folder),
                config.dataset.floor,
                compression=config.cache_compression,
            )
        if "autoencoder" in work:
            makers.append(lambda: workloads.train_autoencoder(config, cache))
        if "emulator" in work:
            makers.append(lambda: workloads.train_emulator(config, cache))
        if "rollout" in work:
            surrogate = astrokeras.load(run)
            some = surrogate.species[:10]
            asked: list[dict[str, Any]] = [
                {},
                {"species": some},
                {"state_indices": [-1]},
            ]
            makers += [
                partial(workloads.roll_out, surrogate, tracers, count, **kinds)
                for kinds in asked
            ]
        for make in makers:
            rows.append(_measure(make(), repeats))
    return {
        "backend": keras.config.backend(),
        "rows": rows,
    }


def _measure(workload: Any, repeats: int) -> dict[str, Any]:
    """Measure one piece of work, with the machine's products before and after."""
    first = _repeat(workload.run, 1, warm_up=0)[0]
    before = measure_products()
    rates = [workload.work / taken for taken in _repeat(workload.run, repeats)]
    products = (before + measure_products()) / 2
    limit = products / workload.flops
    return {
        "name": workload.name,
        "unit": workload.unit,
        "flops": workload.flops,
        "rate": {
            "median": statistics.median(rates),
            "low": min(rates),
            "high": max(rates),
        },
        "products": products,
        "limit": limit,
        "share": statistics.median(rates) / limit,
        "first": first,
    }


def _repeat(
    function: Callable[[], object], repeats: int, warm_up: int = 1
) -> list[float]:
    """Return the wall seconds of repeated calls, after some that do not count."""
    for _ in range(warm_up):
        function()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return taken


def to_json(figures: dict[str, Any]) -> str:
    """Return the figures as JSON."""
    return json.dumps(figures, indent=1)
