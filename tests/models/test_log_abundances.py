"""The pure function of a surrogate: the numbers of `emulate`, and their gradients."""

import warnings

import numpy as np
import pytest
from conftest import BACKEND
from gradients import check_slopes, gradient
from keras import ops
from surrogates import make_projection, make_trust, to_numpy
from tiny import PARAMETERS, make_tracers

from astrokeras.errors import InputError
from astrokeras.models.log_abundances import LogAbundances

TRACERS = make_tracers().take(np.arange(3))
X, PHYSICAL, TIME = (
    TRACERS.abundances[:, 0],
    TRACERS.physical[:, :3],
    TRACERS.time[:, :4],
)
YEARS = np.diff(TIME)
NAMES = ["CO", "$H2O", "#H2O"]
LOGS = np.log10(PHYSICAL[:, 0])


@pytest.fixture(scope="module")
def surrogate():
    rng = np.random.default_rng(0)
    trust = make_trust(rng, random_features=8)
    made = make_projection(rng, members=2).replace(trust=trust)
    scaler = made.emulator.autoencoder.species_scaler
    offset, scale = scaler.get_weights()
    offset[7:9] = 0.03  # ices of 4e-20, the square of which is 0 in float32
    scaler.set_scales(offset, scale)
    return made


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def compiled(function):
    """Return a function as users compile it: JAX compiles each operation else."""
    if BACKEND == "jax":
        return __import__("jax").jit(function)
    if BACKEND == "tensorflow":
        return __import__("tensorflow").function(function)
    return function


# What does not depend on the backend is tested on the one that compiles nothing.
neutral = pytest.mark.torch


def ten_to(logs):
    return ops.power(10.0, ops.cast(logs, "float32"))


def check_equal(found, wanted, tolerance=2e-5):
    for values, truth in zip(found, wanted, strict=True):
        assert values.shape == truth.shape
        np.testing.assert_allclose(to_numpy(values), truth, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"species": NAMES, "conserve": False, "state_indices": [-1, 0, 1]},
        pytest.param({"return_sigma": True}, marks=neutral),
        pytest.param({"species": NAMES, "return_sigma": True}, marks=neutral),
        pytest.param({"species": NAMES, "state_indices": [0]}, marks=neutral),
    ],
    ids=["some", "all", "error bars", "first"],
)
def test_the_numbers_are_those_of_emulate(surrogate, options):
    absent = X.copy()
    absent[:, 7] = 0.0
    function = compiled(surrogate.log_abundances_function(**options))

    found = function(PHYSICAL, YEARS, absent)

    wanted = surrogate.emulate(absent, PHYSICAL, TIME, **options)
    if "return_sigma" not in options:
        found, wanted = [found], [wanted]
    check_equal(found, [np.log10(wanted[0]), *wanted[1:]])


@neutral
class TestArguments:
    def test_held_parameters_give_the_numbers_of_static(self, surrogate):
        times = [50.0, 400.0]
        held = PHYSICAL[:, 0]
        function = surrogate.log_abundances_function(NAMES, time=times)
        named = dict(zip(PARAMETERS, held.T, strict=True))

        wanted = np.log10(surrogate.static(time=times, species=NAMES, **named))

        check_equal([function(held)], [wanted])
        shuffled = {name.lower(): named[name] for name in reversed(PARAMETERS)}
        check_equal([function(shuffled)], [wanted])
        check_equal([function(held[1])], [wanted[1]])

    def test_an_axis_of_tracers_is_optional_and_values_are_broadcast(self, surrogate):
        function = surrogate.log_abundances_function(initial=X[0])
        threefold = np.stack([PHYSICAL] * 3, axis=2)
        mixed = {"Density": PHYSICAL[0, :, 0], "Radfield": 20.0, "Av": 3.0}
        held = {"Density": 20.0, "Radfield": 20.0, "Av": 3.0}

        found = to_numpy(function(PHYSICAL, 100.0))

        assert found.shape == (3, 4, 10)
        check_equal([function(threefold, YEARS)], [found])
        check_equal([function(PHYSICAL[1], YEARS[1])], [found[1]])
        check_equal([function(PHYSICAL[0], 100.0, X)[:1]], [found[:1]])
        assert function(mixed, 100.0).shape == (4, 10)
        assert function(held, YEARS[0, :2]).shape == (3, 10)

    def test_assumed_columns_follow_the_extinction(self, rng):
        names, plain = ("Av", "NH2", "NCO"), make_projection(rng)
        ranges = dict.fromkeys(names, (0.1, 1e25))
        changes = {"units": ("mag", "cm^-2", "cm^-2"), "parameter_ranges": ranges}
        surrogate = plain.replace(parameters=names, **changes)
        surrogate.parameter_scaler.set_scales([0.0, 21, 16], [1.0, 2, 3])
        function = surrogate.log_abundances_function(NAMES, time=300.0)

        wanted = np.log10(surrogate.static(time=300.0, species=NAMES, Av=3.0)[0])

        check_equal([function({"Av": 3.0}), function([3.0])], [wanted, wanted])
        logs = np.log10([[3.0], [4.0]])
        check_slopes(lambda u: function({"Av": ten_to(u)[:, 0]}), logs, rng, step=0.002)

    def test_later_changes_of_the_surrogate_do_not_matter(self, rng):
        other = make_projection(rng)
        function = other.log_abundances_function(NAMES, initial=X)
        before = to_numpy(function(PHYSICAL, YEARS))

        for weight in other.trainable_weights:
            weight.assign(to_numpy(weight) + 0.1)

        np.testing.assert_array_equal(to_numpy(function(PHYSICAL, YEARS)), before)
        after = np.log10(other.emulate(X, PHYSICAL, TIME, species=NAMES))
        assert np.abs(after - before).max() > 0.01


@pytest.fixture(scope="module")
def evolved(surrogate):
    """Return abundances and error bars of logarithms of parameters and state 0."""
    # To compile the conservation, whose gradient has a test of its own, takes long.
    options = {"conserve": BACKEND == "torch", "return_sigma": True}
    plain = surrogate.log_abundances_function(NAMES, time=300.0, **options)

    def rows(logs):
        given = dict(
            zip(PARAMETERS, ops.unstack(ten_to(logs[..., :3]), 3, -1), strict=True)
        )
        found = plain(given, initial=ten_to(logs[..., 3:]))
        return ops.concatenate(found, axis=-1)[..., 0, :]

    return compiled(__import__("jax").vmap(rows) if BACKEND == "jax" else rows)


class TestGradients:
    def test_they_are_those_of_differences(self, evolved, rng):
        point = np.concatenate([LOGS, np.log10(X)], axis=1)

        check_slopes(evolved, point, rng, step=0.002)

    def test_they_are_finite_everywhere(self, evolved):
        parameters = [[-10.0, -10, -10], [0, 0, 0], [12, 10, 3]]
        states = [[-50.0] * 10, [0.0] * 10, [-20.0, 1, *[-20] * 8]]

        found = gradient(evolved, np.concatenate([parameters, states], axis=1))

        assert np.isfinite(found).all()

    @neutral
    def test_those_of_intervals_are_those_of_differences(self, surrogate, rng):
        function = surrogate.log_abundances_function(NAMES, state_indices=[1, -1])

        def states(u):
            return function(np.tile(PHYSICAL, (len(u) // 3, 1, 1)), ten_to(u))

        check_slopes(states, np.log10(YEARS), rng, step=0.2)

    @neutral
    def test_torch_finds_no_change_of_the_surrogate(self, surrogate):
        import torch

        function = surrogate.log_abundances_function(NAMES, time=300.0)
        before = [weight.requires_grad for weight in surrogate.parameters()]
        logs = torch.tensor(LOGS, dtype=torch.float64, requires_grad=True)

        function(10**logs).sum().backward()

        assert any(before)
        assert logs.grad.abs().max() > 0
        assert before == [weight.requires_grad for weight in surrogate.parameters()]
        assert all(weight.grad is None for weight in surrogate.parameters())
        assert not function(PHYSICAL[:, 0]).requires_grad

    @pytest.mark.tensorflow
    def test_tensorflow_compiles_them_and_watches_no_weight(self, surrogate):
        import tensorflow as tf

        function = surrogate.log_abundances_function(["CO"], time=50.0, conserve=False)

        @tf.function(jit_compile=True)
        def slopes(logs):
            with tf.GradientTape() as tape:
                tape.watch(logs)
                found = function(10.0**logs)
            assert tape.watched_variables() == ()
            return tape.gradient(found, logs)

        assert np.abs(slopes(tf.constant(LOGS, "float32"))).max() > 0


@neutral
class TestRefusals:
    @pytest.mark.parametrize(
        ("physical", "message"),
        [
            ({"Density": 20.0, "Radfeld": 1.0}, "the function needs Density.*did you"),
            (np.ones((2, 5)), r"physical has shape \(2, 5\); the last axis must hold"),
            (1.0, r"physical has shape \(\)"),
            (np.ones((2, 4, 3)), "with `time` parameters are held"),
        ],
        ids=["name", "columns", "number", "track"],
    )
    def test_parameters(self, surrogate, physical, message):
        function = surrogate.log_abundances_function(time=100.0)

        with pytest.raises(InputError, match=message):
            function(physical)

    def test_times_and_shapes(self, surrogate):
        held, moving = (
            surrogate.log_abundances_function(time=time) for time in (100.0, None)
        )

        with pytest.raises(InputError, match="years: was given when the function"):
            held(PHYSICAL[:, 0], YEARS)
        with pytest.raises(InputError, match="years: is needed"):
            moving(PHYSICAL)
        with pytest.raises(InputError, match="do not go together"):
            moving(PHYSICAL, YEARS[:2])
        with pytest.raises(InputError, match=r"initial have shapes .* \(3, 4\)"):
            moving(PHYSICAL, YEARS, X[:, :4])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"species": ["CX"]}, "species 'CX'"),
            ({"time": 5.0}, "no number of the trained intervals"),
            ({"time": 100.0, "state_indices": [1]}, "both given"),
            ({"initial": "nowhere"}, "nowhere"),
            ({"initial": X - 1}, r"lie in \[0, 1\]"),
            ({"conserve": 3}, "conserve"),
        ],
        ids=lambda value: str(value)[:20] if isinstance(value, dict) else "",
    )
    def test_options(self, surrogate, options, message):
        with pytest.raises(InputError, match=message):
            surrogate.log_abundances_function(**options)

    def test_error_bars_need_calibration(self, surrogate):
        with pytest.raises(InputError, match="not calibrated"):
            surrogate.replace(trust=None).log_abundances_function(return_sigma=True)


@neutral
def test_it_says_what_it_is(surrogate):
    function = surrogate.log_abundances_function(["CO", "$H2O"], time=100.0)

    assert isinstance(function, LogAbundances)
    assert function.species == ("CO", "$H2O")
    assert repr(function).startswith("<LogAbundances: CO, $H2O of <Surrogate: 10 spec")
