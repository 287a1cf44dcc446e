"""Speed of training and emulation, compared with the limit of matrix products."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from astrokeras.config import STAGES, Config
from astrokeras.errors import InputError
from astrokeras.system import arguments
from astrokeras.system.backend import start_keras
from astrokeras.system.close_names import suggest
from astrokeras.training.preflight import check_backend, check_timesteps

WORK = (*STAGES, "rollout")
PRODUCT_SIZE = 2048


def measure_products(repeats: int = 7, size: int = PRODUCT_SIZE) -> float:
    """Return this machine's rate of float32 matrix products by NumPy, operations/s.

    `--threads` sets the number of NumPy's threads before NumPy is imported.

    Args:
        repeats: Number of measured products, after one that is not measured.
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
    """Measure the speed of trainings and of rollouts of a surrogate.

    Args:
        config: Configuration of the trainings.
        run: Name or directory of the surrogate that is rolled out.
        tracers: A solved tracer file with a split.
        work: The workloads to measure, a subset of `WORK`.
        repeats: Number of measured calls, after one that compiles.
        count: Number of tracers in a rollout.
        device: `cpu` or `gpu`; by default a GPU if there is one.

    Returns:
        The backend and, under `rows`, for each workload its name and unit, `flops`
        (operations of the matrix products of one unit), `rate` (median, low, high),
        `limit` (the rate if only the matrix products took time), the `share` of the
        limit that is reached, and the seconds of the `first` call with compilation.

    Raises:
        InputError: For an unknown workload or a wrong file.
    """
    repeats = arguments.whole("repeats", repeats, low=1)
    count = arguments.whole("count", count, low=1)
    unknown = [name for name in work if name not in WORK]
    if unknown:
        raise InputError(
            f"unknown workload {unknown[0]!r}; choose from {', '.join(WORK)}"
            f"{suggest(unknown[0], WORK)}"
        )
    stages = [stage for stage in STAGES if stage in work]
    check_backend(config, stages)
    check_timesteps(config)
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
            outputs: list[dict[str, Any]] = [
                {},
                {"species": surrogate.species[:10]},
                {"state_indices": [-1]},
            ]
            makers += [
                partial(workloads.roll_out, surrogate, tracers, count, **output)
                for output in outputs
            ]
        for make in makers:
            rows.append(_measure(make(), repeats))
    return {"backend": keras.config.backend(), "rows": rows}


def _measure(workload: Any, repeats: int) -> dict[str, Any]:
    """Measure a workload, and the machine's matrix products before and after it."""
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
    """Return the wall time of repeated calls in seconds, after unmeasured ones."""
    for _ in range(warm_up):
        function()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return taken


def to_json(figures: dict[str, Any]) -> str:
    """Return the results as JSON."""
    return json.dumps(figures, indent=1)
