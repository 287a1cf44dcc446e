"""What `data generate` costs beside its solver: time, scaling, memory.

python benchmarks/generation.py overhead --tracers 40   # UCLCHEM, or --solver network
python benchmarks/generation.py memory --tracers 2000 20000
python benchmarks/generation.py memory --tracers 1000000 --stop 20000
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import measure
import numpy as np

from astrokeras.config import compose_generation
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.generation.generate import generate
from astrokeras.generation.solver_inputs import NETWORK, SolverInputs
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import Parameter, Solver

STEPS = 30


class Sleeper(Solver):
    """Solves nothing in a given time."""

    species = ("H", "H2", "CO")
    initial = np.array([0.5, 0.25, 1e-4])

    def __init__(self, config: Any):
        self.seconds = config.options["seconds"]
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


class Enough(Exception):
    """As many tracers as were wanted are solved."""


def memory(tracers: int, seconds: float, stop: int | None) -> dict[str, float]:
    """Return the peak of the command's own process, MB, and its rate.

    Args:
        tracers: Of the file.
        seconds: That each is slept through.
        stop: Tracers after which it ends, without a file; all by default.
    """
    solved = 0

    def count(done: int, failed: int, total: int) -> None:
        nonlocal solved
        solved = done
        if done % max(total // 20, 1) == 0:
            print(f"{done} of {total}, {failed} failed", file=sys.stderr, flush=True)
        if done == stop:
            raise Enough

    words = [
        f"solver.kind={Path(__file__).stem}:Sleeper",
        f"solver.options.seconds={seconds}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        tracks = write_tracks(Path(folder) / "tracks.h5", tracers)
        began = time.monotonic()
        with suppress(Enough):
            generate(
                tracks,
                Path(folder) / "out.h5",
                compose_generation(words),
                split=False,
                progress=count,
            )
    rate = solved / (time.monotonic() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"tracers": tracers, "solved": solved, "peak MB": peak, "tracers/s": rate}


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


def overhead(given: argparse.Namespace) -> dict[str, Any]:
    """Return seconds of the solver alone and of the command, on one and two workers."""
    config = compose_generation([f"solver={given.solver}"])
    with tempfile.TemporaryDirectory() as folder:
        tracks = take_tracks(given.data, Path(folder) / "tracks.h5", given.tracers[0])

        def command(workers: int) -> None:
            out = Path(folder) / "out.h5"
            generate(
                tracks,
                out,
                config,
                initial=NETWORK,
                workers=workers,
                split=False,
                overwrite=True,
            )

        taken = measure.alternate(
            {
                "command, 1 worker": lambda: command(1),
                "command, 2 workers": lambda: command(2),
                "solver alone": lambda: alone(config, tracks),
            },
            given.repeats,
            warm_up=0,
        )
    return {"solver": given.solver, "tracers": given.tracers[0], "steps": STEPS} | taken


def alone(config: Any, tracks: Path) -> None:
    """Solve all tracers, one after another, in one process."""
    with TracerStore(tracks, need_abundances=False) as store:
        with SolverProcess(config.solver) as host:
            wanted = np.ones(store.tracers, bool)
            for job in SolverInputs(store, host, config, NETWORK).jobs(wanted):
                host.solve(job.time, job.physical, job.initial)


def main() -> None:
    """Measure, print and write."""
    parser = measure.options(__doc__, repeats=3)
    parser.add_argument("what", choices=("overhead", "memory"))
    parser.add_argument("--tracers", type=int, nargs="+", default=[40])
    parser.add_argument("--seconds", type=float, default=0.0, help="of a sleeper")
    parser.add_argument("--stop", type=int, help="when so many are solved")
    parser.add_argument("--solver", default="uclchem")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.what == "overhead":
        figures = overhead(given)
        rows = [("", "seconds", "over 1 worker's")]
        for name in ("command, 1 worker", "command, 2 workers", "solver alone"):
            ratio = figures["ratios"].get(name)
            shown = "" if ratio is None else measure.show(ratio)
            rows.append((name, measure.show(figures[name]), shown))
        measure.table(rows)
        measure.write("generation_overhead", figures, given.out)
        return
    if given.one:
        print(json.dumps(memory(given.tracers[0], given.seconds, given.stop)))
        return
    # Each in a process of its own: a peak never falls.
    found = []
    for tracers in given.tracers:
        words = ["memory", "--one", "--tracers", tracers, "--seconds", given.seconds]
        if given.stop is not None:
            words += ["--stop", given.stop]
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=measure.environment(PYTHONPATH=str(Path(__file__).parent)),
        )
        found.append(json.loads(done.stdout))
        print(found[-1], flush=True)
    measure.write("generation_memory", {"sizes": found}, given.out)


if __name__ == "__main__":
    main()
