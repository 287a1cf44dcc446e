"""Autoencoder, emulator and surrogate: ties, files, physical units, refusals."""

import json
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from surrogates import bounded, make_autoencoder, make_surrogate, randomise, to_numpy
from tiny import PARAMETERS, SPECIES, STEP, make_tracers

import astrokeras
from astrokeras.errors import InputError, OutsideBoxWarning
from astrokeras.models.autoencoder import Autoencoder
from astrokeras.models.emulator import Emulator, copy_model
from astrokeras.models.metadata import check_metadata
from astrokeras.runs.loading import read_metadata

S, P = len(SPECIES), len(PARAMETERS)


# One for all tests, since each compiles its functions anew.
@pytest.fixture(scope="module")
def surrogate():
    return make_surrogate(np.random.default_rng(0))


@pytest.fixture(scope="module")
def tracers():
    return make_tracers(simulations=3)


def test_mixed_precision_is_of_the_products_alone(rng):
    exact = make_surrogate(rng).emulator
    policy = {"precision": "mixed_bfloat16"}
    inner = Autoencoder.from_config(exact.autoencoder.get_config() | policy)
    mixed = Emulator.from_config(exact.get_config() | {"autoencoder": inner} | policy)
    mixed.build()
    mixed.set_weights(exact.get_weights())
    initial = rng.random((5, S)).astype("float32")
    parameters = rng.normal(size=(5, 9, P)).astype("float32")

    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    assert {dense.compute_dtype for dense in inner.dense} == {"bfloat16"}
    pairs = [
        (model.encode(initial), model((initial, parameters)))
        for model in (mixed, exact)
    ]
    for ours, truth in zip(*pairs, strict=True):
        ours, truth = to_numpy(ours), to_numpy(truth)
        assert ours.dtype == "float32"
        assert 1e-6 < np.abs(ours - truth).max() < 0.02 * np.abs(truth).max()


@pytest.mark.parametrize("model", [Autoencoder, Emulator])
def test_an_unknown_precision_is_refused(model, rng):
    first = S if model is Autoencoder else make_autoencoder(rng)
    with pytest.raises(ValueError, match="precision is 'float16'; give"):
        model(first, (3,) if model is Autoencoder else P, precision="float16")


def test_each_kernel_exists_once(rng):
    model = make_autoencoder(rng)
    kernels = [w.shape for w in model.weights if w.path.endswith("kernel")]

    assert kernels == [(S, 8), (8, 6), (6, 3)]


def assert_tied(model, rng):
    """The decoder's Jacobian must be made of the encoder's kernels, transposed."""
    latent = rng.normal(size=(1, 3)).astype("float32")
    before = to_numpy(model.decode(latent))
    kernel = model.dense[-1].kernel
    kernel.assign(to_numpy(kernel) * 2)
    model.dense[-1].reverse_bias.assign(to_numpy(model.dense[-1].reverse_bias))
    after = to_numpy(model.decode(latent))
    kernel.assign(to_numpy(kernel) / 2)
    restored = to_numpy(model.decode(latent))
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(restored, before, atol=1e-6)


def test_the_tie_holds_after_saving_loading_and_training(rng, tmp_path):
    model = make_autoencoder(rng)
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    assert len(loaded.weights) == len(model.weights)
    assert_tied(loaded, rng)

    loaded.compile("adam", "mse")
    x = rng.uniform(size=(64, S)).astype("float32")
    loaded.fit(x, x, epochs=2, verbose=0)

    assert len([w for w in loaded.weights if w.path.endswith("kernel")]) == 3
    assert_tied(loaded, rng)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_decoding_some_species_is_a_part_of_all(rng, normalise, output):
    model = make_autoencoder(rng, normalise=normalise, output=output)
    model.species_scaler.set_scales(rng.normal(size=S), rng.uniform(1, 2, S))
    latent = rng.normal(size=(4, 5, 3)).astype("float32")

    some = to_numpy(model.decode(latent, outputs=np.array([7, 0])))

    np.testing.assert_allclose(
        some, to_numpy(model.decode(latent))[..., [7, 0]], rtol=1e-5, atol=1e-6
    )


def test_the_emulator_freezes_the_autoencoder(rng):
    frozen = Emulator(make_autoencoder(rng), P, (7,))
    finetune_autoencoder = Emulator(
        make_autoencoder(rng), P, (7,), finetune_autoencoder=True
    )
    frozen.build()
    finetune_autoencoder.build()

    assert {w.path.split("/")[0] for w in frozen.trainable_weights} != set()
    assert not frozen.autoencoder.trainable_weights
    assert len(finetune_autoencoder.trainable_weights) > len(frozen.trainable_weights)


def test_decoding_some_states_is_a_part_of_all(rng):
    emulator = make_surrogate(rng).emulator
    initial = rng.uniform(size=(2, S)).astype("float32")
    parameters = rng.normal(size=(2, 6, P)).astype("float32")
    index = np.array([[0, 5], [2, 3]], "int32")

    some = to_numpy(emulator((initial, parameters, index)))

    every = to_numpy(emulator((initial, parameters)))
    assert every.shape == (2, 7, S)
    reconstructed = to_numpy(emulator.autoencoder(initial))
    np.testing.assert_allclose(every[:, 0], reconstructed, rtol=1e-4, atol=1e-5)
    expected = np.take_along_axis(every, index[:, :, None], axis=1)
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-6)


def test_emulate_is_encode_roll_decode_in_physical_units(surrogate, tracers):
    initial, physical = tracers.abundances[:, 0], tracers.physical
    result = surrogate.emulate(initial, physical, tracers.time, conserve=False)

    scaled = 1 + np.log10(initial) / 20
    latents = surrogate.emulator.encode(scaled.astype("float32"))
    rolled, _ = surrogate.emulator.rollout(latents, np.log10(physical))
    decoded = bounded(surrogate, to_numpy(surrogate.emulator.decode(rolled)))
    assert result.shape == tracers.abundances.shape
    np.testing.assert_allclose(result[:, 0], initial, rtol=1e-6)
    np.testing.assert_allclose(np.log10(result[:, 1:]), 20 * (decoded - 1), atol=1e-3)


def test_members_are_in_the_file_and_their_mean_is_evolved(tracers, tmp_path):
    rng = np.random.default_rng(1)
    surrogate = make_surrogate(rng, members=2)
    initial, physical = tracers.abundances[:, 0], tracers.physical
    surrogate.save(tmp_path / "surrogate.keras")

    loaded = astrokeras.load(tmp_path / "surrogate.keras")

    emulator, recurrence = loaded.emulator, loaded.emulator.recurrence
    kernels = [to_numpy(member.first.kernel) for member in recurrence.members]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01
    given = surrogate.emulator.get_weights()
    for model in (emulator, copy_model(surrogate.emulator)):
        for ours, theirs in zip(model.get_weights(), given, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    scaled = (1 + np.log10(initial) / 20).astype("float32")
    rolled, spread = emulator.rollout(emulator.encode(scaled), np.log10(physical))
    decoded = bounded(surrogate, to_numpy(emulator.decode(rolled)))
    evolved = loaded.emulate(initial, physical, STEP, conserve=False)
    np.testing.assert_allclose(np.log10(evolved[:, 1:]), 20 * (decoded - 1), atol=1e-3)
    assert to_numpy(spread).shape == physical.shape[:2]


@pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")
class TestAnyInterval:
    """A surrogate that is told how long intervals are, and what parameters do there."""

    @pytest.fixture(scope="class")
    @classmethod
    def surrogate(cls):
        rng = np.random.default_rng(0)
        surrogate = make_surrogate(rng, use_timestep=True, dt_range=(STEP, 8 * STEP))
        randomise(surrogate.emulator, rng, 0.7)  # so that what it is told matters
        spread = np.array([0.5, 2.0, 1.5])
        surrogate.parameter_scaler.set_scales(np.array([1.0, -0.5, 0.2]), spread)
        return surrogate

    @pytest.fixture
    def time(self, rng):
        """Another length of each interval of each tracer."""
        steps = STEP * 8.0 ** rng.uniform(0, 1, (6, 12))
        return np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0)))

    def by_hand(self, surrogate, initial, physical, time):
        """Step by step, from mean, first and last `(N, T, 3, P)`."""
        scaled = (np.log10(physical.astype("f8")) - [1.0, -0.5, 0.2]) / [0.5, 2.0, 1.5]
        emulator = surrogate.emulator
        logs = 1 + np.log10(initial.astype("f8")) / 20
        latents = emulator.encode(logs.astype("f4"))
        states = [initial]
        for t in range(physical.shape[1]):
            mean, first, last = np.moveaxis(scaled[:, t], 1, 0)
            length = np.log10((time[:, t + 1] - time[:, t]) / STEP)[:, None]
            told = np.concatenate([mean, first - mean, last - mean, length], axis=1)
            rolled, _ = emulator.rollout(latents, told[:, None].astype("f4"))
            latents = rolled[:, 0]
            decoded = bounded(surrogate, to_numpy(emulator.decode(latents)))
            states.append(10.0 ** (20 * (decoded - 1)))
        return np.stack(states, axis=1)

    def test_irregular_steps_are_those_made_by_hand(self, surrogate, tracers, time):
        initial, held = tracers.abundances[:, 0], tracers.physical
        result = surrogate.emulate(initial, held, time, conserve=False)

        three = np.repeat(held[:, :, None], 3, axis=2)
        expected = self.by_hand(surrogate, initial, three, time)
        np.testing.assert_allclose(np.log10(result), np.log10(expected), atol=1e-3)
        other = surrogate.emulate(initial, held, STEP, conserve=False)
        assert np.abs(np.log10(result) - np.log10(other)).max() > 0.1

    def test_parameters_may_move_within_an_interval(self, surrogate, tracers, rng):
        initial = tracers.abundances[:, 0]
        moving = tracers.physical[:, :, None] * 10 ** rng.uniform(0, 1, (6, 12, 3, 3))
        result = surrogate.emulate(initial, moving, 2 * STEP, conserve=False)

        time = np.tile(2 * STEP * np.arange(13), (6, 1))
        expected = self.by_hand(surrogate, initial, moving, time)
        np.testing.assert_allclose(np.log10(result), np.log10(expected), atol=1e-3)

    def test_asking_for_less_gives_parts_of_the_whole(self, surrogate, tracers, time):
        given = tracers.abundances[:, 0], tracers.physical, time
        whole = surrogate.emulate(*given)

        some = surrogate.emulate(
            *given, species=["CO"], state_indices=[3, -1], batch_size=4
        )

        column = SPECIES.index("CO")
        expected = whole[:, [3, -1]][..., [column]]
        np.testing.assert_allclose(some, expected, rtol=1e-4)

    @pytest.mark.parametrize("step", [0.5 * STEP, 8.1 * STEP])
    def test_outside_of_the_range_it_is_refused(self, surrogate, tracers, step):
        time = np.cumsum([0.0] + [STEP] * 6 + [step] + [STEP] * 5)
        with pytest.raises(InputError, match=rf"of {step:g} yr.* on 100 to 800 yr"):
            surrogate.emulate(tracers.abundances[:, 0], tracers.physical, time)

    def test_it_is_the_same_when_loaded(self, surrogate, tracers, time, tmp_path):
        surrogate.save(tmp_path / "surrogate.keras")
        given = tracers.abundances[:, 0], tracers.physical, time
        loaded = astrokeras.load(tmp_path / "surrogate.keras")

        assert loaded.dt_range == (STEP, 8 * STEP)
        expected = surrogate.emulate(*given)
        np.testing.assert_allclose(loaded.emulate(*given), expected, rtol=1e-5)


def test_who_takes_one_interval_sees_the_mean(surrogate, tracers):
    initial, physical = tracers.abundances[:, 0], tracers.physical
    moving = np.stack([physical, 2 * physical, 3 * physical], axis=2)
    with pytest.warns(OutsideBoxWarning):
        result = surrogate.emulate(initial, moving, STEP)

    expected = surrogate.emulate(initial, physical, STEP)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize("conserve", [True, False])
def test_asking_for_less_gives_parts_of_the_whole(surrogate, tracers, conserve):
    initial, physical = tracers.abundances[:, 0], tracers.physical
    every = surrogate.emulate(initial, physical, STEP, conserve=conserve)

    species = ["CO", "$H2O", "E-"]
    some = surrogate.emulate(
        initial,
        physical,
        STEP,
        species=species,
        state_indices=[-1, 0, 3],
        conserve=conserve,
    )

    columns = [SPECIES.index(name) for name in ("CO", "#H2O", "@H2O", "E-")]
    co, surface, bulk, electrons = np.moveaxis(every[..., columns], -1, 0)
    expected = np.stack([co, surface + bulk, electrons], -1)[:, [-1, 0, 3]]
    np.testing.assert_allclose(some, expected, rtol=1e-4)


def test_one_name_is_one_species(surrogate, tracers):
    arguments = tracers.abundances[:, 0], tracers.physical, STEP
    one = surrogate.emulate(*arguments, species="CO", state_indices=-1)

    expected = surrogate.emulate(*arguments, species=["CO"], state_indices=[-1])
    assert one.shape == (6, 1, 1)
    np.testing.assert_array_equal(one, expected)


def test_encode_and_decode_take_any_rank(surrogate, tracers):
    states = tracers.abundances[:, :5]
    latents = surrogate.encode(states)

    assert latents.shape == (6, 5, 3)
    np.testing.assert_allclose(surrogate.encode(states[2, 3]), latents[2, 3], atol=1e-5)
    decoded = surrogate.decode(latents)
    assert decoded.shape == states.shape
    np.testing.assert_allclose(
        surrogate.decode(latents[2, 3]), decoded[2, 3], rtol=1e-4
    )
    with pytest.raises(InputError, match="the last axis must be 3"):
        surrogate.decode(np.zeros((4, 5)))


def test_the_surrogate_says_what_it_is(surrogate):
    assert repr(surrogate) == (
        "<Surrogate: 10 species, Density, Radfield, Av, "
        "steps of 100 to 100 yr, initial conditions tiny>"
    )


def test_batches_do_not_change_the_answer(surrogate, tracers):
    arguments = tracers.abundances[:, 0], tracers.physical, STEP
    whole = surrogate.emulate(*arguments)

    pieces = surrogate.emulate(*arguments, batch_size=4)

    np.testing.assert_allclose(pieces, whole, rtol=1e-4)


def test_a_named_start_serves_all_tracers(surrogate, tracers):
    named = surrogate.emulate("tiny", tracers.physical, STEP)
    given = surrogate.emulate(
        surrogate.initial_conditions["tiny"], tracers.physical, STEP
    )

    np.testing.assert_allclose(named, given, rtol=1e-6)


def test_encode_decode_and_reconstruct_agree(surrogate, tracers):
    states = tracers.abundances[:, 4]
    latents = surrogate.encode(states)
    decoded = surrogate.decode(latents)

    assert latents.shape == (len(states), 3)
    np.testing.assert_allclose(
        surrogate.reconstruct(tracers.abundances)[:, 4], decoded, rtol=1e-4
    )
    water = surrogate.decode(latents, species=["$H2O"])[:, 0]
    np.testing.assert_allclose(water, decoded[:, 7] + decoded[:, 8], rtol=1e-4)


def test_a_loaded_surrogate_is_frozen_and_the_same(surrogate, tracers, tmp_path):
    path = tmp_path / "surrogate.keras"
    surrogate.save(path)
    loaded = astrokeras.load(path)
    arguments = tracers.abundances[:, 0], tracers.physical, STEP

    np.testing.assert_allclose(
        loaded.emulate(*arguments), surrogate.emulate(*arguments), rtol=1e-5
    )
    assert not loaded.trainable_weights
    assert loaded.species == SPECIES
    assert loaded.parameter_ranges == surrogate.parameter_ranges
    np.testing.assert_array_equal(loaded.stoichiometry, surrogate.stoichiometry)


def test_metadata_are_read_without_keras(surrogate, tmp_path):
    path = tmp_path / "surrogate.keras"
    surrogate.save(path)
    metadata = read_metadata(path)

    assert metadata.species == SPECIES
    assert metadata.dt_range == (STEP, STEP)
    columns = "N(H2) = 0.5 N(H), N(CO) = 1e-5 N(H) assumed"
    assert metadata.fixed == ("zeta = 1", columns)
    assert set(metadata.parameter_ranges) == set(PARAMETERS)


def test_columns_that_are_missing_are_assumed(surrogate, tracers):
    names = ("NH2", "Av", "NCO")
    taking = surrogate.replace(
        parameters=names,
        units=("cm^-2", "mag", "cm^-2"),
        parameter_ranges=dict.fromkeys(names, (1e-30, 1e30)),
    )
    taking.parameter_scaler.set_scales(np.array([21, 0.5, 16]), np.ones(3))
    extinction = np.linspace(1, 9, 12, dtype="f4").reshape(1, 12, 1)
    hydrogen = extinction / 5.348e-22
    whole = np.concatenate([0.5 * hydrogen, extinction, 1e-5 * hydrogen], -1)
    start = tracers.abundances[:1, 0]
    # Light comes through below ln(1e4) / 3.02 = 3.05 mag: in 3 of 12 steps.
    with pytest.warns(UserWarning, match=r"N\(H2\) = .* in 25% .*\(1 of 1"):
        assumed = taking.emulate(start, extinction, STEP)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dark = taking.emulate(start, extinction + 4, STEP)
        given = taking.emulate(start, whole, STEP)

    np.testing.assert_allclose(assumed, given, rtol=1e-5)
    assert not np.allclose(dark, given, rtol=1e-4, atol=0)


def test_leaving_the_box_is_a_warning_or_an_error(surrogate, tracers):
    physical = tracers.physical.copy()
    physical[1, 2, 1] = 1e9
    arguments = tracers.abundances[:, 0], physical, STEP

    with pytest.warns(OutsideBoxWarning, match=r"Radfield = 1e\+09 Habing"):
        surrogate.emulate(*arguments)
    with pytest.raises(InputError, match="Radfield = 1e"):
        surrogate.emulate(*arguments, strict=True)
    outside = surrogate.metadata.outside_parameters(physical)
    assert outside[1, 2].tolist() == [False, True, False]
    assert outside.sum() == 1


def test_longer_than_training_is_a_warning(surrogate, tracers):
    physical = np.repeat(tracers.physical, 2, axis=1)

    with pytest.warns(OutsideBoxWarning, match="2400 yr .* lasted 1200 yr"):
        surrogate.emulate(tracers.abundances[:, 0], physical, STEP)


def test_a_start_outside_is_named_with_its_species(surrogate, tracers):
    initial = tracers.abundances[:, 0].copy()
    initial[2, SPECIES.index("CO")] = 0.5

    with pytest.warns(OutsideBoxWarning, match=r"CO = 0.5 .* \(1 of 6 tracers"):
        surrogate.emulate(initial, tracers.physical, STEP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 50.0}, "interval of 50 yr.*100 to 100 yr"),
        ({"time": np.arange(4.0)}, "13 times"),
        ({"species": ["CO", "XYZ"]}, "'XYZ'"),
        ({"state_indices": [13]}, "reach beyond the 13 states"),
        ({"state_indices": [1.5]}, "numbers of states, 0 to 12, not years"),
        (
            {"physical": {"Density": 1}},
            "name the 3 columns once each.* lacks Radfield, Av",
        ),
        ({"initial": "nowhere"}, "'nowhere'; there are: tiny"),
        ({"initial": np.full(S, 2.0)}, "H is 2 for tracer 0"),
        ({"initial": np.full(S, np.nan)}, "H is nan"),
        ({"initial": np.ones(3)}, r"must be \(6, 10\)"),
        ({"initial": np.full((4, S), 0.1)}, "with 6 tracers"),
        ({"time": np.zeros((5, 13))}, r"\(5, 13\) for 6 tracers of 12 steps"),
        ({"physical": np.ones((6, 12, 2))}, "Density, Radfield, Av"),
        ({"physical": np.ones((6, 12, 2, 3))}, "mean, first and last"),
        ({"physical": np.full((6, 12, 3), -1.0)}, "Density is -1 for tracer 0"),
    ],
)
def test_wrong_input_is_refused(surrogate, tracers, change, message):
    arguments = {
        "initial": tracers.abundances[:, 0],
        "physical": tracers.physical,
        "time": STEP,
    }
    with pytest.raises(InputError, match=message):
        surrogate.emulate(**(arguments | change))


def test_a_model_of_the_future_is_refused(surrogate):
    config = surrogate.get_config() | {"version": 99}
    with pytest.raises(InputError, match=r"x\.keras: .* version 99"):
        check_metadata(Path("x.keras"), config)


def test_an_unknown_output_is_refused():
    with pytest.raises(ValueError, match="'softmax'"):
        Autoencoder(S, output="softmax")


def test_what_is_no_surrogate_is_refused(rng, tmp_path):
    make_autoencoder(rng).save(tmp_path / "a.keras")
    (tmp_path / "b.keras").write_bytes(b"nonsense")

    with zipfile.ZipFile(tmp_path / "c.keras", "w") as archive:
        archive.writestr("config.json", "[]")
    surrogate = make_surrogate(rng)
    surrogate.save(tmp_path / "whole.keras")
    with (
        zipfile.ZipFile(tmp_path / "whole.keras") as whole,
        zipfile.ZipFile(tmp_path / "d.keras", "w") as part,
    ):
        stored = json.loads(whole.read("config.json"))
        del stored["config"]["parameter_ranges"]
        part.writestr("config.json", json.dumps(stored))
        for name in ("metadata.json", "model.weights.h5"):
            part.writestr(name, whole.read(name))

    with pytest.raises(InputError, match=r"c.keras: is no Keras model"):
        astrokeras.load(tmp_path / "c.keras")
    with pytest.raises(InputError, match=r"d.keras: its config.json lacks param"):
        astrokeras.load(tmp_path / "d.keras")
    with pytest.raises(InputError, match="Autoencoder, not a Surrogate"):
        astrokeras.load(tmp_path / "a.keras")
    with pytest.raises(InputError, match=r"b.keras: is no Keras model"):
        astrokeras.load(tmp_path / "b.keras")
    with pytest.raises(InputError, match="no such run"):
        astrokeras.load("unheard-of")
