"""Which interval a row drives: evidence where parameters move, else none."""

import numpy as np
import pytest

from astrokeras.data.checks.alignment_check import (
    CANNOT_TELL,
    alignment_warning,
    compare_alignments,
)
from astrokeras.data.tracers.block import Tracers, empty_tracers
from astrokeras.data.tracers.reader import TracerStore

pytestmark = pytest.mark.neutral

STEPS = 120


def solve(courses: np.ndarray, seed: int = 1) -> Tracers:
    """Return tracers whose species are made where gas is dense, and warm for some.

    Args:
        courses: Logarithms of density and temperature in each interval, (n, T, 2).
    """
    rng = np.random.default_rng(seed)
    answers, rates = rng.normal(size=(2, 12)), rng.uniform(0.02, 0.6, 12)
    barriers = rng.uniform(30, 3000, 12)  # K
    block = empty_tracers(len(courses), STEPS + 1, 12, 2)
    block.physical[:] = 10.0**courses
    block.time[:] = 100.0 * np.arange(STEPS + 1)
    # Gas that evolves by itself too, fastest in the beginning.
    logs = np.tile(np.linspace(-4, -12, 12), (len(courses), 1))
    block.abundances[:, 0] = 10.0**logs
    for t in range(STEPS):
        warm = np.exp(-barriers / 10.0 ** courses[:, t, 1:])
        target = -8 + 0.3 * (courses[:, t] - 3) @ answers + 4 * warm + np.sin(t / 9) / 5
        logs = logs + rates * (target - logs)
        block.abundances[:, t + 1] = np.minimum(10.0**logs, 1.0)
    return block


def shifted(block: Tracers, rows: int) -> Tracers:
    """Return tracers whose parameters come some rows too late; the ends are held."""
    moved = block.take(np.arange(len(block)))
    count = block.physical.shape[1]
    moved.physical = block.physical[:, np.clip(np.arange(count) - rows, 0, count - 1)]
    return moved


X = np.linspace(0, 1, STEPS)
STATIC = np.stack([np.full(STEPS, 4.0), np.full(STEPS, 1.0)], axis=-1)
# Free fall: density grows ever faster, temperature stays.
FREEFALL = np.stack([2 - 1.3 * np.log10(1.001 - X), np.full(STEPS, 1.0)], axis=-1)
# Collapse, and then a star that heats the gas within a few rows.
HOTCORE = np.stack([5 + 0 * X, 1 + 1.4 / (1 + np.exp(-(X - 0.7) * 120))], axis=-1)
# A shock that heats the gas, which cools while it is compressed.
SHOCK = np.stack(
    [
        4 + 1.2 / (1 + np.exp(-(X - 0.55) * 60)),
        1 + 1.9 * np.exp(-(((X - 0.5) / 0.04) ** 2)),
    ],
    axis=-1,
)
SMOOTH = {"static": STATIC, "freefall": FREEFALL, "hotcore": HOTCORE, "shock": SHOCK}


@pytest.mark.parametrize("alignment", ["next", "this"])
@pytest.mark.parametrize("kind", SMOOTH)
def test_smooth_gas_gets_no_wrong_advice(kind, alignment):
    warning, note = alignment_warning([solve(SMOOTH[kind][None])], alignment)
    assert warning is None
    assert note == CANNOT_TELL


def turbulent(tracers=4):
    rng = np.random.default_rng(1)
    return 3 + np.cumsum(rng.normal(0, 0.08, (tracers, STEPS, 2)), axis=1)


@pytest.mark.parametrize(
    ("late", "alignment"), [(0, "next"), (1, "next"), (0, "this"), (-1, "this")]
)
def test_moving_parameters_tell_the_alignment(late, alignment):
    warning, note = alignment_warning([shifted(solve(turbulent()), late)], alignment)
    assert note is None
    assert (warning is not None) == bool(late)


@pytest.mark.parametrize("name", ["grav", "turbulent"])
def test_the_shipped_samples_tell_theirs(name):
    from astrokeras.system.package_data import resource

    with TracerStore(resource("data") / f"{name}.h5") as store:
        block = store.read(np.arange(8))
        mine, theirs = compare_alignments([block], "next")
        late, right = compare_alignments([shifted(block, 1)], "next")
    assert mine > theirs + 0.1
    assert right > late + 0.1
