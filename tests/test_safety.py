"""What a surrogate says of any state is physical, or flagged as unphysical."""

from pathlib import Path

import numpy as np
import pytest
import safety

import astrokeras
from astrokeras.errors import UnphysicalWarning
from astrokeras.models.status import Status

OLD = Path(__file__).parent / "old"
STATES = 12_000


@pytest.mark.parametrize(
    "precision",
    ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.long)],
)
def test_random_states_end_physical_or_flagged(precision):
    one = astrokeras.load("grav", precision=precision)
    counts = dict(safety.count(one, STATES))

    assert sum(found.states for found in counts.values()) >= STATES
    for found in counts.values():
        assert found.not_finite == found.not_positive == 0
        assert found.unflagged == found.not_an_error == 0
        assert found.largest < 1e-4
    # The test is of no use if nothing is wrong, or nothing right, of what it draws.
    assert counts["a start, parameters inside"].reliable > 5
    assert sum(found.off for found in counts.values()) > 100
    assert sum(found.off < found.states / 2 for found in counts.values()) > 6


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_state_that_is_not_finite_is_flagged_and_goes_to_the_solver():
    """Whatever makes it so: here the weights of the emulator."""
    broken = astrokeras.load(OLD / "format1.keras")
    weights = broken.emulator.get_weights()
    broken.emulator.set_weights([one * np.nan for one in weights])
    given = "first", np.array([[[10.0, 10.0, 10.0]]]), 100.0
    solved = []

    def solver(initial, physical, time):
        solved.append(len(initial))
        return np.repeat(initial[:, None], 2, axis=1)

    with np.errstate(invalid="ignore"):
        x, reliable, status = broken.emulate(
            *given, return_reliable=True, return_status=True
        )
        y = broken.emulate(*given, fallback=solver)
    with pytest.warns(UnphysicalWarning, match="1 of 2 states are unphysical"):
        broken.emulate(*given, species=["CO"])

    assert not np.isfinite(x[:, 1]).any()
    assert not reliable[0, 1]
    assert status[0, 1] & Status.TOTALS
    assert solved == [1]
    assert np.isfinite(y).all()
