"""The real UCLCHEM, where it is installed: what it makes of the sample's tracers."""

import numpy as np
import pytest
from conftest import ROOT

from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import compose_generation
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.generation.verify import verify
from astrokeras.solvers.process import SolverProcess

pytestmark = pytest.mark.neutral

pytest.importorskip("uclchem.model", reason="needs UCLCHEM, installed apart")
STEPS = 12


@pytest.fixture(scope="module")
def host():
    with SolverProcess(compose_generation([]).solver) as host:
        yield host


@pytest.fixture(scope="module")
def tracer(host):
    with TracerStore(ROOT / "data" / "grav.h5") as store:
        one = store.read(slice(3, 4))
        order = [store.species.index(name) for name in host.species]
    steps = one.physical[0, :STEPS].astype(float).T
    physical = dict(zip(store.parameters, steps, strict=True))
    physical |= {"dustTemp": physical["gasTemp"], "zeta": np.ones(STEPS)}
    column = physical["Av"] / 5.348e-22
    physical |= {"NH2": 0.5 * column, "NCO": 1e-5 * column}
    time = one.time[0, : STEPS + 1]
    return (
        time - time[0],
        physical,
        one.abundances[0, : STEPS + 1][:, order].astype(float),
    )


def log(abundances):
    return np.log10(np.clip(abundances, 1e-20, 1))


def test_it_solves_the_sample_again(host, tracer):
    time, physical, known = tracer

    solved = host.solve(time, physical, known[0])

    assert np.abs(log(solved) - log(known))[3:].mean() < 0.02
    totals = solved @ stoichiometric_matrix(host.species)[0]
    np.testing.assert_allclose(totals, totals[:1].repeat(STEPS + 1, 0), rtol=1e-5)


def test_parameters_drive_what_comes_after_them(host, tracer):
    time, physical, known = tracer
    physical = physical | {"Av": np.ones(STEPS)}  # Light comes through.
    before = host.solve(time, physical, known[0])
    for name in physical:
        changed = {key: values.copy() for key, values in physical.items()}
        changed[name][5] *= 1e-6 if name in ("NH2", "NCO") else 1.3
        moved = np.abs(log(host.solve(time, changed, known[0])) - log(before)).max(1)
        # The column that shields atomic carbon is the next row's in UCLCHEM.
        assert (moved[:6] < (1e-3 if name == "Av" else 1e-7)).all()
        assert moved[6] > 1e-3


def test_the_networks_own_start_has_the_elements_asked_for():
    config = compose_generation(["solver.options.fc=1e-4"]).solver
    with SolverProcess(config) as host:
        start = dict(zip(host.species, host.initial, strict=True))
    assert start["C+"] == pytest.approx(1e-4)
    assert start["H"] + 2 * start["H2"] == pytest.approx(1)


@pytest.mark.slow
def test_the_sample_is_verified():
    found = verify(ROOT / "data" / "grav.h5", compose_generation([]), tracers=2)

    assert found.agrees
    assert found.better is None
    assert found.dex < 0.01
    wrong = (
        found.readings[f"parameters of the row {row}"] for row in ("before", "after")
    )
    assert min(wrong) > 2 * found.dex
