"""Ensembles: several members trained, averaged in log, saved and loaded as one."""

import json
import shutil

import numpy as np
import pytest
from tiny import STEP, make_tracers, overrides, write_tracers

import astrokeras
from astrokeras.config import compose
from astrokeras.errors import InputError
from astrokeras.runs.directory import Run
from astrokeras.training.ensemble_training import are_recorded
from astrokeras.training.train import train

SETTINGS = (
    "ensemble_size=2",
    "seed=5",
    "autoencoder.fit.epochs=1",
    "emulator.fit.epochs=1",
    "emulator.residual_decay_length=0",
    # Its steps are compiled sooner than those of Muon.
    "autoencoder.fit.optimizer=adamw",
    "emulator.fit.optimizer=adamw",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    write_tracers(folder / "tiny.h5")
    return train(compose(overrides(folder, *SETTINGS)))


def test_an_ensemble_is_its_members_mean_in_log(run):
    tracers = make_tracers(simulations=3)
    given = tracers.abundances[:, 0], tracers.physical, STEP
    parts = [astrokeras.load(run.path / "members" / name) for name in ("0", "1")]
    logs = [np.log10(part.emulate(*given, conserve=False)) for part in parts]

    mean = astrokeras.load(run.path).emulate(*given, conserve=False)

    assert np.abs(logs[0] - logs[1]).max() > 0.01
    # Bounds hold members before the mean, and the mean of the ensemble after it.
    low, high = np.log10(parts[0].metadata.species_ranges)
    inside = np.minimum(*logs) > np.maximum(low - 0.49, -19.9)
    inside &= np.maximum(*logs) < np.minimum(high + 0.49, -1e-6)
    assert inside.mean() > 0.2
    expected = np.mean(logs, axis=0)
    np.testing.assert_allclose(np.log10(mean)[inside], expected[inside], atol=2e-5)


def test_an_ensemble_keeps_element_totals_and_names_its_origin(run):
    tracers = make_tracers(simulations=3)
    surrogate = astrokeras.load(run.path)
    rolled = surrogate.emulate(tracers.abundances[:, 0], tracers.physical, STEP)

    totals = rolled.astype("f8") @ surrogate.stoichiometry
    np.testing.assert_allclose(totals / totals[:, :1], 1.0, atol=2e-6)
    facts = json.loads(run.provenance.read_text())
    assert [member["seed"] for member in facts["members"]] == [5, 6]
    assert "mean of 2 members" in (run.path / "card.md").read_text()
    latents = surrogate.encode(tracers.abundances)
    assert latents.shape[-1] == 6
    assert surrogate.decode(latents, ["CO", "$H2O"]).shape[-1] == 2


@pytest.mark.slow
def test_an_ensemble_is_finished_for_its_own_members_alone(run):
    members = [Run(run.path / "members" / name) for name in ("0", "1")]

    assert are_recorded(run, members)
    assert not are_recorded(run, members[:1])
    assert not are_recorded(run, [*members, members[0]])


@pytest.mark.long
def test_an_interrupted_ensemble_goes_on_with_the_member_that_lacks(run, tmp_path):
    again = Run(tmp_path / "runs" / "tiny")
    shutil.copytree(run.path, again.path)
    write_tracers(tmp_path / "tiny.h5")
    shutil.rmtree(again.path / "members" / "1")
    again.surrogate.unlink()
    settings = compose(overrides(tmp_path, *SETTINGS))

    before = (again.path / "members" / "0" / "surrogate.keras").stat().st_mtime_ns
    train(settings, resume=True)

    kept = (again.path / "members" / "0" / "surrogate.keras").stat().st_mtime_ns
    assert kept == before
    tracers = make_tracers(simulations=3)
    given = tracers.abundances[:, 0], tracers.physical, STEP
    one, other = (astrokeras.load(each.path).emulate(*given) for each in (run, again))
    np.testing.assert_allclose(one, other, rtol=1e-4)
    with pytest.raises(InputError, match="has a trained ensemble"):
        train(settings)
