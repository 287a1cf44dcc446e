"""The solver of small networks, against formulas and integrations of its own."""

import sys
from pathlib import Path

import numpy as np
import pytest

from astrokeras.chemistry.species import parse_species
from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import SolverConfig, compose_generation
from astrokeras.errors import InputError
from astrokeras.solvers.network import Kinetics, Network
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.rates import MONOLAYER, Rates
from astrokeras.solvers.reactions import read_reactions
from astrokeras.solvers.solver import make_solver

pytestmark = pytest.mark.neutral

pytest.importorskip("scipy")
HEADER = (
    "Reactant 1,Reactant 2,Reactant 3,Product 1,Product 2,Product 3,Product 4,"
    "Alpha,Beta,Gamma,T_min,T_max,extrapolate\n"
)
CLOUD = {
    "Density": 2e4,
    "Radfield": 3.4,
    "Av": 2.0,
    "gasTemp": 30.0,
    "dustTemp": 15.0,
    "zeta": 5.0,
}
YEAR = 365.25 * 86400  # seconds
H2_FORMATION = "H,H,H2FORM,H2,,,,1,0,0,0,1e4,True"


def write(folder, *rows, initial=None):
    """Write a network, and return the configuration that names it."""
    path = folder / "reactions.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    start = folder / "initial.csv"
    given = initial or {}
    start.write_text(f"{','.join(given)}\n{','.join(map(str, given.values()))}\n")
    return SolverConfig(
        kind="network", files={"reactions": str(path), "initial": str(start)}
    )


def steps(count, **changed):
    """Return parameters that hold for so many intervals."""
    here = CLOUD | changed
    return {name: np.full(count, value) for name, value in here.items()}


@pytest.fixture(scope="module")
def network():
    return make_solver(compose_generation(["solver=network"]).solver)


@pytest.fixture(scope="module")
def run(network):
    """A cloud that contracts and cools: time, parameters, abundances."""
    time = np.concatenate([[0.0], np.geomspace(1, 1e6, 25)])
    physical = steps(25)
    physical["Density"] = np.geomspace(1e3, 1e6, 25)
    physical["Av"] = np.geomspace(1, 30, 25)
    physical["dustTemp"] = np.linspace(25, 10, 25)
    return time, physical, network.solve(time, physical, network.initial)


@pytest.mark.parametrize(
    ("row", "by_hand"),
    [
        # Cosmic rays: 1.2e-17 * 5; their photons: 1.3e-17 * (1/10)^1.17 * 105 / 0.5.
        ("H2,CRP,NAN,H2+,E-,,,1.2e-17,0,0,10,1000,False", 6.0e-17),
        ("CO,CRPHOT,NAN,C,O,,,1.3e-17,1.17,105,10,1000,False", 9.22825e-16),
        # 2.4e-10 * 3.4 / 1.7 * exp(-3.88 * 2)
        ("CO,PHOTON,NAN,C,O,,,2.4e-10,0,3.88,10,1000,False", 2.04719e-13),
        # 1.36e-9 * (1/10)^-0.14 * exp(3.4 / 30) * 2e4
        ("H3+,CO,NAN,HCO+,H2,,,1.36e-9,-0.14,-3.4,10,400,False", 4.20506e-5),
        # 3e-17 * sqrt(0.3) / (1 + 0.4 sqrt(0.45) + 0.06 + 0.0072) * 2e4
        (H2_FORMATION, 2.46070e-13),
        # sqrt(8 k 30 K / (pi 28 u)) = 1.5062e4 cm s^-1, times 5.9e-22 * 2e4
        ("CO,FREEZE,NAN,#CO,,,,1,0,0,0,1e4,False", 1.77728e-13),
        # 1e12 * exp(-1300 / 15), and 5 * 3.16e-19 * 1e12 * exp(-1300 / 70)
        ("#CO,THERM,NAN,CO,,,,1,0,1300,0,1e4,False", 2.29691e-26),
        ("#CO,DESCR,NAN,CO,,,,1,0,1300,0,1e4,False", 1.35883e-14),
        # 1e-3 * (3.4e8 exp(-3.6) + 5e4) / 6e15
        ("#CO,DEUVCR,NAN,CO,,,,1,0,1300,0,1e4,False", 1.55670e-12),
        # Outside of its range of temperatures, unless it may be extrapolated.
        ("O,H2,NAN,OH,H,,,3.14e-13,2.7,3150,297,3532,False", 0.0),
        ("C,H2,NAN,CH,H,,,1e-10,0,0,10,29,False", 0.0),
        ("C,H2,NAN,CH,H,,,1e-10,0,0,10,29,True", 2e-6),
    ],
)
def test_rates_are_those_computed_by_hand(tmp_path, row, by_hand):
    write(tmp_path, row)

    (found,) = Rates(read_reactions(tmp_path / "reactions.csv"))(CLOUD)

    assert found == pytest.approx(by_hand, rel=1e-4, abs=0)


def change_by_loops(reactions, species, coefficients, abundances):
    """The law of mass action, reaction by reaction."""
    y = dict(zip(species, abundances, strict=True))
    change = dict.fromkeys(species, 0.0)
    ice = sum(value for name, value in y.items() if name[0] in "#@")
    for reaction, speed in zip(reactions, coefficients, strict=True):
        reacting = reaction.reactants[:1] * (reaction.kind == "H2FORM")
        for name in reacting or reaction.reactants:
            speed = speed * y[name]
        if reaction.kind in ("THERM", "DESCR", "DEUVCR"):
            speed = speed * MONOLAYER / (MONOLAYER + ice)
        for name in reaction.reactants:
            change[name] -= speed
        for name in reaction.products:
            change[name] += speed
    return np.array(list(change.values()))


@pytest.fixture(scope="module")
def shipped(network):
    """The shipped network, its rates in the cloud, and some abundances."""
    path = Path(__file__).parents[2] / "configs/solver/small/reactions.csv"
    reactions = read_reactions(path)
    rng = np.random.default_rng(0)
    abundances = 10 ** rng.uniform(-8, -1, len(network.species))
    return reactions, Rates(reactions)(CLOUD), abundances


def test_abundances_change_by_the_law_of_mass_action(network, shipped):
    reactions, coefficients, abundances = shipped

    found = network.kinetics.change(coefficients, abundances)

    expected = change_by_loops(reactions, network.species, coefficients, abundances)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_jacobian_is_the_slope_of_the_change(network, shipped):
    _, coefficients, abundances = shipped
    kinetics = network.kinetics
    # The change is of second order in each abundance, but for the ice.
    step = np.where(kinetics.ice, 1e-3, 1.0) * abundances

    found = kinetics.jacobian(coefficients, abundances)

    for i, by in enumerate(step):
        shift = by * (np.arange(len(step)) == i)
        ahead = kinetics.change(coefficients, abundances + shift)
        behind = kinetics.change(coefficients, abundances - shift)
        slope, rounding = (ahead - behind) / (2 * by), 1e-15 * abs(ahead) / by
        assert (abs(found[:, i] - slope) <= 1e-5 * abs(slope) + rounding).all()
        assert (rounding < 0.1 * abs(found[:, i]).max()).all()


def test_a_molecule_that_meets_its_like_is_counted_twice(tmp_path):
    write(tmp_path, "O,O,NAN,O2,PHOTON,,,1e-10,0,0,0,1e4,True")
    kinetics = Kinetics(read_reactions(tmp_path / "reactions.csv"), ("O", "O2"))

    slope = kinetics.jacobian(np.array([3.0]), np.array([0.1, 0.0]))

    # d(-2 * 3 * O^2) / dO = -12 O
    np.testing.assert_allclose(slope, [[-1.2, 0], [0.6, 0]])


def test_atoms_and_charge_are_kept(network, run):
    _, _, abundances = run
    charge = [parse_species(name).charge for name in network.species]

    totals = abundances @ stoichiometric_matrix(network.species)[0]

    np.testing.assert_allclose(totals, totals[:1].repeat(len(totals), 0), rtol=1e-6)
    assert abs(abundances @ charge).max() < 1e-6 * abundances[-1, 3]
    assert network.species[3] == "E-"
    assert abundances.min() >= 0
    # It is a run in which much happens: C+ becomes CO, which freezes.
    end = dict(zip(network.species, abundances[-1], strict=True))
    assert end["C+"] < 1e-8 < 1e-5 < end["#CO"]


def test_hydrogen_comes_to_the_balance_of_grains_and_cosmic_rays(tmp_path):
    destroyed = "H2,CRP,NAN,H,H,,,1.3e-18,0,0,0,1e4,True"
    config = write(tmp_path, H2_FORMATION, destroyed, initial={"H": 0.7, "H2": 0.15})
    config.reltol = 1e-7
    network = Network(config)
    time = np.array([0.0, 1e4, 1e5, 1e8])

    hydrogen = network.solve(time, steps(3), network.initial)[:, 0]

    # H' = -2 f H + 2 d H2, with H + 2 H2 = 1.
    formed, lost = 2.46070e-13, 5 * 1.3e-18
    balance = lost / (2 * formed + lost)
    left = np.exp(-(2 * formed + lost) * YEAR * time)
    np.testing.assert_allclose(hydrogen, balance + (0.7 - balance) * left, rtol=1e-4)


def test_thick_ice_desorbs_layer_by_layer(tmp_path):
    config = write(
        tmp_path,
        "#CO,THERM,NAN,CO,,,,1,0,1300,0,1e4,True",
        initial={"#CO": 1e-4, "CO": 0},
    )
    config.reltol = 1e-7
    network = Network(config)

    ice = network.solve(
        np.array([0.0, 1e4, 2e4]), steps(2, dustTemp=25.0), network.initial
    )

    # ice' = -k m ice / (m + ice):  ice + m ln(ice) falls by k m t.
    level = ice[:, 0] + MONOLAYER * np.log(ice[:, 0])
    fallen = 1e12 * np.exp(-1300 / 25) * MONOLAYER * YEAR * np.array([0, 1e4, 2e4])
    np.testing.assert_allclose(level[0] - level, fallen, rtol=1e-4)
    assert ice[-1, 0] < 0.9 * ice[0, 0]


def test_an_interval_agrees_with_another_integrator(network, run, shipped):
    from scipy.integrate import solve_ivp

    time, physical, abundances = run
    reactions, _, _ = shipped
    here = {name: values[12] for name, values in physical.items()}
    coefficients = Rates(reactions)(here)
    years = time[13] - time[12]

    done = solve_ivp(
        lambda _, y: change_by_loops(reactions, network.species, coefficients, y),
        (0, years * YEAR),
        abundances[12],
        method="Radau",
        rtol=1e-8,
        atol=1e-24,
    )

    seen = abundances[13] > 1e-14
    assert seen.sum() > 15
    np.testing.assert_allclose(abundances[13][seen], done.y[seen, -1], rtol=2e-3)


def test_parameters_drive_what_comes_after_them(network, run):
    time, physical, before = run
    for name in physical:
        changed = {key: values.copy() for key, values in physical.items()}
        changed[name][7] *= 1.5

        after = network.solve(
            time[:10], {k: v[:9] for k, v in changed.items()}, before[0]
        )

        np.testing.assert_array_equal(after[:8], before[:8])
        assert abs(np.log10(after[8] / before[8])).max() > 1e-3, name


def test_a_host_process_solves_the_same(network, run):
    time, physical, abundances = run
    config = compose_generation(["solver=network"]).solver

    with SolverProcess(config) as host:
        solved = host.solve(
            time[:3], {k: v[:2] for k, v in physical.items()}, abundances[0]
        )

    assert host.species == network.species
    np.testing.assert_allclose(solved, abundances[:3], rtol=1e-12)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("C,OH,NAN,CO,H2,,,1e-10,0,0,0,1e4,True", r"line 3, C \+ OH -> CO .*H by \+1"),
        ("H2,CRP,NAN,H2+,,,,1e-17,0,0,0,1e4,True", r"line 3, H2 .*charge by \+1"),
        ("#H,#O,LH,#OH,,,,1,0,0,0,1e4,True", "LH -> #OH: is not a reaction of"),
        ("H,H,H,H2,H,,,1,0,0,0,1e4,True", "is not a reaction of a supported kind"),
        ("H,NAN,NAN,H,,,,1,0,0,0,1e4,True", "is not a reaction of a supported kind"),
        ("C,O,NAN,CO,,,,fast,0,0,0,1e4,True", "Alpha is 'fast', but must be a number"),
        ("C,XX,NAN,CO,,,,1,0,0,0,1e4,True", "species 'XX' cannot be read"),
    ],
)
def test_a_wrong_reaction_is_named(tmp_path, row, message):
    config = write(tmp_path, H2_FORMATION, row, initial={"H": 1, "H2": 0})

    with pytest.raises(InputError, match=message) as error:
        Network(config)

    assert str(error.value).startswith(str(tmp_path / "reactions.csv"))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    config = write(tmp_path, H2_FORMATION, initial={"H": 1})
    with pytest.raises(
        InputError, match=r"initial\.csv: lacks 1 of 2 species, first H2"
    ):
        Network(config)

    (tmp_path / "reactions.csv").write_text("Reactant 1,Alpha\nH,1\n")
    with pytest.raises(InputError, match="lacks column 'Reactant 2'"):
        Network(config)

    config.files["reactions"] = "absent.csv"
    with pytest.raises(InputError, match=r"solver\.files\.reactions is 'absent.csv'"):
        Network(config)

    del config.files["reactions"]
    with pytest.raises(InputError, match=r"solver\.files\.reactions is missing"):
        Network(config)

    config.options = {"fast": 1.0}
    with pytest.raises(InputError, match=r"solver\.options\.fast"):
        Network(config)


def test_own_files_come_before_those_that_ship(tmp_path, monkeypatch):
    folder = tmp_path / "configs" / "solver" / "small"
    folder.mkdir(parents=True)
    write(folder, H2_FORMATION, initial={"H": 1, "H2": 0})
    monkeypatch.chdir(tmp_path)

    network = make_solver(compose_generation(["solver=network"]).solver)

    assert network.species == ("H", "H2")


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.integrate", None)

    with pytest.raises(InputError, match=r'pip install "astrokeras\[generate\]"'):
        make_solver(SolverConfig(kind="network"))
