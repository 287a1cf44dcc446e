"""Stress tests of surrogates that break, and of inputs corrupted in known ways."""

import numpy as np
import pytest
from standin import SPECIES, StandIn, Trusting, write_tracers

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.evaluation.context import EvaluationContext
from astrokeras.evaluation.stress_tests import StressTests

S = len(SPECIES)


def run_tests(path, surrogate):
    """Return the results over blocks of five tracers."""
    limits = surrogate.metadata
    with TracerStore(path) as store:
        context = EvaluationContext(
            store, store.rows(), np.arange(4), surrogate, limits, 5
        )
        tests = StressTests(context)
        for block in context.blocks():
            tests.update(block)
    return tests.result()


def test_mixing_is_one_step_after_the_other(tmp_path):
    write_tracers(tmp_path / "t.h5")
    surrogate = StandIn()
    found = run_tests(tmp_path / "t.h5", surrogate)

    # Three blocks, the last of two tracers: the loop of eight steps and the long run.
    assert [surrogate.batches.count(n) for n in (5, 2)] == [2 * 8 + 2, 8 + 1]
    assert found.mixed["nonfinite"] == 0
    assert found.corrupted == {}


class Broken(StandIn):
    """Loses all atoms at step 100 of a rollout, and is not a number from 5000 on."""

    def emulate(self, initial, physical, time, state_indices=None, batch_size=256):
        length = physical.shape[1] + 1
        states = np.repeat(initial[:, None], length, axis=1)
        states[:, 100:] = 1e-20
        states[:, 5000:] = np.nan
        return states if state_indices is None else states[:, state_indices]


def test_long_rollouts_that_break_are_reported(tmp_path):
    write_tracers(tmp_path / "t.h5")
    found = run_tests(tmp_path / "t.h5", Broken()).long

    assert found["steps"] == 10_000
    assert found["nonfinite"] == 12 * 50 * 11  # half of a hundred states, all species
    assert found["conservation_max"] == pytest.approx(1.0)


# What a stand-in must look at to see that an input is wrong.
SEEN = {
    "outside": lambda x, p: ((p > 1.7e4) | (p < 1 / 1.7)).any(-1).all(-1),
    "totals": lambda x, p: np.abs(np.log10(x.sum(1)) % 1 - np.log10(S / 10)) > 0.04,
    "mixed": lambda x, p: (p[..., 0] != p[..., 1]).any(-1),
    "shuffled": lambda x, p: x[:, 0] != x.min(1),
}


@pytest.mark.parametrize("wrong", SEEN)
def test_each_kind_of_corruption_is_what_its_name_says(tmp_path, rng, wrong):
    """Who looks at one kind of error alone flags that one and no other."""
    physical = np.repeat(10.0 ** rng.uniform(0.5, 3.5, (12, 8, 1)), 4, axis=2)
    initial = np.full((12, 1, S), 1e-3)
    initial[:, :, 0] = 1e-9  # the smallest
    initial[:, :, 1] = 2e-3 - 1e-9
    write_tracers(
        tmp_path / "t.h5",
        physical=physical.astype("f4"),
        abundances=np.repeat(initial, 9, axis=1).astype("f4"),
    )

    def expected(initial, physical):
        seen = SEEN[wrong](initial, physical)
        return np.tile(np.where(seen, 0.9, 0.1)[:, None], (1, 9))

    found = run_tests(tmp_path / "t.h5", Trusting(np.ones(S), expected)).corrupted

    # Some tracers of a block of five may be mixed with themselves.
    assert found[wrong] > (0.6 if wrong == "mixed" else 0.85)
    for other in SEEN.keys() - {wrong, "outside" if wrong == "mixed" else wrong}:
        assert found[other] == 0
