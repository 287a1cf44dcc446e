"""Write the files that every later version must still read: those of version 0.1.0.

    python tests/make_old_files.py

makes, with the command line alone, a tiny tracer file, runs of every kind, an
interrupted training, a search, an export and a prediction in a new folder, asks the
surrogates what they answer, and packs all of it into `tests/old/version0.1.0.tar.xz`.
What the configuration was goes to `tests/old/configuration0.1.0.json`. Run on the
TensorFlow backend. The files of a version are never written again; this is the record
of how they were made. Those of version 0.1.0 hold an ensemble of whole surrogates
besides, which later versions refuse.
"""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from surrogates import emulate_with_risks
from tiny import SPECIES, make_tracers

import astrokeras
from astrokeras import cli, config
from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.writer import TracerWriter

OLD = Path(__file__).parent / "old"
VERSION = astrokeras.__version__
PARAMETERS = ("Density", "Radfield", "Av", "gasTemp")
UNITS = ("H nuclei cm^-3", "Habing", "mag", "K")
DATA = (
    "dataset.name=tiny",
    "dataset.path=tiny.h5",
    "dataset.initial_abundances=null",
)
# Small networks, a few epochs; AdamW is compiled sooner than Muon.
SMALL = (
    *DATA,
    "board.every=0",
    "autoencoder.widths=[16]",
    "autoencoder.latents=3",
    "autoencoder.fit.epochs=3",
    "autoencoder.fit.batch_size=32",
    "autoencoder.fit.optimizer=adamw",
    "emulator.hidden=[16]",
    "emulator.window=[4,8]",
    "emulator.stride=2",
    "emulator.fit.epochs=3",
    "emulator.fit.batch_size=4",
    "emulator.fit.optimizer=adamw",
)
RUNS = {
    # Every default: timed, rates, relaxing, conserve, carry, joint, calibrated.
    "projection": (*SMALL, "autoencoder.fit.optimizer=muon"),
    # The reference: what the default leaves out, and nothing of what it has.
    "dense": (
        "autoencoder=reference",
        "emulator=reference",
        *SMALL,
        "emulator.stride=1",
        "calibration=0",
        "seed=2",
    ),
    "stopped": (*SMALL, "seed=7", "calibration=0", "emulator.fit.epochs=4"),
}
UNTIL = 2  # epochs of the emulator after which `stopped` is killed
SEARCH = """defaults:
  - schema
  - _self_

stage: emulator
algorithm: random
trials: 2
initial: 1
best: 1
autoencoder: projection
epochs:
  emulator: 1
space:
  emulator.states_per_window: {min: 2, max: 4}
  emulator.native_step_fraction: {min: 0.2, max: 0.9}
  emulator.finetune_autoencoder: {}
  emulator.reconstruction:
    min: 0.05
    max: 1.0
    log: true
    when:
      emulator.finetune_autoencoder: true
"""
TRACKS = ("simulations=1", "tracers=2", "steps=6", "step=100")


def run(*words: object) -> str:
    """Run a command of `astrokeras` in this process, and return what it printed."""
    print("$ astrokeras", *words, flush=True)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        cli.app([str(word) for word in words], standalone_mode=False)
    return output.getvalue()


def make_given() -> Tracers:
    """Return the tiny tracers with a temperature beside their three parameters."""
    tracers = make_tracers()
    warm = 10 + 40 / (1 + tracers.physical[..., 2:3])
    physical = np.concatenate([tracers.physical, warm], axis=-1).astype("f4")
    return dataclasses.replace(tracers, physical=physical)


def write_given(path: Path) -> Tracers:
    """Write the tracer file of all runs."""
    tracers = make_given()
    with TracerWriter(
        path,
        species=SPECIES,
        parameters=PARAMETERS,
        units=UNITS,
        states=tracers.time.shape[1],
        attributes={"source": "tests", "fixed": ["zeta = 1"]},
    ) as writer:
        writer.append(tracers)
    return tracers


def stop(name: str) -> None:
    """Train a run in a process of its own and kill it between two epochs."""
    words = ["train", *RUNS[name], f"name={name}"]
    code = "from astrokeras.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *words])
    folder = Path("saved_models") / name / "checkpoints" / "emulator"
    while not (folder / f"epoch-{UNTIL}.npz").is_file():
        assert process.poll() is None, "the training has ended"
        time.sleep(0.001)
    while json.loads((folder / "state.json").read_text())["arrays"] != (
        f"epoch-{UNTIL}.npz"
    ):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def make_runs() -> None:
    """Train, evaluate, search, export and predict, in the working directory."""
    run("data", "tracks", "turbulent", "tracks.h5", *TRACKS)
    for name, settings in RUNS.items():
        if name != "stopped":
            run("train", *settings, f"name={name}")
    for name in ("projection", "dense"):
        run("evaluate", name)
    stop("stopped")
    # The same, never interrupted, tells how the interrupted one must end.
    run("train", *RUNS["stopped"], "name=whole")
    Path("configs/tuner").mkdir(parents=True)
    Path("configs/tuner/old.yaml").write_text(SEARCH)
    run("tune", "tuner=old", *RUNS["projection"], "name=search")
    run("export", "projection", "--to", "numpy")
    run("predict", "projection", "tiny.h5", "predicted.h5")


def answer(tracers: Tracers) -> None:
    """Write what each surrogate answers, beside what it was given."""
    initial, physical = tracers.abundances[::5, 0], tracers.physical[::5]
    years = tracers.time[0]
    found = {"initial": initial, "physical": physical, "years": years}
    for name in ("projection", "dense"):
        surrogate = astrokeras.load(name)
        values = {"latents": surrogate.encode(initial)}
        values["decoded"] = surrogate.decode(values["latents"])
        if surrogate.trust is None:
            values["abundances"] = surrogate.emulate(initial, physical, years)
        else:
            *asked, risks = emulate_with_risks(
                surrogate, initial, physical, years, return_sigma=True
            )
            values |= zip(("abundances", "sigma"), asked, strict=True)
            values["trust"] = 1 / (1 + risks)
        found |= {f"{name}_{key}": value for key, value in values.items()}
    np.savez("answers.npz", **found)
    shutil.copy("saved_models/whole/history.json", "whole_history.json")
    settings = {name: [*words, f"name={name}"] for name, words in RUNS.items()}
    settings["search"] = ["tuner=old", *RUNS["projection"], "name=search"]
    settings["tracks"] = list(TRACKS)
    Path("overrides.json").write_text(json.dumps(settings, indent=1))


def prune() -> None:
    """Remove what a later version makes anew, and what is large and told elsewhere."""
    models = Path("saved_models")
    shutil.rmtree(models / "whole")
    shutil.rmtree(models / ".cache")
    for path in sorted(Path().rglob("*")):
        kept = "emulator" in path.parts
        drop = path.name in ("figures", "tensorboard", "report.html", "__pycache__")
        drop |= path.name == "checkpoints" and "stopped" not in path.parts
        drop |= path.parent == models / "stopped" / "checkpoints" and not kept
        # Of the trials of a search their results are read, and no model.
        drop |= "trials" in path.parts and path.suffix == ".keras"
        if drop and path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made a file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def dump_configuration() -> dict[str, object]:
    """Return every key of the configuration, by command, with its value by default."""
    composed = {
        "train": config.compose(),
        "tune": {"tuner": config.compose_tuner()},
        "generate": config.compose_generation(),
        "collapse": {"tracks": config.compose_tracks("collapse")},
        "turbulent": {"tracks": config.compose_tracks("turbulent")},
    }
    return {
        name: dataclasses.asdict(one)
        if dataclasses.is_dataclass(one)
        else {key: dataclasses.asdict(value) for key, value in one.items()}
        for name, one in composed.items()
    }


def main() -> None:
    """Write both files of this version."""
    settings = json.dumps(dump_configuration(), indent=1)
    folder = tempfile.mkdtemp()
    print("in", folder)
    os.chdir(folder)
    tracers = write_given(Path("tiny.h5"))
    make_runs()
    answer(tracers)
    prune()
    with tarfile.open(OLD / f"version{VERSION}.tar.xz", "w:xz", preset=9) as file:
        for path in sorted(Path().iterdir()):
            file.add(path, filter=anonymous)
    (OLD / f"configuration{VERSION}.json").write_text(settings + "\n")


if __name__ == "__main__":
    main()
