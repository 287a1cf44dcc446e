"""Files and runs of version 0.1.0, as it wrote them, are read and say the same.

`make_old_files.py` made them. Files are given as they are, old names included; where a
test itself speaks to the package, names that have changed since are spelled at the top
of this file and nowhere else.
"""

import dataclasses
import importlib.util
import json
import re
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from surrogates import emulate_with_risks

import astrokeras
from astrokeras import config
from astrokeras.models.status import Status
from astrokeras.system.old_names import new_key

OLD = Path(__file__).parent / "old"
VERSION = "0.1.0"

OLD_DATASETS, NEW_DATASETS = {"trust"}, {"expected_error"}
"""Datasets of a predicted file that were replaced by others."""

NAMES = ("projection", "dense")
SCHEMAS = {"collapse": "collapse_schema", "turbulent": "turbulent_schema"}
# A rounding of float32 in the scaled abundance is 3e-6 of the abundance itself.
# TensorFlow wrote the answers: there only other processors round in another way.
SAME = 2.3e-5  # 1e-5 dex

# Warnings of what lies outside the trained ranges.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder in which the old version worked, as the working directory."""
    with tarfile.open(OLD / f"version{VERSION}.tar.xz") as packed:
        # Python 3.11.3 and earlier have no filter; later ones warn without one.
        known = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        packed.extractall(tmp_path, **known)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(files, cli):
    """Run a command line in that folder; it must succeed."""

    def run(*words):
        result = cli(*words)
        assert result.exit_code == 0, result.stderr
        return result

    return run


def overrides(name):
    """Return the overrides with which the old version made something."""
    return [
        renamed(word) for word in json.loads(Path("overrides.json").read_text())[name]
    ]


def renamed(word):
    """Return a key or an override by today's name of the key."""
    key, equals, value = word.partition("=")
    space, field = re.fullmatch(r"(tuner\.space\.)?(.*)", key).groups()
    if not space:
        return f"{new_key(key) or key}{equals}{value}"
    # A field of a search, and maybe a setting of its range, or a condition.
    parts = field.split(".")
    names = [new_key(".".join(parts[:n])) for n in range(len(parts), 0, -1)]
    n, name = next(((len(parts) - i, x) for i, x in enumerate(names) if x), (0, ""))
    rest = [name] * bool(name) + parts[n:]
    return f"{space}{'.'.join(rest)}{equals}{value}"


def answers(name):
    """Return what a surrogate was given, and what it answered."""
    with np.load("answers.npz") as known:
        given = tuple(known[key] for key in ("initial", "physical", "years"))
        start = f"{name}_"
        found = {
            key.removeprefix(start): known[key]
            for key in known.files
            if key.startswith(start)
        }
    return given, found


@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_says_what_it_said(files, name):
    surrogate = astrokeras.load(name)
    (initial, physical, years), known = answers(name)

    found = {
        "latents": surrogate.encode(initial),
        "decoded": surrogate.decode(known["latents"]),
    }
    if "trust" in known:
        *asked, risks = emulate_with_risks(
            surrogate, initial, physical, years, return_sigma=True
        )
        found |= zip(("abundances", "sigma"), asked, strict=True)
        found["trust"] = 1 / (1 + risks)
    else:
        found["abundances"] = surrogate.emulate(initial, physical, years)

    assert found.keys() == known.keys()
    for key, value in known.items():
        least = 1e-5 if key in ("latents", "trust") else 0
        np.testing.assert_allclose(found[key], value, SAME, least, err_msg=key)


def test_an_ensemble_of_whole_surrogates_is_refused(files, cli):
    result = cli("predict", "ensemble", "tiny.h5", "out.h5")

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "ensemble/surrogate.keras: is an ensemble of whole" in result.stderr
    assert "emulator.members=3" in result.stderr
    assert not Path("out.h5").exists()


def test_the_command_line_shows_old_runs(command):
    listed = json.loads(command("models", "list", "--json").stdout)
    listed = {one["name"]: one for one in listed}
    for name in NAMES:
        metrics = json.loads(Path(f"saved_models/{name}/metrics.json").read_text())
        shown = json.loads(command("models", "show", name, "--json").stdout)

        assert listed[name]["metrics"]["dex"] == metrics["dex"]
        assert shown["metrics"]["dex"] == metrics["dex"]
        assert len(shown["surrogate"]["species"]) == 10
        text = command("models", "show", name, "--all").stdout
        assert Path(f"saved_models/{name}/card.md").read_text().strip("\n") in text
        assert f"{metrics['dex']:.4g}" in text


def test_old_figures_are_measured_again(command):
    metrics = json.loads(Path("saved_models/dense/metrics.json").read_text())

    found = json.loads(command("evaluate", "dense", "--out", "report", "--json").stdout)

    for key in ("dex", "dex_seen", "dex_final"):
        assert found[key] == pytest.approx(metrics[key], rel=1e-5)
    assert found["tracers"] == metrics["tracers"]


def test_an_old_prediction_is_made_again_and_read(command):
    command("predict", "projection", "tiny.h5", "again.h5")

    with h5py.File("predicted.h5") as old, h5py.File("again.h5") as new:
        assert set(old) - set(new) == OLD_DATASETS
        assert set(new) - set(old) == NEW_DATASETS
        for name in set(old) & set(new) - {"status"}:
            known = old[name]
            if known.dtype.kind == "f":
                np.testing.assert_allclose(new[name], known, SAME, err_msg=name)
            else:
                np.testing.assert_array_equal(new[name], known, name)
        check_status(old["status"][:], new["status"][:], old["trust"][:])
    for file, tracers in (("tiny.h5", 20), ("predicted.h5", 20), ("tracks.h5", 2)):
        found = json.loads(command("data", "inspect", file, "--json").stdout)
        assert found["tracers"] == tracers


def check_status(old, new, trust):
    """Compare states by their bits with what version 0.1.0 called them: 0 fine,
    1 outside the ranges, 2 not finite or beyond the end, 3 of trust below 0.5.
    """
    outside = Status.PARAMETER | Status.TIME | Status.UNLIKE
    assert not new[(old == 0) & (trust >= 0.5)].any()
    assert (new[old == 1] & np.uint8(outside) > 0).all()
    assert (new[old == 3] > 0).all()
    assert len({0, 1, 2, 3} & set(old.ravel().tolist())) > 1


def test_old_tracks_are_predicted(command):
    words = ("--initial", "tiny", "--json")
    done = command("predict", "projection", "tracks.h5", "out.h5", *words)

    assert json.loads(done.stdout)["tracers"] == 2


@pytest.mark.parametrize("name", NAMES)
def test_an_old_run_is_known_as_finished(command, cli, name):
    run = Path("saved_models") / name
    before = {path: path.read_bytes() for path in run.rglob("*.keras")}
    words = (*overrides(name), f"name={name}")

    command("train", "--resume", *words)
    refused = cli("train", "--resume", *words, "autoencoder.latents=4")

    assert {path: path.read_bytes() for path in run.rglob("*.keras")} == before
    assert refused.exit_code == 2
    assert "autoencoder is trained, with latents 3 and not 4" in refused.stderr


@pytest.mark.slow
def test_an_old_interrupted_training_is_resumed(command):
    history = Path("saved_models/stopped/history.json")
    begun = json.loads(history.read_text())
    whole = json.loads(Path("whole_history.json").read_text())

    command("train", "--resume", *overrides("stopped"))

    ended = json.loads(history.read_text())
    assert ended["autoencoder"] == begun["autoencoder"]
    assert ended["emulator"][: len(begun["emulator"])] == begun["emulator"]
    for ours, theirs in zip(ended["emulator"], whole["emulator"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_search_is_shown_and_resumed(command):
    pytest.importorskip("keras_tuner", exc_type=ImportError)
    words = overrides("search")
    folder = Path("saved_models/search")
    trials = [json.loads(path.read_text()) for path in folder.glob("trials/*/*.json")]
    trials = sorted(
        (one for one in trials if "val_dex" in one), key=lambda one: one["val_dex"]
    )

    shown = json.loads(command("tune", "--show", "--json", *words).stdout)
    resumed = json.loads(command("tune", "--resume", "--json", *words).stdout)

    assert len(trials) == 2
    for found in (shown, resumed):
        for one, known in zip(found["trials"], trials, strict=True):
            assert one["val_dex"] == known["val_dex"]
            tried = {renamed(key): v for key, v in known["values"].items()}
            assert one["values"] == tried


def test_variants_that_an_old_search_wrote_are_trained(command):
    folder = Path("saved_models/search/configs")
    (written,) = folder.glob("emulator/best-*.yaml")
    group = {"emulator": yaml.safe_load(written.read_text())}
    del group["emulator"]["defaults"]
    words = ["autoencoder=best-1", "emulator=best-1"]

    composed = compose("train", words, folder)
    data = [word for word in overrides("search") if word.startswith("dataset.")]
    command("train", "--mode", "preprocess", "--config-dir", folder, *words, *data)

    assert flat(group).items() <= composed.items()


def test_an_old_export_is_read(files):
    (initial, physical, years), known = answers("projection")
    (path,) = files.glob("exports/*/surrogate.npz")
    # An export brings its reader along.
    spec = importlib.util.spec_from_file_location(
        "numpy_reader", path.with_name("numpy_reader.py")
    )
    reader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reader)
    steps = np.broadcast_to(np.diff(years), physical.shape[:2])

    found = reader.Surrogate(path).rollout(initial, physical, steps)

    expected = known["abundances"][:, 1:]
    np.testing.assert_allclose(np.log10(found), np.log10(expected), atol=1e-4)


def dump(command):
    """Return every key of the old configuration of a command, nested."""
    return json.loads((OLD / f"configuration{VERSION}.json").read_text())[command]


def flat(values, prefix=""):
    """Return nested values as one dictionary, by today's dotted keys."""
    found = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found |= flat(value, f"{name}.")
        else:
            found[renamed(name)] = value
    return found


def compose(command, words=(), folder=None, variant=None):
    """Return the configuration of a command by dotted keys."""
    if command == "train":
        return flat(dataclasses.asdict(config.compose(words, folder)))
    if command == "generate":
        return flat(dataclasses.asdict(config.compose_generation(words, folder)))
    if command == "tune":
        group, composed = "tuner", config.compose_tuner(words, folder)
    else:
        variant = variant or command
        group, composed = "tracks", config.compose_tracks(variant, words, folder)
    return flat({group: dataclasses.asdict(composed)})


COMMANDS = ("train", "tune", "generate", "collapse", "turbulent")


@pytest.mark.parametrize("command", COMMANDS)
def test_variants_with_every_old_key_are_read(command, tmp_path):
    """Such as a user has in `configs/`: under their old names."""
    groups = {k: v for k, v in dump(command).items() if isinstance(v, dict)}
    groups = {k: v for k, v in groups.items() if k not in ("board", "training")}
    for group, values in groups.items():
        defaults = [SCHEMAS.get(command, "schema"), "_self_"]
        path = tmp_path / group / "old.yaml"
        path.parent.mkdir()
        path.write_text(yaml.safe_dump({"defaults": defaults} | values))
    chosen = [] if command in SCHEMAS else [f"{group}=old" for group in groups]

    composed = compose(command, chosen, tmp_path, "old")

    assert flat(groups).items() <= composed.items()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_old_key_is_an_override(command):
    values = flat(dump(command))
    words = [
        f"{key}={json.dumps(value)}"
        for key, value in values.items()
        if not key.startswith("tuner.space.")  # whose keys have dots of their own
    ]
    values.pop("members", None)  # of whole surrogates, and 1

    # Younger keys may have come.
    assert values.items() <= compose(command, words).items()
