"""What is loaded computes as it was saved, whatever its process has set."""

import contextlib
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

import astrokeras
from astrokeras.errors import InputError
from astrokeras.losses import DexLoss
from astrokeras.metrics import Dex
from astrokeras.models.emulator import Emulator

OLD = Path(__file__).parent / "old" / "format1"
POLICIES = ("mixed_float16", "bfloat16", "float64")

pytestmark = pytest.mark.filterwarnings("ignore::astrokeras.errors.OutsideBoxWarning")


def load(**arguments):
    return astrokeras.load(OLD.with_suffix(".keras"), **arguments)


def predict(surrogate):
    """Return all that a surrogate says of known tracers."""
    with np.load(OLD.with_suffix(".npz")) as known:
        given = known["initial"], known["physical"], known["years"]
    options = {"return_sigma": True, "return_expected_error": True}
    said = surrogate.emulate(*given, return_status=True, **options)
    return *said, surrogate.encode(given[0]), surrogate.reconstruct(given[0])


@pytest.fixture(scope="module")
def expected():
    return predict(load())


def rarely(setting, name):
    return pytest.param(setting, id=name, marks=pytest.mark.long)


def check(found, expected):
    for value, wanted in zip(found, expected, strict=True):
        assert value.dtype == wanted.dtype
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


@contextlib.contextmanager
def setting(get, put, value):
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def of_keras(name, value):
    config = keras.config
    return lambda: setting(getattr(config, name), getattr(config, f"set_{name}"), value)


def of_jax(name, value):
    def put():
        import jax

        return setting(
            lambda: getattr(jax.config, name),
            lambda one: jax.config.update(name, one),
            value,
        )

    return pytest.param(put, marks=pytest.mark.jax, id=f"{name}={value}")


def of_torch(get, put, value):
    def wrapped():
        import torch

        return setting(getattr(torch, get), getattr(torch, put), value)

    return pytest.param(wrapped, marks=pytest.mark.torch, id=f"{put}={value}")


def within_torch(name, *arguments, **named):
    def wrapped():
        import torch

        return getattr(torch, name)(*arguments, **named)

    return pytest.param(wrapped, marks=pytest.mark.torch, id=f"{name}")


def double_of_torch():
    import torch

    return setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64)


def eager_tensorflow():
    import tensorflow as tf

    config = tf.config
    return setting(config.functions_run_eagerly, config.run_functions_eagerly, True)


SETTINGS = [
    pytest.param(of_keras("dtype_policy", "mixed_float16"), id="mixed_float16"),
    *(rarely(of_keras("dtype_policy", one), one) for one in POLICIES[1:]),
    pytest.param(of_keras("floatx", "float16"), id="floatx=float16"),
    rarely(of_keras("floatx", "float64"), "floatx=float64"),
    rarely(of_keras("epsilon", 0.1), "epsilon"),
    rarely(of_keras("image_data_format", "channels_first"), "images"),
    pytest.param(lambda: np.errstate(all="raise"), id="numpy raises"),
    of_jax("jax_enable_x64", True),
    of_jax("jax_debug_nans", True),
    of_jax("jax_debug_infs", True),
    of_jax("jax_numpy_dtype_promotion", "strict"),
    of_torch(
        "are_deterministic_algorithms_enabled", "use_deterministic_algorithms", True
    ),
    of_torch("is_grad_enabled", "set_grad_enabled", False),
    within_torch("inference_mode"),
    within_torch("autocast", "cpu"),
    pytest.param(double_of_torch, marks=pytest.mark.torch, id="double"),
    pytest.param(eager_tensorflow, marks=pytest.mark.tensorflow, id="eager"),
]


@pytest.mark.parametrize("make", SETTINGS)
def test_what_is_loaded_computes_as_it_was_saved(make, expected):
    with make():
        check(predict(load()), expected)


@pytest.mark.parametrize(
    "make", [of_keras("dtype_policy", "mixed_float16"), of_keras("floatx", "float16")]
)
def test_what_was_loaded_before_does_so_too(make, expected):
    surrogate = load()
    with make():
        check(predict(surrogate), expected)


def test_numpy_that_raises_takes_the_smallest_numbers_and_flags_what_is_none():
    surrogate = load()
    tiny = np.full(len(surrogate.species), 1e-60)
    zero = surrogate.encode(0 * tiny)
    weights = surrogate.emulator.get_weights()
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(surrogate.encode(tiny), zero)
        surrogate.emulator.set_weights([one * np.nan for one in weights])
        assert np.isnan(predict(surrogate)[2][:, 1:]).all()


def test_a_policy_of_the_process_is_not_that_of_a_new_model():
    with of_keras("dtype_policy", "mixed_float16")():
        emulator = load().emulator
        again = Emulator.from_config(
            {
                name: value
                for name, value in emulator.get_config().items()
                if name != "dtype"
            }
        )
        again.build()

    layers = [one for one in again._flatten_layers() if one.dtype_policy]
    assert {layer.compute_dtype for layer in layers} == {"float32"}


def test_losses_and_metrics_count_in_float32():
    with of_keras("floatx", "float16")():
        assert DexLoss([[1.0]]).dtype == Dex(1).dtype == "float32"


def test_another_precision_is_asked_for(expected):
    """Its products have 8 bits; the state, and what is conserved, has all."""
    surrogate = load(precision="mixed_bfloat16")
    found = predict(surrogate)

    assert surrogate.emulator.precision == "mixed_bfloat16"
    assert surrogate.emulator.autoencoder.precision == "mixed_bfloat16"
    off = np.abs(np.log10(found[0] / expected[0]))
    assert 1e-5 < off.max() < 0.3
    check(predict(load(precision="float32")), expected)


@pytest.mark.parametrize("precision", ["float16", "mixed_float16", 16])
def test_an_unknown_precision_is_refused(precision):
    with pytest.raises(InputError, match=r"precision is .*; it must be one of float32"):
        load(precision=precision)


def test_a_surrogate_is_pickled(expected):
    """To be sent to a process that was spawned, also when it was used before."""
    surrogate = load()
    predict(surrogate)

    check(predict(pickle.loads(pickle.dumps(surrogate))), expected)
