"""Fine-tuning of a surrogate on tracers of other gas."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from surrogates import make_projection, make_trust, to_numpy
from tiny import PARAMETERS, SPECIES, make_tracers, overrides, write_tracers

import astrokeras
from astrokeras.config import compose
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run
from astrokeras.training.finetuned_models import begin_emulator
from astrokeras.training.stages import calibrate_surrogate
from astrokeras.training.train import train

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
INTERVAL = 4.0  # years; the former surrogate was trained on 10 to 1000
NEW = 10, 2  # simulations, and tracers of each


def new_tracers():
    """Return tracers of denser gas, in shorter intervals, than the former ones."""
    tracers = make_tracers(*NEW, seed=5)
    tracers.time *= INTERVAL / 100
    tracers.physical[..., 0] *= 100
    return tracers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("finetune")
    write_tracers(path / "tiny.h5", new_tracers())
    rng = np.random.default_rng(0)
    former = make_projection(rng).replace(trust=make_trust(rng))
    former.save(path / "former.keras")
    return path


def finetuning(folder, *more):
    # A window of 30 steps is longer than the tracers, of 12.
    own = ("calibration=0.5", "emulator.window=[30]", "emulator.fit.epochs=12")
    words = overrides(folder, f"from={folder / 'former.keras'}", *own, *more)
    return compose([*words, "emulator.fit.learning_rate=3e-2"])


@pytest.fixture(scope="module")
def run(folder):
    return train(finetuning(folder))


@pytest.fixture(scope="module")
def former(folder):
    return astrokeras.load(folder / "former.keras")


def error(surrogate, split=2):
    """Return the error of rollouts, dex; unlike `emulate`, for any interval."""
    tracers = new_tracers()
    rows = tracers.split == split
    years = np.diff(tracers.time[rows]).astype("f4")
    given = tracers.abundances[rows, 0], tracers.physical[rows], years
    predicted = to_numpy(surrogate(given))
    logs = [np.log10(np.maximum(x, 1e-20)) for x in (predicted, tracers.abundances)]
    return np.abs(logs[0] - logs[1][rows, 1:]).mean()


def test_the_schedule_is_that_of_a_fine_tuning_unless_another_is_chosen():
    assert compose(["from=grav"]).emulator.fit.epochs == 100
    assert compose(["from=grav", "emulator=default"]).emulator.fit.epochs == 300
    assert compose([]).from_ is None


def test_the_error_on_the_new_gas_falls(run, former):
    assert error(astrokeras.load(run.path)) < 0.97 * error(former)


def test_scales_and_architecture_are_those_of_the_former_surrogate(run, former):
    tuned = astrokeras.load(run.path)

    for scaler in (
        lambda s: s.parameter_scaler,
        lambda s: s.emulator.latent_scaler,
        lambda s: s.emulator.autoencoder.species_scaler,
    ):
        for ours, theirs in zip(
            scaler(tuned).get_weights(), scaler(former).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert tuned.emulator.hidden == former.emulator.hidden != [16]
    assert "hidden:\n  - 7\n  - 5\n" in run.config.read_text()
    assert not np.allclose(
        to_numpy(tuned.emulator.autoencoder.kernel),
        to_numpy(former.emulator.autoencoder.kernel),
        atol=1e-4,
    )
    assert not run.autoencoder.exists()


def test_the_ranges_hold_both_kinds_of_gas(run, former):
    tuned = astrokeras.load(run.path)
    density = new_tracers().physical[new_tracers().split == 0][..., 0]
    low, high = former.parameter_ranges["Density"]

    assert tuned.dt_range == (INTERVAL, 1000)
    assert tuned.t_max == 1200
    assert tuned.parameter_ranges["Density"] == pytest.approx((low, density.max()))
    assert high < density.max()
    bounds = tuned.emulator.recurrence.cell.bounds
    assert (bounds[0] <= -3).all()
    assert (bounds[1] >= 3).all()
    assert set(tuned.initial_conditions) == {"tiny"}
    assert tuned.metadata.fixed == former.metadata.fixed


def test_another_shortest_interval_changes_no_prediction(former):
    """The bias takes up what the feature of the interval's length loses."""
    config = compose(["from=grav"])
    cache = SimpleNamespace(statistics=SimpleNamespace(step=(INTERVAL, 100.0)))
    moved = former.replace(
        emulator=begin_emulator(former, config, cache), dt_range=(INTERVAL, 1000.0)
    )
    # The bounds of the latents are left out for the training.
    free = former.replace(
        emulator=type(former.emulator).from_config(
            former.emulator.get_config() | {"bounds": None}
        )
    )
    free.emulator.set_weights(former.emulator.get_weights())

    assert error(moved) == pytest.approx(error(free), rel=1e-4)


def test_with_few_simulations_the_calibration_is_kept(run, former):
    tuned = astrokeras.load(run.path)

    for name in former.trust.numbers:
        np.testing.assert_array_equal(tuned.trust.value(name), former.trust.value(name))


def test_with_enough_simulations_it_is_calibrated_on_the_new_gas(
    folder, run, tmp_path, monkeypatch
):
    monkeypatch.setattr("astrokeras.training.stages.LEAST_SIMULATIONS", 1)
    tuned = astrokeras.load(run.path).replace(trust=None)
    calibrate_surrogate(finetuning(folder), folder / "tiny.h5", Run(tmp_path), tuned)
    calibrated = astrokeras.load(tmp_path / "surrogate.keras")

    reliable_distance = calibrated.trust.value("largest")[0]
    own, former = (
        calibrated.functions.distances(tracers.physical)
        for tracers in (new_tracers(), make_tracers())
    )
    train_rows = new_tracers().split == 0
    assert own[train_rows].max() < reliable_distance
    assert (former > reliable_distance).mean() > 0.5


def test_the_record_names_the_former_surrogate(folder, run):
    stage = json.loads(run.provenance.read_text())["stages"]["emulator"]

    assert stage["from"]["name"] == "former"
    assert (
        f"fine-tuned from former, SHA-256 {stage['from']['sha256']}"
        in (run.path / "card.md").read_text()
    )


@pytest.mark.slow
def test_an_interrupted_fine_tuning_goes_on(folder, run, capsys, monkeypatch):
    def interrupt(self, epoch, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            "astrokeras.training.checkpoint.HistoryWriter.on_epoch_end", interrupt
        )
        with pytest.raises(KeyboardInterrupt):
            train(finetuning(folder, "name=cut"))
    cut = train(finetuning(folder, "name=cut"), resume=True)

    assert "after epoch 1 of 12" in capsys.readouterr().err
    ours, theirs = (
        json.loads((r.path / "history.json").read_text()) for r in (cut, run)
    )
    assert ours == theirs
    before = cut.surrogate.read_bytes()
    train(finetuning(folder, "name=cut"), resume=True)
    assert cut.surrogate.read_bytes() == before
    with pytest.raises(InputError, match=r"trained, with from \w{64} and not None"):
        train(compose(overrides(folder, "name=cut")), resume=True)


def rename(name, old, new):
    def change(path):
        with h5py.File(path, "r+") as file:
            names = [new if text == old else text for text in file[name].asstr()[:]]
            file[name][...] = names

    return change


def fix(path):
    with h5py.File(path, "r+") as file:
        file.attrs["fixed"] = ["zeta = 10"]


def convert(path):
    with h5py.File(path, "r+") as file:
        file["parameters"].attrs["units"] = ["cm^-3", "Draine", "mag"]


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (None, ["from=graw"], "graw: no such run .*did you mean 'grav'"),
        (None, ["from=grav"], "'species' differs from the surrogate's 333"),
        (rename("species", "OH", "NH"), [], "lacks 1 .OH. and has besides 1 .NH"),
        (
            rename("parameters", "Av", "zeta"),
            [],
            "holds zeta, which surrogate 'former'",
        ),
        (convert, [], "Radfield is in 'Draine', .*takes 'Habing'"),
        (fix, [], "holds zeta = 10.0, surrogate 'former' is for zeta = 1.0"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    folder, tmp_path, change, more, message
):
    write_tracers(tmp_path / "tiny.h5", new_tracers())
    if change:
        change(tmp_path / "tiny.h5")
    words = overrides(tmp_path, f"from={folder / 'former.keras'}", *more)
    with pytest.raises(InputError, match=message) as caught:
        train(compose(words))

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_stage_alone_or_the_run_itself_is_refused(folder, run):
    with pytest.raises(InputError, match=r"the stage is autoencoder: .* as a whole"):
        train(finetuning(folder, "name=new"), stages=("autoencoder",))
    with pytest.raises(InputError, match="which the run 'tiny' would replace"):
        train(finetuning(folder, f"from={run.path}"), overwrite=True)
    assert run.surrogate.is_file()


def test_a_missing_parameter_is_refused_with_the_way_to_fill_it(folder, tmp_path):
    tracers = make_tracers(4)
    tracers.physical = tracers.physical[..., :2]
    with TracerWriter(
        tmp_path / "tiny.h5",
        species=SPECIES,
        parameters=PARAMETERS[:2],
        units=("cm^-3", "Habing"),
        states=13,
        attributes={"source": "tests"},
    ) as writer:
        writer.append(tracers)
    words = overrides(tmp_path, f"from={folder / 'former.keras'}")

    with pytest.raises(
        InputError, match=r"lacks Av, .*`astrokeras data import .* fill"
    ):
        train(compose(words))
