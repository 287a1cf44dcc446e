"""Kill commands at random moments, resume them, compare with one never killed.

    KERAS_BACKEND=jax python tests/support/faults.py --kills 30 --seed 0

Each command runs once without a fault. Then it is killed (SIGKILL) either after a
random part of that time, or at a random one of the moments at which it renames, removes
or settles a file; then resumed, and its results must be the same bit for bit: history
and weights of a training, values and errors of a search, datasets of a file. The
commands run in children of a process that has imported Keras and computed nothing, so
that starting one takes no time.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from tiny import make_tracers, overrides, write_tracers

MOMENTS = ("replace", "fsync", "unlink", "mkdir")  # of `os`: what changes folders
ORDER = ("train", "predict", "train", "tune", "train", "import")
EPOCHS = ("autoencoder.fit.epochs=6", "emulator.fit.epochs=6", "calibration=0.5")
NOISE = (
    "autoencoder.dropout=0.2",
    "autoencoder.noise=0.1",
    "emulator.fit.lr_patience=1",
)
SEARCH = """
defaults:
  - schema
  - _self_
stage: autoencoder
algorithm: random
trials: 3
epochs:
  autoencoder: 3
space:
  autoencoder.fit.learning_rate: {min: 0.001, max: 0.01, log: true}
"""


@dataclass(frozen=True)
class Command:
    """A command line, how it goes on, and what it leaves behind.

    Attributes:
        words: The command line.
        read: Reads its results, by name, in the folder that it worked in.
        again: What is added to go on after a kill.
    """

    words: list[str]
    read: Callable[[Path], dict[str, object]]
    again: tuple[str, ...] = ("--resume",)


def read_run(folder: Path) -> dict[str, object]:
    """Return history and weights of the training."""
    run = folder / "runs" / "tiny"
    found: dict[str, object] = {
        "history": json.loads((run / "history.json").read_text())
    }
    found["csv"] = (run / "history.csv").read_text()
    found["stages"] = sorted(
        json.loads((run / "provenance.json").read_text())["stages"]
    )
    found["card"] = (run / "card.md").is_file()
    for path in sorted(run.glob("*.keras")):
        with zipfile.ZipFile(path) as archive:
            content = BytesIO(archive.read("model.weights.h5"))
        found |= read_hdf5(content, path.stem)
    for path in sorted(run.glob("checkpoints/*/*.npz")):
        with np.load(path) as arrays:
            found |= {f"{path.parent.name}/{path.name}/{k}": arrays[k] for k in arrays}
    return found


def read_search(folder: Path) -> dict[str, object]:
    """Return what was tried, and what came of it."""
    trials = sorted((folder / "runs" / "search" / "trials").glob("*/trial.json"))
    results = [json.loads(path.read_text()) for path in trials]
    return {"trials": [one | {"seconds": None} for one in results]}


def read_hdf5(path: object, prefix: str = "") -> dict[str, object]:
    """Return all datasets of a file."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                found[f"{prefix}/{name}"] = item[()]

        file.visititems(visit)
    return found


def make_commands(folder: Path) -> dict[str, Command]:
    """Write what the commands read and return them."""
    write_tracers(folder / "tiny.h5")
    many = make_tracers(per_simulation=6, seed=1)
    write_tracers(folder / "many.h5", many)
    groups = folder / "configs" / "tuner"
    groups.mkdir(parents=True)
    (groups / "faults.yaml").write_text(SEARCH)
    common = overrides(Path(), "board.every=10")
    quick = [word for word in common if "epochs" not in word and word != "name=tiny"]
    return {
        "train": Command(["train", *common, *EPOCHS, *NOISE], read_run),
        "autoencoder": Command(
            ["train", "autoencoder", *common, *EPOCHS, *NOISE], read_run
        ),
        "tune": Command(
            ["tune", "tuner=faults", "name=search", *quick, "runs_dir=runs"],
            read_search,
        ),
        "predict": Command(
            ["predict", "trained", "many.h5", "out.h5", "--batch-size", "4"],
            lambda folder: read_hdf5(folder / "out.h5"),
        ),
        "import": Command(
            ["data", "import", "many.h5", "--out", "out.h5"],
            lambda folder: read_hdf5(folder / "out.h5"),
            again=(),
        ),
    }


def run(
    words: list[str], folder: Path, after: float | None = None, moment: int = 0
) -> tuple[int, str, int]:
    """Run a command line in a child, and kill it after some seconds or at a moment.

    Returns:
        Its exit code (-9 if it was killed), what it said on stderr, and how many
        moments it had.
    """
    said, counted = folder / "said.txt", folder / "moments.txt"
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _work(words, folder, said, counted, moment)
    end = None if after is None else time.monotonic() + after
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if end is not None and time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            end = None
        time.sleep(0.005)
    moments = int(counted.read_text()) if counted.is_file() else 0
    return os.waitstatus_to_exitcode(status), said.read_text(), moments


def _work(
    words: list[str], folder: Path, said: Path, counted: Path, moment: int
) -> None:
    """Be the child: run a command line and end."""
    os.chdir(folder)
    counted.unlink(missing_ok=True)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    passed = 0

    def watched(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal passed
            passed += 1
            if passed == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in MOMENTS:
        setattr(os, name, watched(getattr(os, name)))
    code = 1
    try:
        sys.argv = ["astrokeras", *words]
        from astrokeras.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        counted.write_text(str(passed))
        os._exit(code)


def differences(ours: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """Return the names of results that are not the same, bit for bit."""
    names = sorted(ours.keys() | theirs.keys())
    return [
        name
        for name in names
        if name not in ours
        or name not in theirs
        or not np.array_equal(
            np.asarray(ours[name]), np.asarray(theirs[name]), **_options(ours[name])
        )
    ]


def _options(value: object) -> dict[str, bool]:
    return {"equal_nan": np.asarray(value).dtype.kind == "f"}


def fresh(source: Path, name: str) -> Path:
    """Return a folder like the source, with nothing in it that a command made."""
    folder = source.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    return folder


def leftovers(folder: Path) -> list[str]:
    """Return the names of what nobody wants to find after a command has ended."""
    found = [
        *folder.rglob("*partial*"),
        *folder.rglob(".lock"),
        *folder.glob("*.parts"),
    ]
    return [path.name for path in found]


def main() -> None:
    """Kill, resume, compare, and print a table; exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    names = sorted({"autoencoder", *ORDER})
    parser.add_argument("--only", nargs="*", choices=names, default=ORDER)
    chosen = parser.parse_args()
    order = chosen.only
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from astrokeras.system.backend import select_threads, start_keras

    select_threads("1")
    start_keras("cpu")

    draw = random.Random(chosen.seed)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        source = Path(scratch) / "source"
        source.mkdir()
        commands = make_commands(source)
        if "predict" in order:
            code, said, _ = run(commands["train"].words, source)
            assert code == 0, said
            (source / "runs" / "tiny").rename(source / "trained")
            shutil.rmtree(source / "runs")
        known = {}
        for name in dict.fromkeys(order):
            folder = fresh(source, f"{name}-whole")
            began = time.monotonic()
            code, said, moments = run(commands[name].words, folder)
            assert code == 0, said
            took = time.monotonic() - began
            known[name] = commands[name].read(folder), took, moments
            print(f"{name}: {took:.1f} s, {moments} moments, never killed", flush=True)
        print("kill  command  moment           after the kill", flush=True)
        for number in range(chosen.kills):
            name = order[number % len(order)]
            wrong += not _kill(number, name, commands[name], source, known[name], draw)
    print(f"{chosen.kills} kills, {wrong} of them with another result")
    sys.exit(bool(wrong))


def _kill(
    number: int,
    name: str,
    command: Command,
    source: Path,
    known: tuple[dict[str, object], float, int],
    draw: random.Random,
) -> bool:
    """Kill a command once and resume it; return whether all is as if nothing was."""
    expected, took, moments = known
    folder = fresh(source, "killed")
    while True:  # a command that was faster than its killer is not counted
        if draw.random() < 0.5:
            after = draw.uniform(0.05, 1.0) * took
            moment, when = 0, f"{after:5.2f} s"
            code, said, _ = run(command.words, folder, after=after)
        else:
            moment = draw.randint(1, moments)
            when = f"change {moment:3}/{moments}"
            code, said, _ = run(command.words, folder, moment=moment)
        if code == -signal.SIGKILL:
            break
        folder = fresh(source, "killed")
    words = list(command.words)
    code, said, _ = run([*words, *command.again], folder)
    how = "resumed"
    left = []
    # Killed when it had nothing left to do.
    if code == 2 and ("it was finished" in said or "out.h5: exists" in said):
        how, code, left = "finished before", 0, leftovers(folder)
    elif code == 2 and command.again and "start without --resume" in said:
        how = "nothing was done yet"
        code, said, _ = run(words, folder)
    if code != 0:
        print(f"{number + 1:4}  {name:8} {when:16} FAILED: {said.strip()[-300:]}")
        return False
    wrong = differences(command.read(folder), expected)
    wrong += [name for name in leftovers(folder) if name not in left]
    verdict = f"{how}, " + ("the same" if not wrong else f"DIFFERS in {wrong[:4]}")
    print(f"{number + 1:4}  {name:8} {when:16} {verdict}", flush=True)
    return not wrong


if __name__ == "__main__":
    main()
