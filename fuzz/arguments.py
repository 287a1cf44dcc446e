"""Fuzzes arguments: `python fuzz/arguments.py --cases 1000000 --calls 10000 --seed 1`.

A case gives odd values to what reads and checks arguments: the request of a surrogate,
names of species, the configuration, rows, splits, writers. A call reaches a compiled
model of random weights. Nothing may raise anything but an `InputError` of one line,
return what was not filled, or write a file that was not named. Prints the tally.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.chemistry.species import find_elements, parse_species
from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
from astrokeras.config import (
    CollapseConfig,
    Config,
    SolverConfig,
    SplitConfig,
    TunerConfig,
    check,
    compose,
)
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.hdf5 import row_numbers
from astrokeras.data.tracers.labelled_arrays import as_numbers
from astrokeras.data.tracers.split import make_split
from astrokeras.data.tracers.units import factor
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError
from astrokeras.models import input_checks
from astrokeras.models.metadata import SurrogateMetadata
from astrokeras.models.out_of_range import OutOfRangeReport
from astrokeras.models.requested_outputs import choose_columns, choose_states
from astrokeras.models.status import UNRELIABLE, Status
from astrokeras.runs.loading import find_surrogate
from astrokeras.system import arguments as checks
from astrokeras.system.package_data import resource
from astrokeras.tuning.search_space import check_value

TESTS = Path(__file__).resolve().parent.parent / "tests" / "support"
LONGEST = 1500  # letters of a refusal
LETTERS = list("HCNOSE+-#@$0123456789 abcdef=[]{},.:_\n\0é")
SPECIES, PARAMETERS = ("H", "H2", "CO", "#H2O", "@H2O"), ("Density", "Av")
LIMITS = SurrogateMetadata(
    species=SPECIES,
    parameters=PARAMETERS,
    units=("cm^-3", "mag"),
    elements=("H", "C", "O"),
    stoichiometry=np.ones((5, 3)),
    dt_range=(50.0, 200.0),
    t_max=1000.0,
    parameter_ranges={"Density": (1.0, 1e4), "Av": (0.1, 10.0)},
    species_ranges=np.array([[1e-20] * 5, [0.5] * 5]),
)


class Evil:
    """Answers nothing that it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no\nanswer")

    __repr__ = __float__ = __index__ = __len__ = __iter__ = __array__ = _refuse


class Draw:
    """Random values, odd and even ones.

    Args:
        seed: Of the generator.
    """

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.odd = [
            None, True, False, 0, -1, 1, 2, 3, 7, 1.5, -0.0, 2.0, 1e300, 1e-300, 10**30,
            -(10**30), 10**400, float("nan"), float("inf"), -float("inf"), 1j, "", "a",
            "abc", "CO", "nan", "1", "\0", "\ud800", "x" * 5000, "flag", "raise", "all",
            b"x", [], (), {}, set(), [1], [1.0], [True], [None], ["CO"], ["CO", 3],
            ["CO", "CO"], {"CO"}, {"CO": 1}, [1, [2, 3]], [[1, 2], [3, 4]], [0, -1],
            [10**30], range(3), slice(None), slice(0, 9, 0), slice("a"), Ellipsis,
            object(), Evil(), [Evil()], len, Draw, date(2020, 1, 1), Fraction(1, 3),
            Path("somewhere"), Path("."), np.True_, np.int8(3), np.uint64(2**64 - 1),
            np.float16(1.5), np.float64("nan"), np.str_("CO"), np.datetime64("2020"),
            np.timedelta64(3, "s"), np.array(3), np.array([]), np.array([], int),
            np.array([1, 2]), np.array([True, False]), np.array(["CO", "H"]),
            np.array([None, 1], object), np.zeros((0, 5)), np.zeros((2, 0)),
            np.zeros((1, 1, 1, 1)), np.zeros(2, [("a", "f4")]), np.ones((2, 5)) * 1j,
            np.ma.masked_all(3), memoryview(b"abc"), iter([1, 2]),
        ]  # fmt: skip

    def one(self, *values: Any) -> Any:
        """Return one of some values."""
        return values[self.rng.integers(len(values))]

    def likely(self, share: float) -> bool:
        """Return True so often."""
        return bool(self.rng.random() < share)

    def anything(self) -> Any:
        """Return an odd value, or a random number, or a random text."""
        kind = self.rng.integers(10)
        if kind == 0:
            return int(self.rng.integers(-(2**40), 2**40))
        if kind == 1:
            return float(10.0 ** self.rng.uniform(-320, 308) * self.one(1, -1))
        if kind == 2:
            return self.text()
        return self.odd[self.rng.integers(len(self.odd))]

    def text(self, longest: int = 12) -> str:
        """Return a text of letters that names and overrides are made of."""
        places = self.rng.integers(len(LETTERS), size=self.rng.integers(longest))
        return "".join(LETTERS[place] for place in places)

    def or_odd(self, value: Any, share: float = 0.1) -> Any:
        """Return a value, or now and then anything else."""
        return self.anything() if self.likely(share) else value

    def numbers(self, shape: tuple[int, ...], low: float, high: float) -> Any:
        """Return an array with logarithms between two, spoilt now and then."""
        values = 10.0 ** self.rng.uniform(low, high, shape)
        if self.likely(0.2) and values.size:
            bad = self.one(np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, -1e-13)
            values.flat[self.rng.integers(values.size)] = bad
        if self.likely(0.05):
            values = values[..., : self.rng.integers(values.shape[-1] + 1)]
        if self.likely(0.05):
            values = values[self.rng.integers(2) :]
        kind = self.one("f8", "f8", "f4", "f4", "f2", "O", "list")
        with np.errstate(all="ignore"):
            return values.tolist() if kind == "list" else values.astype(kind)


def ask(draw: Draw) -> None:
    """Check a request of a surrogate, which is taken, flagged or refused."""
    n, t = draw.rng.integers(0, 4, 2).tolist()
    physical = draw.numbers((n, t, 2) if draw.likely(0.8) else (n, t, 3, 2), -1, 4)
    initial = draw.numbers((n, 5) if draw.likely(0.8) else (5,), -21, 0)
    step = float(draw.rng.uniform(40, 210))
    if draw.likely(0.2):
        names = draw.one(PARAMETERS, PARAMETERS[::-1], ("av", "Density"), ("Av", "x"))
        columns = np.moveaxis(np.asarray(physical), -1, 0)
        physical = dict(zip(names, columns, strict=False))
    times = draw.one(step, 100.0, np.cumsum(draw.numbers((n, t + 1), 2, 2.1), -1)) if (
        draw.likely(0.5)
    ) else np.arange(t + 1) * 100.0  # fmt: skip
    given = [draw.or_odd(one, 0.05) for one in (initial, physical, times)]
    flags = draw.likely(0.5), draw.likely(0.5)
    checked = input_checks.check_tracers(LIMITS, *given, *flags)
    x, p, years = checked.valid()
    assert np.isfinite(x).all()
    assert (x > 0).all()
    assert np.isfinite(p).all()
    assert (p > 0).all()
    assert np.isfinite(years).all()
    assert (np.diff(years) > 0).all()
    report = OutOfRangeReport(LIMITS)
    report.add(x, p, years)
    report.lines()
    split, states = checked.split(LIMITS)
    _, p, parts = split.valid()
    assert np.isfinite(p).all()
    assert (p > 0).all()
    assert not LIMITS.outside_steps(parts).any()
    kept = np.take_along_axis(split.time, states, axis=1)[checked.rejected == 0]
    np.testing.assert_allclose(kept, years, rtol=1e-12, atol=1e-9)


def ask_states(draw: Draw) -> None:
    """Check numbers of states."""
    steps = int(draw.rng.integers(6))
    few = draw.rng.integers(-8, 8, draw.rng.integers(1, 3))
    wanted = draw.or_odd(draw.one(few, few.tolist(), few.astype("i1")), 0.5)
    states = choose_states(wanted, steps)
    if wanted is None:
        assert states is None
        return
    assert states.ndim == 1
    assert ((states >= 0) & (states <= steps)).all()


def ask_species(draw: Draw) -> None:
    """Check names of the species wanted."""
    names = [draw.one(*SPECIES, "$H2O", "$CO", draw.text()) for _ in range(2)]
    columns, mixing = choose_columns(SPECIES, draw.or_odd(names, 0.5))
    assert columns is None or mixing.shape[1] == len(columns)


def ask_abundances(draw: Draw) -> None:
    """Check abundances to encode."""
    values = draw.or_odd(draw.numbers((2, 5), -21, 0), 0.3)
    found = input_checks.check_abundances(LIMITS, values)
    assert np.isfinite(found).all()
    assert (found > 0).all()


def name(draw: Draw) -> None:
    """Read the name of a species, and find elements."""
    which = draw.one(parse_species, find_elements, stoichiometric_matrix)
    read = "".join(draw.one("#", "", "C", "O", "H", "H2", "13C", "+") for _ in "four")
    text = draw.one(read, draw.text())
    first = text if which is parse_species else [text]
    which(draw.or_odd(first, 0.3), draw.or_odd(("H", "C", draw.text(3)), 0.3))


def configure(draw: Draw) -> None:
    """Check a configuration with a value that Python put there."""
    groups = (TunerConfig(), SolverConfig(), CollapseConfig())
    config = draw.one(Config(name="fuzzing"), Config(name="fuzzing"), *groups)
    place = config
    fields = list(vars(place))
    field = draw.one(*fields)
    while hasattr(getattr(place, field), "__dataclass_fields__"):
        place = getattr(place, field)
        field = draw.one(*vars(place))
    setattr(place, field, draw.anything())
    check(config)


def search(draw: Draw) -> None:
    """Check what a search tries of a field."""
    fields = ("emulator.window", "seed", "emulator.fit.epochs", "autoencoder.noise")
    path = draw.one(*fields, "precision", draw.text())
    value = draw.one(1, -1, 1.5, "a", None, True, [3], float("nan"), draw.text())
    check_value(path, value)


def argue(draw: Draw) -> None:
    """Check single arguments."""
    value = draw.anything()
    found: Any
    kind = draw.rng.integers(8)
    if kind == 0:
        found = checks.whole("x", value, 1, 5)
        assert type(found) is int
        assert 1 <= found <= 5
    elif kind == 1:
        found = checks.number("x", value, -1, 5)
        assert type(found) is float
        assert -1 <= found <= 5
    elif kind == 2:
        assert type(checks.flag("x", value)) is bool
    elif kind == 3:
        assert checks.choice("x", value, "raise", "flag") in ("raise", "flag")
    elif kind == 4:
        assert all(isinstance(one, str) for one in checks.texts("x", value))
    elif kind == 5:
        assert as_numbers("x", value).dtype == "float32"
    elif kind == 6:
        assert isinstance(checks.path("x", value), Path)
    else:
        assert all(one >= 1 for one in checks.wholes("x", value, low=1))


def select(draw: Draw) -> None:
    """Select rows, split tracers, convert units, find files."""
    kind = draw.rng.integers(5)
    if kind == 0:
        rows = row_numbers(draw.or_odd(draw.rng.integers(-1, 6, 2), 0.5), 5)
        assert rows.ndim == 1
        assert ((rows >= 0) & (rows < 5)).all()
    elif kind == 1:
        values = [draw.or_odd(one, 0.3) for one in ("simulation", 0.2, 0.2, 3)]
        codes = make_split(np.arange(12), SplitConfig(*values))
        assert set(codes.tolist()) <= {0, 1, 2}
    elif kind == 2:
        units = ("yr", "kyr", "K", "mag", "cm^-3", "Habing", draw.text())
        factor("x", draw.one(*units), draw.one("yr", "K", "mag", "H nuclei cm^-3"))
    elif kind == 3:
        resource(draw.or_odd("data", 0.9))
    else:
        find_surrogate(draw.anything())


def write(draw: Draw) -> None:
    """Open a writer and add tracers; only the file that was named may appear."""
    settings: dict[str, Any] = {
        "species": SPECIES,
        "parameters": PARAMETERS,
        "units": LIMITS.units,
        "states": 4,
        "attributes": {"source": draw.or_odd("fuzzing", 0.3)},
        "compression": "gzip",
        "extra": {},
        "solved": True,
    }
    key = draw.one(*settings)
    settings[key] = draw.or_odd(settings[key], 0.8)
    with TracerWriter("named.h5", **settings) as writer:
        tracers = empty_tracers(3, 4, 5, 2)
        if draw.likely(0.5):
            field = draw.one("abundances", "physical", "time", "length", "split")
            setattr(tracers, field, draw.anything())
        writer.append(draw.or_odd(tracers, 0.1))


def override(draw: Draw) -> None:
    """Compose a configuration with an override."""
    keys = ("seed", "emulator.window", "emulator.fit.epochs", "dataset.split.test")
    value = draw.one("0", "-1", "1.5", "nan", "inf", "true", "null", "[]", draw.text())
    words = [f"{draw.one(*keys, draw.text())}={value}"]
    compose(draw.or_odd(words, 0.2), draw.or_odd(None, 0.2))


# How often each is tried; what takes long seldom is.
CASES: dict[Callable[[Draw], None], float] = {
    ask: 80, ask_states: 150, ask_species: 150, ask_abundances: 100, name: 150,
    configure: 60, search: 0.2, argue: 150, select: 60, write: 0.5, override: 0.1,
}  # fmt: skip


def attempt(function: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """Return what a function returns, or `InputError` if it refuses in a line."""
    try:
        return function(*given, **options)
    except InputError as error:
        line = str(error)
        if "\n" in line or len(line) > LONGEST:
            raise AssertionError(f"a refusal without end: {line[:2000]!r}") from error
        return InputError


def fuzz_cases(count: int, seed: int) -> Counter[str]:
    """Try so many cases; return how many of each kind were taken and refused."""
    draw, tally = Draw(seed), Counter[str]()
    kinds, weights = list(CASES), np.array(list(CASES.values()))
    chosen = draw.rng.choice(len(kinds), count, p=weights / weights.sum())
    for number, kind in enumerate(chosen):
        try:
            refused = attempt(kinds[kind], draw) is InputError
        except Exception:
            print(f"case {number} of seed {seed}: {kinds[kind].__name__}", flush=True)
            raise
        tally[f"{kinds[kind].__name__} {'refused' if refused else 'taken'}"] += 1
        if kinds[kind] is write:
            left = set(os.listdir()) - {"named.h5"}
            assert not left, f"written, and not named: {left}"
    return tally


class Caller:
    """Calls a surrogate of random weights with settings that are compiled once.

    Args:
        draw: What to call it with.
        settings: How many different programs and shapes are compiled.
    """

    def __init__(self, draw: Draw, settings: int):
        sys.path.insert(0, str(TESTS))
        from surrogates import make_surrogate, make_trust
        from tiny import PARAMETERS, SPECIES

        self.draw, self.names, self.parameters = draw, SPECIES, len(PARAMETERS)
        plain = make_surrogate(draw.rng, use_timestep=True, dt_range=(50.0, 200.0))
        self.surrogates = [plain, plain.replace(trust=make_trust(draw.rng))]
        self.settings = [self._settings(i) for i in range(settings)]

    def _settings(self, number: int) -> dict[str, Any]:
        draw, trusting = self.draw, number % 4 > 0
        judged = trusting and draw.likely(0.7)
        steps = draw.one(0, 1, 3, 3)
        return {
            "surrogate": self.surrogates[trusting],
            "tracers": draw.one(0, 1, 3, 5),
            "steps": steps,
            "moving": draw.likely(0.2),
            "options": {
                "species": draw.one(None, "CO", ["$H2O", "E-"]),
                "state_indices": draw.one(None, None, [-1], [0], [steps, 0]),
                "batch_size": draw.one(2, 256),
                "conserve": draw.one(None, False),
                "return_sigma": judged,
                "return_expected_error": judged,
                "return_reliable": judged,
                "return_status": True,
            },
        }

    def call(self) -> str:
        """Call once; return whether it was answered or refused."""
        draw = self.draw
        chosen = draw.one(*self.settings)
        surrogate, n, t = chosen["surrogate"], chosen["tracers"], chosen["steps"]
        if draw.likely(0.1):
            return self._code(surrogate)
        moving = (3,) if chosen["moving"] else ()
        physical = draw.numbers((n, t, *moving, self.parameters), -1, 4)
        initial = draw.numbers((n, len(self.names)), -21, 0)
        years = np.cumsum(draw.rng.uniform(40, 210, (n, t + 1)), axis=-1)
        given = [initial, physical, draw.one(100.0, 60, years)]
        options = chosen["options"] | {
            "on_error": draw.one("raise", "flag", "flag"),
            "strict": draw.likely(0.05),
        }
        if draw.likely(0.1):
            place = draw.rng.integers(3)
            given[place] = draw.anything()
        if draw.likely(0.1):
            name, value = draw.one(*options, "fallback", "output"), draw.anything()
            # A function of the caller's may raise what it likes.
            options[name] = None if callable(value) else value
        found = attempt(surrogate.emulate, *given, **options)
        if found is InputError:
            return "emulate refused"
        # What was asked for in another way than by True or False was refused.
        outputs = ("sigma", "expected_error", "reliable", "status")
        names = [name for name in outputs if options[f"return_{name}"]]
        found = found if names else (found,)
        self._check(dict(zip(["abundances", *names], found, strict=True)))
        return "emulate answered" if found[0].size else "emulate answered nothing"

    def _check(self, found: dict[str, np.ndarray]) -> None:
        """Check that all is filled, and NaN where it is flagged alone."""
        x = found["abundances"]
        good = (np.isfinite(x) & (x >= 0)).all(-1)
        if "status" in found:
            status = found["status"]
            assert status.shape == x.shape[:2]
            assert good[status == 0].all(), "a state is fine, and not filled"
            assert not (np.isfinite(x).any(-1) & (status & Status.INPUT > 0)).any()
        if "expected_error" in found:
            expected = found["expected_error"]
            assert expected.shape == x.shape[:2]
            assert ((expected >= 0) | ~good).all(), "filled, and no error expected"
        if "reliable" in found:
            reliable = found["reliable"]
            assert (reliable.shape, reliable.dtype) == (x.shape[:2], bool)
            assert good[reliable].all(), "what is reliable is not filled"
            if "status" in found:
                fine = (status & np.uint8(UNRELIABLE)) == 0
                assert (reliable == fine).all(), "reliable, and spoken against"
        if "sigma" in found:
            sigma = found["sigma"]
            assert sigma.shape == x.shape
            assert np.isfinite(sigma[good]).all() or "status" not in found

    def _code(self, surrogate: Any) -> str:
        """Encode, decode or reconstruct."""
        draw = self.draw
        kind = draw.one("encode", "decode", "reconstruct")
        width = 3 if kind == "decode" else len(self.names)
        shape = draw.one((0, width), (2, width), (2, 0, width), (width,))
        values = draw.numbers(shape, -21, 0)
        if kind == "decode":
            values = draw.rng.normal(0, draw.one(1, 30, 1e38), shape)
        found = attempt(getattr(surrogate, kind), draw.or_odd(values, 0.3))
        if found is InputError:
            return f"{kind} refused"
        assert np.isfinite(found).all(), kind
        return f"{kind} answered"


def fuzz_calls(count: int, seed: int, settings: int = 40) -> Counter[str]:
    """Try calls until a model answered so many; return the tally."""
    tally: Counter[str] = Counter()
    caller = Caller(Draw(seed), settings) if count else None
    answered = 0
    while caller and answered < count:
        outcome = caller.call()
        tally[outcome] += 1
        answered += outcome.endswith("answered")
    return tally


def main() -> None:
    """Fuzz in a folder of its own and print the tally as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tally = fuzz_cases(wish.cases, wish.seed)
        taken = time.monotonic() - began
        tally += fuzz_calls(wish.calls, wish.seed)
        left = set(os.listdir()) - {"named.h5"}
        assert not left, f"written, and not named: {left}"
        os.chdir("/")
    seconds = {"cases": taken, "calls": time.monotonic() - began - taken}
    print(json.dumps({"seconds": seconds, "tally": dict(sorted(tally.items()))}))


if __name__ == "__main__":
    main()
