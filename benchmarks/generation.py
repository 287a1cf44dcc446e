"""What `data generate` costs beside its solver: time, scaling, memory.

python benchmarks/generation.py overhead --tracers 40     # UCLCHEM, or --solver network
python benchmarks/generation.py memory --tracers 10000 100000
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import compose_generation
from astrokeras.data.store import TracerStore, TracerWriter
from astrokeras.data.tracers import empty_tracers
from astrokeras.solvers.process import Host
from astrokeras.solvers.solver import Parameter, Solver
from astrokeras.workflows.generate import generate
from astrokeras.workflows.pool import connect

STEPS = 30
SLEEP = 0.0


class Sleeper(Solver):
    """Solves nothing in a given time."""

    species = ("H", "H2", "CO")
    initial = np.array([0.5, 0.25, 1e-4])

    def __init__(self, config: Any):
        self.seconds = config.options.get("seconds", SLEEP)
        self.parameters = {"Density": Parameter("H nuclei cm^-3", 1e-3, 1e9)}
        names = ("solver", "network", "tolerances", "constants")
        self.facts = dict.fromkeys(names, "none")

    def solve(self, time_: Any, physical: Any, initial: Any) -> np.ndarray:
        time.sleep(self.seconds)
        return np.tile(initial, (len(time_), 1))


def write_tracks(path: Path, tracers: int) -> Path:
    """Write trajectories for the sleeper, a block at a time."""
    with TracerWriter(
        path,
        species=(),
        parameters=("Density",),
        units=("H nuclei cm^-3",),
        states=3,
        attributes={},
        solved=False,
    ) as writer:
        for first in range(0, tracers, 10_000):
            block = empty_tracers(min(10_000, tracers - first), 3, 0, 1)
            block.physical[:] = 100.0
            block.time[:] = 1000.0 * np.arange(3)
            block.tracer[:] = first + np.arange(len(block))
            block.simulation[:] = block.tracer
            writer.append(block)
    return path


def memory(tracers: int, seconds: float) -> dict[str, float]:
    """Return the peak of the command's own process, MB, and its rate."""
    words = [
        f"solver.kind={Path(__file__).stem}:Sleeper",
        f"solver.options.seconds={seconds}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        tracks = write_tracks(Path(folder) / "tracks.h5", tracers)
        began = time.monotonic()
        generate(
            tracks,
            Path(folder) / "out.h5",
            compose_generation(words),
            split=False,
            progress=show,
        )
    taken = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tracers": tracers, "peak MB": peak, "tracers/s": tracers / taken}


def show(done: int, failed: int, total: int) -> None:
    """Tell how far it is."""
    if done % max(total // 20, 1) == 0:
        print(f"{done} of {total}, {failed} failed", file=sys.stderr, flush=True)


def take_tracks(source: Path, out: Path, tracers: int) -> Path:
    """Write the first steps of some tracers of a file as trajectories."""
    with TracerStore(source) as store:
        rows = np.linspace(0, store.tracers - 1, tracers).astype(int)
        chosen = store.read(rows)
        chosen.time = chosen.time[:, : STEPS + 1]
        chosen.physical = chosen.physical[:, :STEPS]
        chosen.length[:] = STEPS + 1
        chosen.abundances = chosen.abundances[:, :1]
        chosen.split[:] = 255
        with TracerWriter(
            out,
            species=store.species,
            parameters=store.parameters,
            units=store.units,
            states=STEPS + 1,
            attributes={},
            solved=False,
        ) as writer:
            writer.append(chosen)
    return out


def overhead(
    tracers: int, solver: str, source: Path, repeats: int
) -> list[dict[str, float]]:
    """Return seconds of the solver alone and of the command, on one and two workers."""
    rows = []
    config = compose_generation([f"solver={solver}"])
    with tempfile.TemporaryDirectory() as folder:
        tracks = take_tracks(source, Path(folder) / "tracks.h5", tracers)
        for _ in range(repeats):
            row = {"alone": alone(config, tracks)}
            for workers in (1, 2):
                with connect(None, workers) as client:
                    began = time.monotonic()
                    generate(
                        tracks,
                        Path(folder) / "out.h5",
                        config,
                        scheduler=client.scheduler.address,
                        split=False,
                        overwrite=True,
                    )
                    row[f"{workers} workers"] = time.monotonic() - began
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    return rows


def alone(config: Any, tracks: Path) -> float:
    """Return the seconds of the solver for all tracers, one after another."""
    from astrokeras.workflows.generate import Tracks

    with TracerStore(tracks) as store, Host(config.solver) as host:
        jobs = list(
            Tracks(store, host, config, None).jobs(np.ones(store.tracers, bool))
        )
        began = time.monotonic()
        for job in jobs:
            host.solve(job.time, job.physical, job.initial)
        return time.monotonic() - began


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("overhead", "memory"))
    parser.add_argument("--tracers", type=int, nargs="+", default=[40])
    parser.add_argument("--seconds", type=float, default=SLEEP)
    parser.add_argument("--solver", default="uclchem")
    parser.add_argument("--source", type=Path, default=Path("data/grav.h5"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    if given.what == "overhead":
        rows = overhead(given.tracers[0], given.solver, given.source, given.repeats)
        print(json.dumps(rows, indent=1))
    elif len(given.tracers) == 1:
        print(json.dumps(memory(given.tracers[0], given.seconds)))
    else:
        # Each in a process of its own: a peak never falls.
        for tracers in given.tracers:
            words = ["memory", "--tracers", tracers, "--seconds", given.seconds]
            subprocess.run([sys.executable, __file__, *map(str, words)], check=True)


if __name__ == "__main__":
    main()
