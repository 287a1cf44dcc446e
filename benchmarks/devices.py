"""How training the emulator gains by a second process or device on one machine.

All trainings are started, but one of them is let go at a time, by turns, while the
others are stopped: so what else the machine does falls on all alike. Each process has
one thread. `half a batch` is what one of two processes computes, without the other:
what two of these are short of is the cost of summing gradients.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure

PLACE = ("training.distribution=data_parallel",)
# Words of each training's processes, and the threads of each.
TRAININGS: dict[str, tuple[list[tuple[str, ...]], int]] = {
    "one process": ([()], 1),
    "half a batch": ([("emulator.fit.batch_size=4",)], 1),
    "two processes": (
        [
            (*PLACE, "training.processes=2", f"training.rank={rank}")
            for rank in range(2)
        ],
        1,
    ),
}
# The command line with a clock: when each batch was done.
WORKER = """
import sys, time
from astrokeras.training import fit
out = open(sys.argv.pop(1), "w", buffering=1)
class Clock(fit.EpochBar):
    done = 0
    def on_train_batch_end(self, batch, logs=None):
        Clock.done += 1
        float(logs["loss"])
        print(time.time(), Clock.done, file=out)
fit.EpochBar = Clock
from astrokeras.cli import main
main()
"""


class Training:
    """A training of one or several processes that can be stopped and let go."""

    def __init__(self, name: str, folder: Path, data: Path, port: int):
        self.clock = folder / f"{name}.clock"
        sides, threads = TRAININGS[name]
        code = (
            f"import astrokeras.system.backend as b; b.select_backend('jax')\n{WORKER}"
        )
        self.processes = []
        for rank, words in enumerate(sides):
            clock = self.clock if rank == 0 else Path(os.devnull)
            where = [f"training.coordinator=127.0.0.1:{port}"] if len(sides) > 1 else []
            command = [sys.executable, "-c", code, str(clock), "train", "emulator"]
            command += [f"--threads={threads}", f"name={name.replace(' ', '_')}"]
            command += [f"dataset.path={data}", f"runs_dir={folder}", *words, *where]
            self.processes.append(
                subprocess.Popen(
                    command,
                    env=measure.environment(KERAS_BACKEND="jax"),
                    stdout=subprocess.DEVNULL,
                    stderr=(folder / f"{name}.{rank}.log").open("w"),
                )
            )

    def send(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)

    def batches(self) -> list[tuple[float, int]]:
        """Return when how many batches were done."""
        if not self.clock.is_file():
            return []
        lines = [line.split() for line in self.clock.read_text().splitlines()]
        return [(float(when), int(count)) for when, count in lines]

    def rate(self, seconds: float) -> float:
        """Let it go for some seconds and return batches a second."""
        begin = time.time()
        self.send(signal.SIGCONT)
        time.sleep(seconds)
        self.send(signal.SIGSTOP)
        # From the first batch that is done, not from the moment of waking up.
        marks = [mark for mark in self.batches() if mark[0] > begin]
        (first, low), (last, high) = marks[0], marks[-1]
        return (high - low) / (last - first)


def start(trainings: dict[str, Training], folder: Path, data: Path) -> None:
    """Start all trainings, each until its steps are compiled, and stop them."""
    words = ["train", "autoencoder", "name=first", f"dataset.path={data}"]
    words += [f"runs_dir={folder}", "autoencoder.fit.epochs=1", "--threads=1"]
    environment = measure.environment(KERAS_BACKEND="jax")
    subprocess.run([*measure.COMMAND, *words], env=environment, check=True)
    for number, name in enumerate(TRAININGS):
        run = folder / name.replace(" ", "_")
        subprocess.run(["cp", "-r", folder / "first", run], check=True)
        one = trainings[name] = Training(name, folder, data, 23450 + 2 * number)
        while len(one.batches()) < 80:
            if any(process.poll() is not None for process in one.processes):
                raise SystemExit((folder / f"{name}.0.log").read_text())
            time.sleep(0.2)
        one.send(signal.SIGSTOP)


def main() -> None:
    """Measure, print and write the figures."""
    parser = measure.options(__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of a turn")
    given = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in TRAININGS}
    with tempfile.TemporaryDirectory() as name:
        trainings: dict[str, Training] = {}
        try:
            start(trainings, Path(name), given.data.resolve())
            print("All are compiled.", flush=True)
            for _ in range(given.repeats):
                for kind, training in trainings.items():
                    taken[kind].append(training.rate(given.seconds))
                    print(kind, taken[kind][-1], flush=True)
        finally:
            for training in trainings.values():
                training.send(signal.SIGKILL)
    figures: dict[str, Any] = {}
    for kind, rates in taken.items():
        pairs = zip(rates, taken["one process"], strict=True)
        figures[kind] = {
            "batches_per_second": rates,
            "median": statistics.median(rates),
            "ratio": statistics.median(one / other for one, other in pairs),
        }
        print(f"{kind:28s} {figures[kind]['median']:7.2f} batches/s", end="  ")
        print(f"{figures[kind]['ratio']:5.2f} x")
    path = given.out / "distributed.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
