"""Other shapes and outputs compile nothing new, and give the same numbers."""

import numpy as np
import pytest
from conftest import BACKEND
from surrogates import make_surrogate, make_trust, to_numpy

from astrokeras.models.compiled_functions import PATIENCE

pytestmark = pytest.mark.filterwarnings("ignore")  # of tracers beyond the training


@pytest.fixture(scope="module")
def surrogate():
    random = np.random.default_rng(0)
    return make_surrogate(random).replace(trust=make_trust(random))


def tracers(surrogate, count, steps):
    random = np.random.default_rng(count)
    initial = np.stack(list(surrogate.initial_conditions.values()))[:1]
    low, high = np.array(list(surrogate.parameter_ranges.values())).T
    physical = np.exp(
        random.uniform(np.log(low), np.log(high), (count, steps, len(low)))
    )
    return np.repeat(initial, count, axis=0), physical, surrogate.dt_range[0]


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch compiles nothing")
def test_other_calls_compile_nothing(surrogate):
    options = {"return_expected_error": True, "return_reliable": True}
    surrogate.emulate(*tracers(surrogate, 5, 7), **options)
    before = set(surrogate.functions.shapes)

    for count, steps, more in (
        (5, 7, options),
        (40, 20, options),
        (3, 33, {"return_sigma": True, "return_reliable": True}),
        (2, 2, {"species": surrogate.species[:1], "return_reliable": True}),
        (9, 30, {"state_indices": [-1, 3], "return_status": True}),
        (600, 1, options),
    ):
        surrogate.emulate(*tracers(surrogate, count, steps), **more)
        assert set(surrogate.functions.shapes) == before, (count, steps, more)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch compiles nothing")
def test_a_single_tracer_that_is_asked_for_often_gets_a_program_of_its_own(surrogate):
    given = tracers(surrogate, 1, 1)
    calls = range(PATIENCE + 2)
    found = [surrogate.emulate(*given, return_reliable=True)[0] for _ in calls]

    shapes = [key[1:] for key in surrogate.functions.shapes if key[0] == ("advance", 3)]
    assert any(shape[0][0] == 1 and shape[2][1] == 1 for shape in shapes)
    np.testing.assert_allclose(np.log10(found[-1]), np.log10(found[0]), atol=1e-4)


def test_parts_of_a_rollout_are_those_of_one_program(surrogate):
    """`call` rolls out at once; `emulate` in pieces of tracers and of steps."""
    initial, physical, step = tracers(surrogate, 35, 37)
    years = np.full(physical.shape[:2], step, "float32")
    whole = surrogate((initial.astype("f4"), physical.astype("f4"), years))

    pieces = surrogate.emulate(initial, physical, step, return_status=True)[0]

    np.testing.assert_allclose(
        np.log10(pieces[:, 1:]), np.log10(to_numpy(whole)), atol=2e-3
    )
