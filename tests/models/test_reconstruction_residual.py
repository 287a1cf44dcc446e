"""Codes that decode and encode at every step: what is carried."""

import numpy as np
import pytest
from surrogates import bounded, make_projection, make_surrogate, to_numpy
from tiny import PARAMETERS, SPECIES, STEP, make_tracers

import astrokeras

S, P = len(SPECIES), len(PARAMETERS)
CARRY = 0.2


@pytest.fixture(scope="module")
def tracers():
    return make_tracers(simulations=3)


def logs(abundances):
    return np.log10(abundances.astype("f8"))


@pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")
class TestWhatIsCarried:
    """What the decoder missed of state 0 is added to states that are close to it."""

    @pytest.fixture(scope="class")
    @classmethod
    def surrogate(cls):
        surrogate = make_surrogate(np.random.default_rng(0))
        return surrogate.replace(residual_decay_length=CARRY, conserve=False)

    def given(self, tracers):
        return tracers.abundances[:, 0], tracers.physical, STEP

    def test_a_loop_loses_nothing_where_the_latents_stay(self, rng, tracers):
        still = make_surrogate(rng)
        cell = still.emulator.recurrence.cell
        for weight in cell.last.weights:
            weight.assign(np.zeros(weight.shape))
        initial, physical, _ = self.given(tracers)
        state = dict.fromkeys((CARRY, 0.0), initial)
        for residual_decay_length in state:
            surrogate = still.replace(
                residual_decay_length=residual_decay_length, conserve=False
            )
            for t in range(6):
                told = state[residual_decay_length], physical[:, t : t + 1], STEP
                state[residual_decay_length] = surrogate.emulate(*told)[:, 1]

        np.testing.assert_allclose(logs(state[CARRY]), logs(initial), atol=1e-4)
        assert np.abs(logs(state[0.0]) - logs(initial)).mean() > 1

    def test_it_fades_along_the_path_of_the_latents(self, surrogate, tracers):
        initial, physical, _ = given = self.given(tracers)
        emulator = surrogate.emulator
        scaled = (1 + logs(initial) / 20).astype("f4")
        encoded = emulator.encode(scaled)
        rolled = to_numpy(emulator.rollout(encoded, np.log10(physical))[0])
        states = np.concatenate([to_numpy(encoded)[:, None], rolled], axis=1)
        steps = np.sqrt(np.square(np.diff(states, axis=1)).mean(-1))
        fade = np.exp(-np.cumsum(steps, axis=1) / CARRY)
        decoded = to_numpy(emulator.decode(states))
        missed = scaled - decoded[:, 0]
        expected = decoded[:, 1:] + missed[:, None] * fade[..., None]
        expected = bounded(surrogate, expected)

        result = surrogate.emulate(*given)[:, 1:]

        assert fade.max() > 0.5
        assert fade.min() < 0.05
        assert np.abs(missed).max() > 0.1
        np.testing.assert_allclose(logs(result), 20 * (expected - 1), atol=2e-3)

    @pytest.mark.parametrize("conserve", [True, False])
    def test_asking_for_less_gives_parts_of_the_whole(
        self, surrogate, tracers, conserve
    ):
        given = self.given(tracers)
        whole = surrogate.emulate(*given, conserve=conserve)

        species = ["CO", "$H2O", "H"]
        some = surrogate.emulate(
            *given,
            species=species,
            state_indices=[3, 0, -1],
            batch_size=4,
            conserve=conserve,
        )

        columns = [SPECIES.index(name) for name in ("CO", "#H2O", "@H2O", "H")]
        co, surface, bulk, hydrogen = np.moveaxis(whole[..., columns], -1, 0)
        expected = np.stack([co, surface + bulk, hydrogen], -1)[:, [3, 0, -1]]
        np.testing.assert_allclose(some, expected, rtol=1e-4)

    def test_element_totals_are_kept_besides(self, surrogate, tracers):
        result = surrogate.emulate(*self.given(tracers), conserve=True)

        totals = result.astype("f8") @ surrogate.stoichiometry
        np.testing.assert_allclose(totals / totals[:, :1], 1.0, atol=2e-6)

    def test_a_file_keeps_it(self, surrogate, tracers, tmp_path):
        surrogate.save(tmp_path / "surrogate.keras")
        loaded = astrokeras.load(tmp_path / "surrogate.keras")

        assert loaded.residual_decay_length == CARRY
        given = self.given(tracers)
        expected = surrogate.emulate(*given)
        np.testing.assert_allclose(loaded.emulate(*given), expected, rtol=1e-5)


def test_a_surrogate_with_other_parts_is_else_the_same(rng, tracers):
    surrogate = make_surrogate(rng)
    surrogate.parameter_scaler.set_scales(np.ones(P), np.array([0.5, 2.0, 1.0]))
    given = tracers.abundances[:, 0], tracers.physical, STEP

    other = surrogate.replace(conserve=False)

    assert surrogate.conserve
    assert not other.conserve
    assert other.get_config() == surrogate.get_config() | {"conserve": False}
    assert other.emulator is surrogate.emulator
    np.testing.assert_array_equal(
        other.emulate(*given), surrogate.emulate(*given, conserve=False)
    )


@pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")
@pytest.mark.parametrize("residual_decay_length", [0.0, 0.3])
def test_a_loop_through_a_projection_is_the_rollout(
    rng, tracers, residual_decay_length
):
    """Its encoder finds the latents that were decoded, and none of what is kept."""
    surrogate = make_projection(rng).replace(
        residual_decay_length=residual_decay_length, conserve=False
    )
    states, physical = tracers.abundances[:, 5], tracers.physical[:, :6]
    rolled = surrogate.emulate(states, physical, 100.0)[:, 1:]

    for t in range(6):
        told = states, physical[:, t : t + 1], 100.0
        states = surrogate.emulate(*told)[:, 1]
        np.testing.assert_allclose(logs(states), logs(rolled[:, t]), atol=2e-3)
    assert np.abs(logs(rolled[:, -1]) - logs(rolled[:, 0])).max() > 0.05


def test_what_is_said_of_species_at_the_floor_is_kept(rng):
    """Within half a decade below it; what a solver has lower is at the floor."""
    surrogate = make_projection(rng)
    x = make_tracers().abundances[0, 3].astype("f8")
    states = np.tile(x, (4, 1))
    states[:, 8] = 1e-20, 4e-21, 1e-27, 0.0

    at_floor, below, lower, none = surrogate.encode(states)

    assert np.abs(below - at_floor).max() > 1e-3
    np.testing.assert_allclose(lower, at_floor, rtol=1e-5)
    np.testing.assert_allclose(none, at_floor, rtol=1e-5)
