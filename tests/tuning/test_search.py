"""Searches on a tiny tracer file: objectives, failures, interruptions, workers."""

import json
import shlex
import signal
import socket
from contextlib import contextmanager

import pytest
import yaml
from processes import started, wait_for
from tiny import overrides, write_tracers

from astrokeras.errors import InputError, WorkError
from astrokeras.runs.directory import Run
from astrokeras.tuning.chief_workers import find_team
from astrokeras.tuning.search import tune

pytest.importorskip("keras_tuner", exc_type=ImportError)

pytestmark = [
    # keras-tuner's own, of Python and of Keras.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
    pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning"),
]

VARIANT = """
defaults: [schema, _self_]
stage: autoencoder
algorithm: random
trials: 4
initial: 4
best: 2
epochs: {autoencoder: 2, emulator: 2}
space:
  autoencoder.latents: {min: 2, max: 5}
  autoencoder.widths: {values: [[8], [12, 8]]}
  autoencoder.fit.learning_rate: {min: 0.01, max: 0.1, log: true}
  autoencoder.kind: {}
  autoencoder.normalise: {when: {autoencoder.kind: dense}}
"""
# Half of the trials take steps so wide that nothing finite is left.
DIVERGING = """
defaults: [tiny, _self_]
space:
  autoencoder.fit.learning_rate: {min: null, max: null, log: false, values: [0.01, 1.0]}
"""
ADAM = "autoencoder.fit.optimizer=adamw"
FIELDS = {
    "autoencoder.latents",
    "autoencoder.widths",
    "autoencoder.fit.learning_rate",
    "autoencoder.kind",
}


@contextmanager
def working_in(path):
    """Work in a directory with a tracer file and a search of its own."""
    write_tracers(path / "tiny.h5")
    groups = path / "configs" / "tuner"
    groups.mkdir(parents=True)
    (groups / "tiny.yaml").write_text(VARIANT)
    (groups / "diverging.yaml").write_text(DIVERGING)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT"):
            patch.delenv(f"KERASTUNER_{name}", raising=False)
        yield path


@pytest.fixture
def folder(tmp_path):
    with working_in(tmp_path) as path:
        yield path


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The folder of a search that has ended, some of its trials failed."""
    with working_in(tmp_path_factory.mktemp("searched")) as path:
        yield tune(words(path, ADAM, tuner="diverging"))


@pytest.fixture
def untrained(monkeypatch):
    """Replace the training of a trial by a bowl, whose bottom is known."""

    def train(search, config, run):
        rate = config.autoencoder.fit.learning_rate
        return abs(rate - 0.04) * 20 + abs(config.autoencoder.latents - 3)

    monkeypatch.setattr("astrokeras.tuning.trials._train", train)


def words(folder, *more, tuner="tiny"):
    """Overrides of a search called `search`, without epochs of their own."""
    kept = [w for w in overrides(folder) if "epochs" not in w and w != "name=tiny"]
    return [f"tuner={tuner}", *kept, "name=search", *more]


def read_result(search, trial):
    return json.loads((search / "trials" / trial / "trial.json").read_text())


def read_yaml(path):
    return yaml.safe_load(path.read_text())


def read_values(search):
    found = sorted(search.glob("trials/*/trial.json"))
    return [json.loads(path.read_text())["values"] for path in found]


def best_epoch(run, stage):
    rows = json.loads((run / "history.json").read_text())[stage]
    return min(row["val_dex"] for row in rows), len(rows)


@pytest.mark.slow
def test_each_trial_is_a_training_with_its_values(searched):
    assert len(searched.results()) == 4
    for one in searched.results():
        values = one.values
        assert set(values) >= FIELDS
        assert ("autoencoder.normalise" in values) == (
            values["autoencoder.kind"] == "dense"
        )
        assert 2 <= values["autoencoder.latents"] <= 5
        assert values["autoencoder.fit.learning_rate"] in (0.01, 1)
        trained = read_yaml(searched.trials / one.trial / "config.yaml")["autoencoder"]
        assert trained["latents"] == values["autoencoder.latents"]
        assert trained["widths"] == values["autoencoder.widths"]
        assert (
            trained["fit"]["learning_rate"] == values["autoencoder.fit.learning_rate"]
        )
        if one.val_dex is not None:
            found = best_epoch(searched.trials / one.trial, "autoencoder")
            assert found == (one.val_dex, one.epochs["autoencoder"]) == (found[0], 2)


@pytest.mark.slow
def test_trials_that_diverge_are_failed_and_the_search_goes_on(searched, cli):
    results = searched.results()
    failed = [one for one in results if one.val_dex is None]
    assert 0 < len(failed) < 4
    assert results[-len(failed) :] == failed
    for one in results:
        diverges = one.values["autoencoder.fit.learning_rate"] == 1
        assert (one.val_dex is None) == diverges == bool(one.reason)
    assert "is not finite" in failed[0].reason
    state = json.loads(searched.state.read_text())["trials"]
    assert {name for name, one in state.items() if one["status"] == "FAILED"} == {
        one.trial for one in failed
    }

    shown = cli("tune", "--show", f"runs_dir={searched.path.parent}", "name=search")

    assert shown.exit_code == 0, shown.stderr
    assert f"{len(failed)} failed; {failed[0].trial}: training diverged" in shown.stdout
    assert f"{results[0].val_dex:.4f}" in shown.stdout


@pytest.mark.slow
def test_train_takes_the_best_configuration(searched, cli):
    best = searched.results()[0]
    shown = cli("tune", "--show", f"runs_dir={searched.path.parent}", "name=search")
    command = shlex.split(shown.stdout.split("configured:\n")[1])
    assert command[:2] == ["astrokeras", "train"]

    again = cli(*command[1:], "autoencoder", "autoencoder.fit.epochs=1")

    assert again.exit_code == 0, again.stderr
    run = searched.path.with_name("search-best-1")
    config = read_yaml(run / "config.yaml")
    assert config["autoencoder"]["latents"] == best.values["autoencoder.latents"]
    assert config["autoencoder"]["kind"] == best.values["autoencoder.kind"]
    assert config["dataset"]["name"] == "tiny"
    variants = sorted(searched.path.glob("configs/*/*.yaml"))
    assert [path.stem for path in variants] == ["best-1", "best-2"][: len(variants)]
    # As configured, and not the trials' two.
    assert read_yaml(variants[0])["fit"]["epochs"] == 60


@pytest.mark.slow
def test_all_results_are_json_and_sessions_of_tensorboard(searched, cli):
    where = (f"runs_dir={searched.path.parent}", "name=search")

    found = json.loads(cli("tune", "--show", "--json", *where).stdout)

    results = searched.results()
    assert [one["trial"] for one in found["trials"]] == [one.trial for one in results]
    assert found["best"][0]["val_dex"] == results[0].val_dex
    assert "--config-dir" in found["best"][0]["train"]
    values, figures = read_session(searched.trials / results[0].trial)
    assert figures == pytest.approx({"val_dex": results[0].val_dex})
    for path in FIELDS - {"autoencoder.widths"}:
        assert values[path] == results[0].values[path]
    assert values["autoencoder.fit.epochs"] == 2
    assert read_session(searched.trials / results[-1].trial)[1] == {}


def read_session(run):
    """Read what TensorBoard's HParams is told of a trial, by its own reader."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams import metadata

    values, figures = {}, {}
    for path in (run / "tensorboard").glob("events*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                data = value.metadata.plugin_data
                if data.plugin_name == "scalars":
                    figures[value.tag] = value.tensor.float_val[0]
                elif value.tag == metadata.SESSION_START_INFO_TAG:
                    start = metadata.parse_session_start_info_plugin_data(data.content)
                    values |= {
                        key: getattr(one, one.WhichOneof("kind"))
                        for key, one in start.hparams.items()
                    }
    return values, figures


def test_a_search_prints_its_leaderboard_alone(folder, cli, untrained):
    result = cli("tune", *words(folder))

    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("search: 4 trials, random, autoencoder")
    assert lines[1].startswith("┏")
    assert lines[-2].startswith("To train the best one")
    assert result.stderr.count("Trial 0: ") == 2


def test_a_search_whose_trials_all_fail_has_failed(folder, monkeypatch):
    def fail(*_, **__):
        raise WorkError("training diverged in epoch 1.")

    monkeypatch.setattr("astrokeras.tuning.trials.train", fail)

    with pytest.raises(WorkError, match=r"each of 4 trials failed.*diverged in epo"):
        tune(words(folder))


def test_a_full_disk_ends_the_search(folder, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("astrokeras.tuning.trials.train", fail)

    with pytest.raises(OSError, match="No space left"):
        tune(words(folder))
    assert not list((folder / "runs" / "search").glob("trials/*/trial.json"))


@pytest.mark.long
def test_hyperband_trains_the_better_ones_longer(folder, untrained):
    more = ("tuner.algorithm=hyperband", "tuner.epochs.autoencoder=3")

    results = tune(words(folder, *more)).results()

    # One bracket of three trainings, of which one is trained longer, and one of two.
    short = [one for one in results if one.epochs == {"autoencoder": 1}]
    long = [one for one in results if one.epochs == {"autoencoder": 3}]
    assert (len(short), len(long), len(results)) == (3, 3, 6)
    kept = [one.values for one in long]
    assert [one.values in kept for one in short] == [True, False, False]


@pytest.mark.long
def test_bayesian_optimisation_learns_from_its_trials(folder, untrained):
    (folder / "configs" / "tuner" / "two.yaml").write_text(
        VARIANT.split("  autoencoder.kind")[0].replace(
            "  autoencoder.widths: {values: [[8], [12, 8]]}\n", ""
        )
    )
    more = ("tuner.algorithm=bayesian", "tuner.trials=7", "tuner.initial=4")

    search = tune(words(folder, *more, tuner="two"))

    by_name = {one.trial: one.val_dex for one in search.results()}
    early = [dex for name, dex in by_name.items() if int(name) < 4]
    late = [dex for name, dex in by_name.items() if int(name) >= 4]
    assert (len(early), len(late)) == (4, 3)
    assert sum(late) / len(late) < sum(early) / len(early)


@pytest.mark.long
def test_trials_of_an_emulator_share_one_autoencoder(folder, cli, monkeypatch):
    (folder / "configs" / "tuner" / "emulator.yaml").write_text(
        "defaults: [schema, _self_]\n"
        "stage: emulator\nalgorithm: random\ntrials: 2\nepochs: {emulator: 1}\n"
        "space:\n  emulator.hidden: {values: [[8], [16], [12, 8]]}\n"
    )
    once = "autoencoder.fit.epochs=1"

    result = cli("tune", *words(folder, once, tuner="emulator"))

    assert result.exit_code == 0, result.stderr
    search = folder / "runs" / "search"
    shared = (search / "autoencoder" / "autoencoder.keras").read_bytes()
    for trial in "01":
        run = Run(search / "trials" / trial)
        assert run.autoencoder.read_bytes() == shared
        assert (
            read_result(search, trial)["val_dex"] == best_epoch(run.path, "emulator")[0]
        )
        facts = run.read_provenance()["stages"]
        assert facts["emulator"]["settings"]["fit"]["epochs"] == 1
    variant = read_yaml(search / "configs/autoencoder/best-1.yaml")
    assert variant["latents"] == 3

    monkeypatch.setattr("astrokeras.tuning.trials._train", lambda *_: 0.1)
    taken = f"tuner.autoencoder={search / 'autoencoder'}"
    other = cli("tune", *words(folder, taken, "name=two", tuner="emulator"))
    without = f"tuner.autoencoder={search / 'configs'}"
    neither = cli("tune", *words(folder, without, "name=three", tuner="emulator"))

    assert other.exit_code == 0, other.stderr
    assert (folder / "runs/two/autoencoder/autoencoder.keras").read_bytes() == shared
    assert neither.exit_code == 2
    assert "no such run" in neither.stderr


def test_an_existing_search_is_neither_replaced_nor_mixed(folder, untrained):
    run = folder / "runs" / "search"
    with pytest.raises(InputError, match="nothing to resume"):
        tune(words(folder), resume=True)
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("name: search\n")
    with pytest.raises(InputError, match="is a run and not a search"):
        tune(words(folder), overwrite=True)
    (run / "config.yaml").unlink()
    tune(words(folder, "tuner.trials=1"))
    before = read_values(run)

    with pytest.raises(InputError, match="--resume it, or replace it"):
        tune(words(folder))
    with pytest.raises(InputError, match=r"tuner\.seed is 0 in this search and 3 now"):
        tune(words(folder, "tuner.seed=3"), resume=True)
    with pytest.raises(InputError, match=r"configuration\.seed is 0 .* and 3 now"):
        tune(words(folder, "seed=3"), resume=True)
    assert read_values(run) == before

    tune(words(folder, "tuner.trials=2"), resume=True)  # more trials go on

    assert len(read_values(run)) == 2
    assert read_values(run)[:1] == before


@pytest.mark.parametrize(
    ("chief", "worker", "environment", "named"),
    [
        (None, "w0", {}, "--worker w0: .*--chief HOST:PORT"),
        ("node1", None, {}, "--chief node1: give HOST:PORT"),
        ("node1:port", "w0", {}, "--chief node1:port: give HOST:PORT"),
        ("127.0.0.1:1", "chief2", {}, "'chief2': give each worker"),
        ("192.0.2.1:8000", None, {}, "cannot listen there"),
        ("127.0.0.1:99999", None, {}, "give HOST:PORT"),
        (None, None, {"ORACLE_IP": "127.0.0.1"}, "KERASTUNER_ORACLE_PORT is not"),
        (
            None,
            None,
            {"ORACLE_IP": "127.0.0.1", "ORACLE_PORT": "1"},
            "KERASTUNER_TUNER_ID is not",
        ),
    ],
)
def test_a_part_that_cannot_be_is_one_line(
    chief, worker, environment, named, monkeypatch
):
    for name, value in environment.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)

    with pytest.raises(InputError, match=named):
        find_team(chief, worker)


def test_the_environment_of_keras_tuner_says_the_same(monkeypatch):
    port = free_port()
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "w7")
    assert find_team() == find_team(f"127.0.0.1:{port}", "w7")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    assert find_team() == find_team(f"127.0.0.1:{port}")


def test_a_missing_keras_tuner_names_the_extra(folder, cli, monkeypatch):
    find = "astrokeras.tuning.search.importlib.util.find_spec"
    monkeypatch.setattr(find, lambda name: None)

    result = cli("tune", *words(folder))

    assert result.exit_code == 2
    assert "astrokeras[tune]" in result.stderr
    assert result.stderr.count("\n") == 1


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.long
def test_a_killed_search_goes_on_where_it_was(folder):
    """With the same proposals, and within the training that was killed."""
    epochs = ("tuner.epochs.autoencoder=40", "autoencoder.fit.patience=1000")
    more = ("tuner.trials=3", *epochs)
    search = folder / "runs" / "search"
    with started("tune", *words(folder, *more), folder=folder) as process:
        second = Run(search / "trials" / "1").checkpoint("autoencoder")
        wait_for(lambda: (second / "state.json").is_file(), process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    first = (search / "trials" / "0" / "trial.json").stat().st_mtime_ns
    assert not (search / "trials" / "1" / "trial.json").exists()

    with started("tune", "--resume", *words(folder, *more), folder=folder) as process:
        _, said = process.communicate()

    assert process.returncode == 0, said
    assert "Resuming the autoencoder after epoch" in said
    assert (search / "trials" / "0" / "trial.json").stat().st_mtime_ns == first
    assert best_epoch(search / "trials" / "1", "autoencoder")[1] == 40
    whole = tune(words(folder, *more, "name=whole", "tuner.epochs.autoencoder=1"))
    assert read_values(search) == read_values(whole.path)


@pytest.mark.long
def test_a_chief_and_two_workers_share_a_search(folder):
    address = f"127.0.0.1:{free_port()}"
    more = ("tuner.trials=6", "tuner.epochs.autoencoder=20")
    team = ["tune", "--chief", address, *words(folder, *more)]
    with (
        started(*team, "--json", folder=folder) as chief,
        started(*team, "--worker", "w0", folder=folder) as first,
        started(*team, "--worker", "w1", folder=folder) as second,
    ):
        said = [one.communicate(timeout=240) for one in (first, second, chief)]

    for one, (_, errors) in zip((first, second, chief), said, strict=True):
        assert one.returncode == 0, errors
    trained = [errors.count(" dex\n") for _, errors in said]
    assert trained[2] == 0
    assert trained[0] + trained[1] == 6
    assert min(trained[:2]) > 0
    assert [out for out, _ in said[:2]] == ["", ""]
    found = json.loads(said[2][0])
    assert [one["trial"] for one in found["trials"] if one["val_dex"] is None] == []
    assert len(found["trials"]) == 6
    alone = tune(words(folder, "tuner.trials=6", "name=alone"))
    ours, theirs = read_values(folder / "runs" / "search"), read_values(alone.path)
    assert ours == theirs
