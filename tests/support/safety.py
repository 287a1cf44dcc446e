"""Count what a surrogate says of random states and parameters that cannot be.

    KERAS_BACKEND=jax python tests/support/safety.py [RUN] --states 1000000

One step each of random length, from states of five kinds (a named start, near one,
within the trained ranges of the species, anywhere between the floor and 1, and those
within the ranges with a thousandth of their species 0) with parameters in the trained
box, up to three decades and up to twenty outside of it, in float32 and with the dense
layers in bfloat16. Finite, positive, element totals within 1e-3 of those given: what
is not must have status bit 16. The sums are made in float64 here. Exit code 1 if one
has not.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

KINDS = ("a start", "near a start", "within the ranges", "anywhere", "with zeros")
OUTSIDE = (0.0, 3.0, 20.0)  # decades
BLOCK = 8192
OFF = 1e-3  # the largest relative error of an element total
ROUNDING = 1.01  # float32 sums of 333 species beside those of float64


@dataclass
class Count:
    """How many states of what kind.

    Attributes:
        states: All.
        not_finite, not_positive, off: Of those, what cannot be.
        unflagged: What cannot be and lacks the bit of unphysical states.
        reliable: Those whose status speaks against nothing.
        not_an_error: Those whose expected error is no positive number.
        largest: Largest relative error of a total among the reliable.
    """

    states: int = 0
    not_finite: int = 0
    not_positive: int = 0
    off: int = 0
    unflagged: int = 0
    reliable: int = 0
    not_an_error: int = 0
    largest: float = 0.0


def count(surrogate: Any, states: int, seed: int = 0) -> Iterator[tuple[str, Count]]:
    """Yield the counts of each kind of states and parameters.

    Args:
        surrogate: A calibrated surrogate whose element totals are conserved.
        states: Of all kinds together.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng(seed)
    each = -(-states // (len(KINDS) * len(OUTSIDE)))
    for kind in KINDS:
        for decades in OUTSIDE:
            found = Count()
            while found.states < each:
                n = min(BLOCK, each)  # one shape is compiled; a few states more
                given = draw(surrogate, kind, decades, n, rng)
                add(found, surrogate, *given)
            place = f"{decades:g} decades outside" if decades else "inside"
            yield f"{kind}, parameters {place}", found


def draw(
    surrogate: Any, kind: str, decades: float, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return abundances (n, S), parameters (n, 1, P) and times (n, 2)."""
    limits = surrogate.metadata
    shape = (n, len(limits.species))
    low, high = np.log10(np.maximum(limits.species_ranges, limits.floor))
    if "start" in kind:
        starts = np.stack(
            [surrogate.initial_condition(name) for name in surrogate.initial_conditions]
        )
        logs = np.log10(np.maximum(starts, limits.floor))
        logs = logs[rng.integers(len(starts), size=n)]
        logs = logs + rng.normal(0, 1, shape) * ("near" in kind)
    elif kind == "anywhere":
        logs = rng.uniform(np.log10(limits.floor), 0, shape)
    else:
        logs = rng.uniform(low, high, shape)
    initial = np.clip(10.0**logs, 0.0, 1.0)
    if kind == "with zeros":
        initial[rng.random(shape) < 1e-3] = 0.0
    box = np.log10([limits.parameter_ranges[name] for name in limits.parameters])
    least, most = box[:, 0] - decades, box[:, 1] + decades
    physical = 10.0 ** rng.uniform(least, most, (n, 1, len(box)))
    shortest, longest = np.log10(limits.dt_range)
    years = 10.0 ** rng.uniform(shortest, longest, n)
    return initial, physical, np.stack([0 * years, years], axis=1)


def add(
    found: Count,
    surrogate: Any,
    initial: np.ndarray,
    physical: np.ndarray,
    time: np.ndarray,
) -> None:
    """Evolve states by a step and count what comes of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said, expected, status = surrogate.emulate(
            initial,
            physical,
            time,
            batch_size=len(initial),
            return_expected_error=True,
            return_status=True,
        )
    said, expected, status = said[:, 1].astype("f8"), expected[:, 1], status[:, 1]
    atoms = np.asarray(surrogate.stoichiometry, "f8")
    given = np.maximum(initial, surrogate.floor).astype("f4").astype("f8") @ atoms
    finite = np.isfinite(said).all(-1)
    positive = (said > 0).all(-1)
    with np.errstate(invalid="ignore"):
        error = np.abs(said @ atoms / given - 1).max(-1)
        kept = error <= OFF
    sure = finite & positive & (error <= OFF * ROUNDING)
    reliable = (status & (1 | 2 | 4 | 8 | 16 | 32)) == 0
    found.states += len(said)
    found.not_finite += int((~finite).sum())
    found.not_positive += int((~positive).sum())
    found.off += int((~kept).sum())
    found.unflagged += int((~sure & (status & 16 == 0)).sum())
    found.reliable += int(reliable.sum())
    found.not_an_error += int((~(np.isfinite(expected) & (expected > 0))).sum())
    if reliable.any():
        found.largest = max(found.largest, float(error[reliable].max()))


def main() -> None:
    """Print a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", default="grav")
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()

    import keras

    import astrokeras

    wrong = 0
    for precision in ("float32", "mixed_bfloat16"):
        one = astrokeras.load(chosen.run, precision=precision)
        began, states = time.perf_counter(), 0
        for kind, found in count(one, chosen.states, chosen.seed):
            wrong += found.unflagged + found.not_an_error
            states += found.states
            print(f"{precision}, {kind}: {json.dumps(asdict(found))}", flush=True)
        seconds = time.perf_counter() - began
        backend = keras.config.backend()
        print(f"{precision}, {backend}: {states} states in {seconds:.0f} s", flush=True)
    print(f"{wrong} states that cannot be and are not flagged")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
