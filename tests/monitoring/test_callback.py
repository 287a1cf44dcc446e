"""What a training writes for TensorBoard, against NumPy on the same tracers."""

import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import BACKEND, ROOT
from keras import ops
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray
from tiny import SPECIES, make_tracers, overrides, write_tracers

import astrokeras
from astrokeras.config import STAGES, ConfigError, compose
from astrokeras.data.pipeline.training_cache import prepare
from astrokeras.data.pipeline.validation_samplers import RolloutSampler
from astrokeras.errors import WorkError
from astrokeras.monitoring.callback import Board
from astrokeras.monitoring.event_files import PATTERN, EventWriter, cut
from astrokeras.monitoring.example_tracers import Sample
from astrokeras.runs.directory import Run
from astrokeras.training.checkpoint import Checkpoint
from astrokeras.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")

# Of H, C and O in `SPECIES`.
ATOMS = np.array(
    [
        [1, 2, 0, 1, 2, 0, 0, 2, 2, 0],
        [0] * 5 + [1, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 1, 1, 1, 0],
    ]
).T
LIVELY = (
    "autoencoder.dropout=0.2",
    "autoencoder.noise=0.1",
    "autoencoder.fit.anneal_patience=1",
    "autoencoder.loss.tail=0.5",
    "autoencoder.loss.conservation=0.3",
    "emulator.loss.tail=0.5",
    "emulator.states_per_window=2",
    "board.every=2",
)


def read(folder):
    """Return {tag: [(step, array)]} of a folder's event files, but for the graph."""
    found = {}
    for path in sorted(folder.glob(PATTERN)):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                entry = (event.step, make_ndarray(value.tensor))
                found.setdefault(value.tag, []).append(entry)
    found.pop("__run_graph__", None)
    return found


def steps(events, tag):
    return [step for step, _ in events[tag]]


def history(run, stage):
    return json.loads((run.path / "history.json").read_text())[stage]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tensorboard")
    write_tracers(path / "tiny.h5")
    return path


def randomness(board):
    """Return all that a look must leave as it is."""
    variables = [*board.model.variables, *board.model.optimizer.variables]
    values = [ops.convert_to_numpy(variable.value).tolist() for variable in variables]
    return values, random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.fixture(scope="module")
def looks():
    """What a look found and left, filled by `run`."""
    return []


@pytest.fixture(scope="module")
def run(folder, looks):
    look = Board._write_predictions

    def watched(self, number):
        before = randomness(self)
        look(self, number)
        looks.append((before, randomness(self)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Board, "_write_predictions", watched)
        return train(compose(overrides(folder, *LIVELY)))


@pytest.fixture(scope="module")
def events(run):
    return {stage: read(run.tensorboard / stage) for stage in STAGES}


@pytest.fixture(scope="module")
def predicted(run):
    """Scaled truth and prediction of the validation tracers after the last epoch."""
    tracers = make_tracers()
    rows = tracers.split == 1
    truth = np.maximum(tracers.abundances[rows], 1e-20).astype("f8")
    scaled = (1 + np.log10(truth) / 20).astype("f4")
    with np.load(run.checkpoint("emulator") / "epoch-4.npz") as file:
        last = [file[key] for key in file.files]
    surrogate = astrokeras.load(run.path)
    emulator = surrogate.emulator
    for variable, value in zip(emulator.variables, last, strict=False):
        variable.assign(value)
    years = np.full((rows.sum(), 12), 100.0, "f4")
    told = surrogate.features(tracers.physical[rows], years)
    return scaled, ops.convert_to_numpy(emulator((scaled[:, 0], told)))


@pytest.mark.parametrize("stage", STAGES)
def test_each_epoch_has_the_figures_of_the_history(run, events, stage):
    found = events[stage]

    for row in history(run, stage):
        at = row["epoch"] - 1
        for name in ("loss", "dex", "val_loss", "val_dex"):
            step, value = found[name][at]
            assert (step, float(value)) == (at + 1, pytest.approx(row[name], rel=1e-6))
        rate = float(found["schedule/learning_rate"][at][1])
        assert rate == pytest.approx(row["learning_rate"], rel=1e-6)
    assert steps(found, "val_dex") == [1, 2, 3, 4]


def test_strengths_are_those_that_an_epoch_was_trained_with(run, events):
    found = events["autoencoder"]
    rates = [float(value) for _, value in found["schedule/drop"]]
    best, expected, strength = np.inf, [], 0.2
    for row in history(run, "autoencoder"):
        expected.append(strength)
        strength *= 1.0 if row["val_dex"] < best else 0.5
        best = min(best, row["val_dex"])

    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert "schedule/latent_noise" in found


@pytest.mark.parametrize("stage", STAGES)
def test_percentiles_and_histogram_are_of_the_species_errors(run, events, stage):
    found = events[stage]
    for row, (_, median), (_, worst) in zip(
        history(run, stage),
        found["val_dex_species/p50"],
        found["val_dex_species/worst"],
        strict=True,
    ):
        assert median < row["val_dex"] * 2
        assert worst >= row["val_dex"]
    for step, buckets in found["val_dex_species"]:
        assert buckets.shape == (30, 3)
        assert buckets[:, 2].sum() == len(SPECIES)
        worst = float(found["val_dex_species/worst"][step - 1][1])
        assert buckets[-1, 1] == pytest.approx(worst, rel=1e-6)
    assert steps(found, "val_dex_species") == [1, 2, 4]


def test_the_last_look_is_numpys(predicted, events):
    """Species, terms and elements, from the weights of the last epoch."""
    truth, rolled = predicted
    found = {
        tag: float(v[-1][1])
        for tag, v in events["emulator"].items()
        if v[-1][1].ndim == 0
    }
    error = 20 * (rolled[:, 1:].astype("f8") - truth[:, 1:])
    clipped = np.abs(20 * (np.clip(rolled[:, 1:], 0, 1) - truth[:, 1:])).mean((0, 1))

    for name, expected in (
        ("p50", np.percentile(clipped, 50)),
        ("p90", np.percentile(clipped, 90)),
        ("p99", np.percentile(clipped, 99)),
        ("worst", clipped.max()),
    ):
        assert found[f"val_dex_species/{name}"] == pytest.approx(expected, rel=1e-3)

    free = np.maximum(error, 0) + np.minimum(error + 0.5, 0)
    error = np.where(truth[:, 1:] > 1e-6, error, free)
    huber = (np.sqrt(error**2 + 0.01).mean(-1) - 0.1).mean()
    tail = 0.5 * np.sqrt((error**2).mean(-1) + 1e-8).mean()
    assert found["val_loss_terms/huber"] == pytest.approx(huber, rel=1e-3)
    assert found["val_loss_terms/tail"] == pytest.approx(tail, rel=1e-3)

    first = 10.0 ** (20 * (truth[:, :1].astype("f8") - 1)) @ ATOMS
    totals = 10.0 ** (20 * (np.clip(rolled[:, 1:], -0.025, 1).astype("f8") - 1)) @ ATOMS
    off = (np.abs(totals - first) / first).mean((0, 1))
    for element, expected in zip("HCO", off, strict=True):
        name = f"val_conservation/{element}"
        assert found[name] == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("stage", STAGES)
def test_pictures_come_every_few_epochs(events, stage):
    pictures = events[stage]["tracers"]

    assert steps(events[stage], "tracers") == [1, 2, 4]
    for _, (width, height, png) in pictures:
        assert png.startswith(b"\x89PNG")
        assert png[16:24] == int(width).to_bytes(4) + int(height).to_bytes(4)
    assert len({png for _, (_, _, png) in pictures}) == 3


def test_a_sample_is_the_first_validation_tracers(folder):
    config = compose(overrides(folder))
    cache = prepare(folder / "tiny.h5", Path(config.cache_dir), 1e-20)
    sample = Sample.of(RolloutSampler(cache, 2))

    tracers = make_tracers()
    own = np.flatnonzero(tracers.split == 1)
    assert sample.truth.shape == (2, 13, len(SPECIES))
    assert not sample.counts[:, 0].any()
    assert sample.counts[:, 1:].all()
    for scaled, physical, years in zip(
        sample.truth, sample.physical, sample.years, strict=True
    ):
        states = 10.0 ** (20 * (scaled.astype("f8") - 1))
        off = np.abs(np.log10(tracers.abundances[own, -1]) - np.log10(states[-1]))
        nearest = own[off.max(1).argmin()]
        np.testing.assert_allclose(
            states, np.maximum(tracers.abundances[nearest], 1e-20), rtol=1e-4
        )
        np.testing.assert_allclose(physical, tracers.physical[nearest], rtol=1e-5)
        np.testing.assert_allclose(years, 100.0)


def test_a_look_leaves_variables_and_random_states_alone(run, looks):
    assert len(looks) == 6
    for before, after in looks:
        assert before == after


def test_watching_changes_no_bit(folder, run):
    blind = train(compose(overrides(folder, "name=blind", *LIVELY, "board.every=0")))

    assert not any("tracers" in read(blind.tensorboard / stage) for stage in STAGES)
    for stage in STAGES:
        assert history(blind, stage) == history(run, stage)
        ours, theirs = (
            np.load(one.checkpoint(stage) / "epoch-4.npz") for one in (run, blind)
        )
        for key in ours.files:
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_the_hparams_are_the_settings_of_the_stage(run, events):
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    (path,) = (run.tensorboard / "emulator").glob("*.hparams")
    data = {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }
    values = data[metadata.SESSION_START_INFO_TAG].session_start_info.hparams
    assert values["fit.batch_size"].number_value == 4
    assert values["window"].string_value == "[4, 8]"
    assert values["loss.tail"].number_value == 0.5
    assert values["conserve"].bool_value
    assert values["backend"].string_value == BACKEND
    best = min(row["val_dex"] for row in history(run, "emulator"))
    assert float(events["emulator"]["hparams/best_val_dex"][0][1]) == pytest.approx(
        best
    )


@pytest.mark.parametrize(
    "stage", ["autoencoder", pytest.param("emulator", marks=pytest.mark.long)]
)
def test_a_resumed_training_is_shown_once(folder, run, events, stage):
    """It is killed after TensorBoard has an epoch and before the checkpoint has."""

    class Killed(Exception):
        pass

    config = compose(overrides(folder, f"name=killed_{stage}", *LIVELY))
    stages = STAGES[: STAGES.index(stage) + 1]
    with pytest.MonkeyPatch.context() as patch:
        keep = Checkpoint.on_epoch_end

        def killed(self, epoch, logs=None):
            if epoch == 2 and self.folder.name == stage:
                raise Killed
            keep(self, epoch, logs)

        patch.setattr(Checkpoint, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(config, stages)
    killed_run = Run(Path(config.runs_dir) / config.name)
    assert steps(read(killed_run.tensorboard / stage), "val_dex") == [1, 2, 3]
    again = train(config, stages, resume=True)

    resumed = read(again.tensorboard / stage)
    assert set(resumed) == set(events[stage])
    for tag in resumed:
        assert steps(resumed, tag) == steps(events[stage], tag)
        for (_, ours), (_, theirs) in zip(
            resumed[tag], events[stage][tag], strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_a_torn_record_is_cut_off(tmp_path):
    writer = EventWriter(tmp_path)
    for step in (1, 2, 3):
        writer.scalar("loss", step, step)
    writer.close()
    whole = writer.path.read_bytes()
    writer.path.write_bytes(whole[:-7])

    cut(tmp_path, 3)
    assert steps(read(tmp_path), "loss") == [1, 2]
    writer.path.write_bytes(whole)
    cut(tmp_path, 1)
    assert steps(read(tmp_path), "loss") == [1]


def test_a_diverged_training_is_a_failed_session(folder):
    from tensorboard.plugins.hparams import api_pb2, metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    config = compose(overrides(folder, "name=diverged"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "astrokeras.callbacks.math",
            SimpleNamespace(isfinite=lambda value: False, inf=float("inf")),
        )
        with pytest.raises(WorkError, match="diverged in epoch 1"):
            train(config)

    (path,) = (folder / "runs/diverged/tensorboard/autoencoder").glob("*.hparams")
    ends = [
        HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == metadata.SESSION_END_INFO_TAG
    ]
    assert [e.session_end_info.status for e in ends] == [api_pb2.STATUS_FAILURE]


def test_a_profile_is_written_when_asked_for(folder, capsys):
    more = ("name=profiled", "board.profile=[2,3]", "autoencoder.fit.epochs=1")
    profiled = train(compose(overrides(folder, *more)), stages=("autoencoder",))

    traces = [
        p
        for p in profiled.tensorboard.rglob("*")
        if "trace" in p.name or p.name.endswith(".xplane.pb")
    ]
    assert [path for path in traces if path.stat().st_size > 0]
    assert "Profile of batches 2 to 3" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["[5]", "[3,2]", "[0,2]", "[1,2,3]"])
def test_a_profile_of_no_range_is_refused(folder, given):
    with pytest.raises(ConfigError, match=r"board.profile is \[.*\]; give the first"):
        train(compose(overrides(folder, f"board.profile={given}")))


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
sys.meta_path.insert(0, Blocker())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda n, p=None: None if n == "tensorflow" else find(n, p)
from astrokeras.config import compose
from astrokeras.training.train import train
train(compose(sys.argv[1:]), device="cpu")
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.jax
@pytest.mark.torch
def test_all_of_it_is_written_without_tensorflow(folder, events):
    more = ("name=blocked", *LIVELY)
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *overrides(folder, *more)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "KERAS_BACKEND": BACKEND, "HOME": str(folder)},
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        assert set(read(folder / "runs/blocked/tensorboard" / stage)) == set(
            events[stage]
        )


@pytest.mark.parametrize("stage", STAGES)
def test_the_graph_leads_from_the_input_to_the_output(run, stage):
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graphs = [
        GraphDef.FromString(event.graph_def)
        for path in (run.tensorboard / stage).glob(PATTERN)
        for event in EventFileLoader(str(path)).Load()
        if event.graph_def
    ]
    assert len(graphs) == 1
    inputs = {
        node.name: {name.split(":")[0].lstrip("^") for name in node.input}
        for node in graphs[0].node
    }
    assert set().union(*inputs.values()) <= set(inputs)
    assert any("species_scaler" in name for name in inputs)
    ends = set(inputs) - set().union(*inputs.values())
    assert any(
        any("given" in name or "input" in name for name in behind(inputs, end))
        and len(behind(inputs, end)) > 8
        for end in ends
    )


def behind(inputs, name):
    """Return all operations that one depends on."""
    reached, todo = set(), [name]
    while todo:
        reached.add(name := todo.pop())
        todo += inputs[name] - reached
    return reached
