"""Training from a tracer file to a run directory, and its interruptions."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import ops
from tiny import SPECIES, STEP, make_tracers, overrides, write_tracers

import astrokeras
from astrokeras.config import compose
from astrokeras.errors import InputError, WorkError
from astrokeras.prediction.predict import predict
from astrokeras.runs.directory import Run, find_run
from astrokeras.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("train")
    write_tracers(path / "tiny.h5")
    return path


@pytest.fixture(scope="module")
def run(folder):
    return train(compose(overrides(folder)))


def read_history(run, stage="emulator"):
    return json.loads((run.path / "history.json").read_text())[stage]


def roll_unbounded(surrogate, initial, physical):
    """What training watches: the emulator's own words, kept within floor and 1."""
    scaled = 1 + np.log10(np.maximum(initial, 1e-20)) / 20
    years = np.full(physical.shape[:2], STEP, "float32")
    told = surrogate.features(physical, years)
    states = surrogate.emulator((scaled.astype("float32"), told))
    return 10.0 ** (20 * (np.clip(ops.convert_to_numpy(states), 0, 1) - 1))


def arrays(path):
    with np.load(path) as file:
        return [file[key] for key in file.files]


def test_a_run_directory_holds_what_it_should(run):
    names = {path.name for path in run.path.iterdir()}

    assert names >= {
        "config.yaml",
        "autoencoder.keras",
        "surrogate.keras",
        "history.csv",
        "history.json",
        "card.md",
        "provenance.json",
        "tensorboard",
    }
    facts = json.loads(run.provenance.read_text())
    assert facts["versions"]["keras"] == keras.__version__
    assert len(facts["data_sha256"]) == len(facts["split_sha256"]) == 64
    assert facts["configuration"]["emulator"]["window"] == [4, 8]
    history = read_history(run)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    lines = (run.path / "history.csv").read_text().splitlines()
    assert lines[0].startswith("stage,epoch,")
    assert [line.split(",")[0] for line in lines[1:]] == 4 * ["autoencoder"] + 4 * [
        "emulator"
    ]
    assert {"loss", "dex", "val_loss", "val_dex"} <= set(history[0])
    assert list((run.path / "tensorboard" / "emulator").glob("events*"))


def test_val_dex_is_the_rollout_of_the_validation_simulations(run):
    surrogate = astrokeras.load(run.path)
    assert surrogate.metadata.provenance == run.read_provenance()
    tracers = make_tracers()
    rows = tracers.split == 1
    truth = tracers.abundances[rows]

    prediction = roll_unbounded(surrogate, truth[:, 0], tracers.physical[rows])

    error = np.abs(np.log10(prediction) - np.log10(np.maximum(truth, 1e-20)))
    history = read_history(run)
    best = min(row["val_dex"] for row in history)
    assert error[:, 1:].mean() == pytest.approx(best, rel=1e-3)


def test_val_dex_leaves_out_what_lies_beyond_a_tracers_length(tmp_path):
    tracers = make_tracers()
    tracers.length[tracers.split == 1] = [13, 6, 9, 4]
    for i, length in enumerate(tracers.length):
        tracers.abundances[i, length:] = np.nan
        tracers.physical[i, length - 1 :] = np.nan
        tracers.time[i, length:] = np.nan
    write_tracers(tmp_path / "tiny.h5", tracers)
    run = train(compose(overrides(tmp_path, "emulator.fit.epochs=1")))
    history = read_history(run)
    surrogate = astrokeras.load(run.path)

    errors = []
    for i in np.flatnonzero(tracers.split == 1):
        states = slice(0, tracers.length[i])
        truth = tracers.abundances[i, states]
        physical = tracers.physical[i : i + 1, : len(truth) - 1]
        rolled = roll_unbounded(surrogate, truth[:1], physical)
        error = np.abs(np.log10(rolled[0]) - np.log10(np.maximum(truth, 1e-20)))
        errors.append(error[1:])
    expected = np.concatenate(errors).mean()
    assert history[0]["val_dex"] == pytest.approx(expected, rel=1e-3)


def test_the_surrogate_knows_its_limits(run):
    surrogate = astrokeras.load(run.path)
    tracers = make_tracers()
    train_rows = tracers.split == 0
    density = tracers.physical[train_rows][..., 0]

    assert surrogate.species == SPECIES
    assert surrogate.parameter_ranges["Density"] == pytest.approx(
        (density.min(), density.max())
    )
    # Of 12 steps the windows of four intervals leave nine to one of them.
    assert surrogate.dt_range == (STEP, 9 * STEP)
    assert surrogate.t_max == 1200
    assert set(surrogate.initial_conditions) == {"tiny"}


def test_latents_are_scaled_by_their_spread_in_training(folder, run):
    """Those of the autoencoder that the emulator's training started from."""
    autoencoder = keras.saving.load_model(run.autoencoder)
    tracers = make_tracers()
    states = tracers.abundances[tracers.split == 0].reshape(-1, len(SPECIES))
    scaled = (1 + np.log10(np.maximum(states, 1e-20)) / 20).astype("f4")
    latents = ops.convert_to_numpy(autoencoder.encode(scaled))
    low, high = np.percentile(latents, [5, 95], axis=0)
    scale = astrokeras.load(run.path).emulator.latent_scaler.scale

    expected = (high - low) / 3.29
    np.testing.assert_allclose(ops.convert_to_numpy(scale.value), expected, rtol=0.1)


# Dropout and noise draw random numbers, plateaus count epochs: all must go on.
ALIVE = (
    "autoencoder.dropout=0.2",
    "autoencoder.noise=0.1",
    "autoencoder.fit.anneal_patience=1",
    "autoencoder.fit.schedule=plateau",
    "emulator.fit.schedule=plateau",
    "emulator.fit.lr_patience=1",
    "emulator.states_per_window=2",
)


# Both stages have epochs of four steps: one call runs three, the other the last.
SEVERAL = tuple(
    f"{stage}.fit.steps_per_execution=3" for stage in ("autoencoder", "emulator")
)


@pytest.fixture(scope="module")
def whole(folder):
    return train(compose(overrides(folder, "name=whole", *ALIVE)))


@pytest.fixture(scope="module")
def several(folder):
    return train(compose(overrides(folder, "name=several", *ALIVE, *SEVERAL)))


@pytest.mark.tensorflow
@pytest.mark.jax
@pytest.mark.long
def test_several_steps_a_call_are_the_same_steps(whole, several):
    for stage in ("autoencoder", "emulator"):
        for run in (whole, several):
            values = arrays(run.checkpoint(stage) / "epoch-4.npz")
            assert 16 in [int(a) for a in values if a.ndim == 0 and a.dtype.kind == "i"]
        pairs = zip(
            read_history(several, stage), read_history(whole, stage), strict=True
        )
        for ours, theirs in pairs:
            assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["autoencoder", "emulator"])
@pytest.mark.parametrize(
    "how", ["whole", pytest.param("several", marks=pytest.mark.long)]
)
def test_a_resumed_training_ends_as_one_never_interrupted(folder, how, stage, request):
    if how == "several" and keras.backend.backend() == "torch":
        pytest.skip("PyTorch runs one step per call")
    whole = request.getfixturevalue(how)
    more = SEVERAL if how == "several" else ()

    class Interruption(Exception):
        pass

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.name == stage and self.model.optimizer.iterations > 12:
                raise Interruption

    name = f"name=cut_{how}_{stage}"
    config = compose(overrides(folder, name, *ALIVE, *more))
    fit = keras.Model.fit

    def interrupted(self, *args, callbacks, **kwargs):
        return fit(self, *args, callbacks=[*callbacks, Interrupt()], **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", interrupted)
        with pytest.raises(Interruption):
            train(config)
    cut = train(config, resume=True)

    for name in ("autoencoder", "emulator"):
        ours, theirs = (read_history(r, name) for r in (cut, whole))
        assert ours == theirs
        last = "epoch-4.npz"
        for a, b in zip(
            arrays(cut.checkpoint(name) / last),
            arrays(whole.checkpoint(name) / last),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.torch
def test_pytorch_refuses_several_steps_a_call(folder):
    config = compose(overrides(folder, "name=new", *SEVERAL))
    with pytest.raises(InputError, match=r"steps_per_execution is 3; PyTorch runs one"):
        train(config)


@pytest.mark.long
def test_without_tensorflow_training_is_the_same(folder, run, monkeypatch):
    monkeypatch.setattr(
        "astrokeras.data.pipeline.datasets.has_tensorflow", lambda: False
    )
    plain = train(compose(overrides(folder, "name=plain")))

    for stage in ("autoencoder", "emulator"):
        assert read_history(plain, stage) == read_history(run, stage)


def test_a_finished_run_is_not_trained_again(folder, run):
    before = run.surrogate.read_bytes()
    train(compose(overrides(folder)), resume=True)

    assert run.surrogate.read_bytes() == before


@pytest.mark.slow
def test_members_are_trained_together_and_resumed(folder, run):
    members = Run(folder / "runs" / "members")
    members.path.mkdir()
    for name in ("autoencoder.keras", "provenance.json", "config.yaml"):
        shutil.copy(run.path / name, members.path)
    words = "name=members", "emulator.members=2", "emulator.fit.batch_size=3"
    joined = "astrokeras.training.stages.make_surrogate"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joined, lambda *arguments: 1 / 0)  # after the last epoch
        with pytest.raises(ZeroDivisionError):
            train(compose(overrides(folder, *words)), stages=("emulator",))
    history = read_history(members)

    train(compose(overrides(folder, *words)), stages=("emulator",), resume=True)

    assert read_history(members) == history
    assert np.isfinite([row["loss"] for row in history]).all()
    cells = astrokeras.load(members.path).emulator.recurrence.members
    assert len(cells) == 2
    kernels = [ops.convert_to_numpy(cell.last.kernel) for cell in cells]
    assert np.abs(kernels[0]).max() > 1e-4  # they begin at zero
    assert np.abs(kernels[1]).max() > 1e-4
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-4


@pytest.mark.parametrize("more", ["seed=5", "autoencoder.fit.epochs=6"])
def test_a_finished_stage_is_not_resumed_with_other_settings(folder, run, more):
    with pytest.raises(InputError, match=r"the autoencoder is trained, with .* not"):
        train(compose(overrides(folder, more)), resume=True)


def test_an_interrupted_run_is_known_as_one(folder, capsys, monkeypatch):
    config = compose(overrides(folder, "name=stopped"))
    monkeypatch.setattr(
        "astrokeras.training.checkpoint.HistoryWriter.on_epoch_end",
        lambda self, epoch, logs=None: _raise(KeyboardInterrupt),
    )
    with pytest.raises(KeyboardInterrupt):
        train(config)

    message = " ".join(capsys.readouterr().err.split())
    assert "Interrupted after epoch 1 of the autoencoder" in message
    with pytest.raises(InputError, match=r"no model yet; finish it with .*--resume"):
        find_run(folder / "runs" / "stopped")


def _raise(error):
    raise error


def test_a_replaced_autoencoder_takes_the_surrogate_with_it(folder):
    config = compose(overrides(folder, "name=replaced"))
    first = train(config)
    assert first.surrogate.is_file()

    train(config, stages=("autoencoder",), overwrite=True)

    assert first.autoencoder.is_file()
    assert not first.surrogate.exists()
    assert not (first.path / "card.md").exists()
    assert set(json.loads((first.path / "history.json").read_text())) == {"autoencoder"}


def test_a_changed_configuration_is_not_resumed(folder, run):
    run.surrogate.rename(run.path / "kept")
    try:
        with pytest.raises(
            InputError, match=r"settings\.hidden was \[16\] when .* is \[9\] now"
        ):
            train(compose(overrides(folder, "emulator.hidden=[9]")), resume=True)
    finally:
        (run.path / "kept").rename(run.surrogate)


@pytest.mark.parametrize(
    ("more", "arguments", "message"),
    [
        ([], {}, "choose another name=..., or --resume"),
        (["name=new"], {"resume": True}, "nothing to resume"),
        (["name=new"], {"stages": ("emulator",)}, "needs a trained autoencoder"),
        (
            ["name=new", "emulator.window=99"],
            {},
            r"\[99\], but the longest .* 12 steps",
        ),
        (
            ["name=new", "emulator.use_timestep=false"],
            {},
            "emulator.stride is 32, .*use_timestep=true",
        ),
        (["name=new"], {"device": "abacus"}, "'abacus'; use cpu or gpu"),
        (["name=new", "cache_dir=no"], {"mode": "train"}, "--mode preprocess"),
        (["name=new", "dataset.path=no.h5"], {}, "'no.h5': no such file"),
    ],
)
def test_wrong_requests_are_refused(folder, run, more, arguments, message):
    with pytest.raises(InputError, match=message):
        train(compose(overrides(folder, *more)), **arguments)

    assert not (folder / "runs" / "new").exists()


def test_intervals_that_differ_are_refused(tmp_path):
    tracers = make_tracers()
    tracers.time[3] *= 10
    write_tracers(tmp_path / "tiny.h5", tracers)

    one = overrides(tmp_path, "emulator.use_timestep=false", "emulator.stride=1")
    with pytest.raises(InputError, match="'time' has intervals of 100 to 1000 yr"):
        train(compose(one))


def test_a_timed_emulator_learns_from_uneven_tracers_and_predicts_them(tmp_path):
    tracers = make_tracers()
    steps = np.random.default_rng(2).uniform(100, 300, tracers.physical.shape[:2])
    tracers.time[:, 1:] = np.cumsum(steps, axis=1)
    write_tracers(tmp_path / "tiny.h5", tracers)
    run = train(compose(overrides(tmp_path, "emulator.stride=2")))
    trained = steps[tracers.split == 0]
    low, high = astrokeras.load(run.path).dt_range

    assert (low, high) == pytest.approx((trained.min(), 2 * trained.max()))
    tracers.time[:, 1:] = np.cumsum(np.clip(2 * steps, low, high), axis=1)
    write_tracers(tmp_path / "given.h5", tracers)
    done = predict(run.path, tmp_path / "given.h5", tmp_path / "out.h5", warn=print)
    assert done.tracers == 20
    assert not {"input", "totals"} & set(done.status)  # time is beyond training
    tracers.time[4, 7:] += high
    write_tracers(tmp_path / "given.h5", tracers)
    with pytest.raises(InputError, match=rf"tracer 104, state 7: .* to {high:g} yr"):
        predict(run.path, tmp_path / "given.h5", tmp_path / "no.h5", warn=print)


def test_one_emulator_learns_one_interval(folder):
    one = overrides(
        folder, "name=one", "emulator.use_timestep=false", "emulator.stride=1"
    )
    one += ["emulator.rates=false", "board.every=4"]
    surrogate = astrokeras.load(train(compose(one)).path)

    assert surrogate.dt_range == (STEP, STEP)
    assert surrogate.emulator.features == len(surrogate.parameter_names)


def test_an_autoencoder_of_other_species_is_refused(folder, run, tmp_path):
    shutil.copytree(run.path, tmp_path / "runs" / "tiny")
    write_tracers(tmp_path / "tiny.h5", species=SPECIES[1::-1] + SPECIES[2:])

    with pytest.raises(InputError, match="column 0 is H2 in the data, H in the auto"):
        train(compose(overrides(tmp_path)), stages=("emulator",), overwrite=True)


@pytest.mark.long
def test_mixed_precision_trains_a_surrogate_in_float32(folder):
    mixed = overrides(folder, "name=mixed", "precision=mixed_bfloat16", "board.every=4")
    run = train(compose(mixed))
    surrogate = astrokeras.load(run.path)
    assert surrogate.metadata.provenance == run.read_provenance()
    tracers = make_tracers()
    rows = tracers.split == 1
    truth = tracers.abundances[rows]

    emulator = surrogate.emulator
    assert emulator.precision == emulator.autoencoder.precision == "float32"
    assert {layer.compute_dtype for layer in surrogate._flatten_layers()} == {"float32"}
    prediction = roll_unbounded(surrogate, truth[:, 0], tracers.physical[rows])
    error = np.abs(np.log10(prediction) - np.log10(np.maximum(truth, 1e-20)))
    best = min(row["val_dex"] for row in read_history(run))
    assert error[:, 1:].mean() == pytest.approx(best, rel=0.02)
    with pytest.raises(InputError, match="precision mixed_bfloat16 and not float32"):
        train(compose(overrides(folder, "name=mixed")), resume=True)
    run.surrogate.unlink()
    with pytest.raises(
        InputError, match=r"precision was mixed_bfloat16 when .* is flo"
    ):
        train(
            compose(overrides(folder, "name=mixed")), stages=("emulator",), resume=True
        )


def test_a_stage_keeps_the_configuration_it_was_trained_with(folder):
    named = overrides(folder, "name=staged")
    train(compose([*named, "autoencoder.latents=5"]), stages=("autoencoder",))

    run = train(compose(named), stages=("emulator",))

    assert compose(named).autoencoder.latents == 3
    assert "latents: 5" in run.config.read_text()
    facts = run.read_provenance()
    assert facts["configuration"]["autoencoder"]["latents"] == 5
    assert set(facts["stages"]) == {"autoencoder", "emulator"}
    assert facts["training_simulations"] == [0, 1, 2, 5, 6, 7]
    assert facts["training_tracers"] == 12


def test_a_damaged_checkpoint_is_named(folder, run, tmp_path):
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(run.path, copy)
    (copy / "surrogate.keras").unlink()
    (copy / "checkpoints" / "emulator" / "state.json").write_text("{")
    config = compose(overrides(folder, f"runs_dir={tmp_path / 'runs'}"))

    with pytest.raises(
        InputError, match=r"state.json: is not a JSON object; start without --resume"
    ):
        train(config, resume=True)


def test_preprocessing_alone_makes_the_cache(folder, tmp_path):
    more = ["name=new", "seed=5", f"cache_dir={tmp_path / 'cache'}"]
    train(compose(overrides(folder, *more)), mode="preprocess")

    assert len(list((tmp_path / "cache").glob("tiny-*.h5"))) == 1
    assert not (folder / "runs" / "new").exists()


def test_a_diverging_training_fails_with_a_remedy(folder, monkeypatch):
    config = compose(overrides(folder, "name=diverging"))
    monkeypatch.setattr(
        "astrokeras.losses.DexLoss.call",
        lambda self, truth, prediction: ops.mean(prediction * float("nan"), axis=-1),
    )

    with pytest.raises(WorkError, match=r"epoch 1: .*lower fit\.learning_rate"):
        train(config)


def test_windows_use_every_length(folder, run):
    """A smaller loss after four epochs: the emulator has learned something."""
    history = read_history(run)

    assert history[-1]["loss"] < history[0]["loss"]
