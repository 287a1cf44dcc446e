"""The library in C, beside Keras, and what it makes of bad cells and damaged files."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from bad_cells import bad_cells
from conftest import ROOT
from keras import ops
from surrogates import make_projection, make_trust
from tiny import PARAMETERS, make_tracers

from astrokeras.errors import InputError
from astrokeras.export import c_format
from astrokeras.export.c_library import Library, compile_library
from astrokeras.export.functions import make_functions

CC = shutil.which("cc")
pytestmark = pytest.mark.skipif(CC is None, reason="needs a C compiler")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the library, and the surrogate with its functions."""
    rng = np.random.default_rng(5)
    surrogate = make_projection(rng, members=2)
    surrogate = surrogate.replace(trust=make_trust(rng, random_features=5))
    folder = tmp_path_factory.mktemp("library")
    functions = make_functions(surrogate)
    c_format.write(surrogate, functions, folder)
    return folder, surrogate, functions


@pytest.fixture(scope="module")
def compiled(written):
    return compile_library(written[0])


@pytest.fixture(scope="module")
def library(written, compiled):
    return Library(written[0] / c_format.FILE, compiled)


def cells_of(surrogate):
    """Return valid cells and forty others, and the status that these must get."""
    tracers = make_tracers(simulations=20)
    x, p = tracers.abundances[:, 0], tracers.physical[:, 0].copy()
    p[1, 0] *= 30  # outside the trained range
    years = np.full(len(x), 100.0, "f4")
    wrong = bad_cells(surrogate, x[0], p[0], 100.0)
    known = np.concatenate([np.zeros(len(x), "i4"), wrong[3]])
    return *map(np.concatenate, zip((x, p, years), wrong[:3], strict=True)), known


@pytest.mark.parametrize("carried", [0.0, 50.0], ids=["first", "later"])
def test_a_step_is_that_of_keras(written, library, carried):
    _, surrogate, functions = written
    x, p, years, known = cells_of(surrogate)
    before = np.full((len(x), 4), carried, "f4")
    given = x, p, years, before
    wanted = functions["step"].function(*map(ops.convert_to_tensor, given))
    wanted = tuple(map(ops.convert_to_numpy, wanted))

    found = library.step(*given)

    good = known == 0
    np.testing.assert_allclose(found[0][good], wanted[0][good], rtol=2e-4)
    np.testing.assert_array_equal(found[0][~good], x[~good])
    np.testing.assert_allclose(found[1][good], wanted[1][good], rtol=1e-4)
    assert np.isnan(found[1][~good]).all()
    np.testing.assert_array_equal(found[2], wanted[2])
    np.testing.assert_array_equal(found[2][~good], known[~good])
    np.testing.assert_allclose(found[3], wanted[3], rtol=1e-4)
    totals, start = (
        a[good].astype("f8") @ surrogate.stoichiometry for a in (found[0], x)
    )
    np.testing.assert_allclose(totals, start, rtol=2e-6)


def test_a_cell_does_not_depend_on_its_neighbours(written, library):
    _, surrogate, _ = written
    x, p, years, _ = cells_of(surrogate)
    carried = np.zeros((len(x), 4), "f4")
    together = library.step(x, p, years, carried)

    alone = [
        library.step(x[i : i + 1], p[i : i + 1], years[i : i + 1], carried[:1])
        for i in range(20)
    ]

    for k, whole in enumerate(together):
        found = np.concatenate([one[k] for one in alone])
        np.testing.assert_allclose(found, whole[:20], rtol=1e-6)


def test_latents_step_as_states_do(written, library):
    _, surrogate, _ = written
    x, p, years, known = cells_of(surrogate)
    x, p, years = (value[known == 0] for value in (x, p, years))
    carried = np.zeros((len(x), 4), "f4")

    latents, expected, status, after = library.step_latent(
        library.encode(x), p, years, carried
    )

    state = library.step(x, p, years, carried)
    np.testing.assert_allclose(expected, state[1], rtol=1e-6)
    np.testing.assert_array_equal(after, state[3])
    assert (status & ~state[2] == 0).all()
    np.testing.assert_allclose(
        library.decode(latents), surrogate.decode(latents), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: data[:-64], "is cut"),
        (lambda data: data[:5000] + b"\x01" + data[5001:], "checksum is wrong"),
        (lambda data: b"NOTASTRO" + data[8:], "no file of weights"),
        (
            lambda data: data[:8] + b"\x01\x02\x03\x04" + data[12:],
            "other order of bytes",
        ),
        (lambda data: data[:12] + b"\x09" + data[13:], "another version"),
    ],
    ids=["empty", "cut", "changed", "other", "big-endian", "newer"],
)
def test_a_damaged_file_is_refused_by_name(
    written, compiled, tmp_path, change, message
):
    data = (written[0] / c_format.FILE).read_bytes()
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(change(data))

    with pytest.raises(InputError, match=f"damaged.bin: .*{message}"):
        Library(damaged, compiled)


SHARE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from astrokeras.export.c_library import Library

weights = sys.argv[1]
library = Library(weights, sys.argv[2])
given = list(np.load(sys.argv[3]).values())
wanted = library.step(*given)

def same(_):
    found = library.step(*given)
    pairs = zip(found, wanted, strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

def mappings():
    return [line.split()[1] for line in open("/proc/self/maps") if weights in line]

with ThreadPoolExecutor(4) as pool:
    assert all(pool.map(same, range(8)))
for _ in range(2):
    child = os.fork()
    if not child:
        os._exit(0 if same(0) else 1)
    assert os.waitpid(child, 0)[1] == 0
if os.path.exists("/proc/self/maps"):
    assert mappings() == ["r--s"], mappings()
    del library
    assert not mappings()
"""


def test_processes_and_threads_share_one_mapping(written, compiled, tmp_path):
    """In a process of its own, without the threads of Keras."""
    folder, surrogate, _ = written
    x, p, years, _ = cells_of(surrogate)
    given = x, p, years, np.zeros((len(x), 4), "f4")
    np.savez(tmp_path / "cells.npz", *given)
    words = [folder / c_format.FILE, compiled, tmp_path / "cells.npz"]
    subprocess.run([sys.executable, "-c", SHARE, *words], check=True)


@pytest.mark.skipif(shutil.which("gfortran") is None, reason="needs gfortran")
def test_the_shock_of_the_examples_conserves_elements(written, compiled, tmp_path):
    """Built as docs/hydro.md says, with a surrogate that covers all of its gas."""
    folder, surrogate, _ = written
    trust = make_trust(np.random.default_rng(5), random_features=5)
    trust.assign(largest=[1e9] * 3, totals=[[-9.0] * 3, [1.0] * 3])
    covered = dict.fromkeys(PARAMETERS, (1e-3, 1e9))
    surrogate = surrogate.replace(
        parameter_ranges=covered, dt_range=(1.0, 1e6), t_max=1e9, trust=trust
    )
    weights = tmp_path / c_format.FILE
    weights.write_bytes(c_format.pack(c_format._arrays(surrogate)))
    start = tmp_path / "start.txt"
    start.write_text("H 0.5\nH2 0.25\nO 3e-4\nC 1e-4\nE- 1e-6\n")
    example = ROOT / "examples" / "hydro"
    names = ("flow.f90", "chemistry.f90", "shock.f90")
    sources = [folder / "astrokeras.f90", *(example / name for name in names)]
    words = ["gfortran", "-std=f2008", "-Wall", "-Wextra", "-Werror", "-fcheck=all"]
    words += [*sources, compiled, f"-Wl,-rpath,{compiled.parent}", "-o", "shock"]
    subprocess.run(words, cwd=tmp_path, check=True)

    words = [tmp_path / "shock", weights, start, tmp_path, "40", "40", "1e9"]
    subprocess.run(words, check=True)

    lines = (tmp_path / "summary.txt").read_text().split("\n")
    summary = {name: float(x) for name, x in (line.split() for line in lines if line)}
    assert summary["mass_lost"] < 1e-12
    assert summary["totals_largest"] < 3e-5
    assert summary["frozen"] < 0.5
    path, named = tmp_path / "profiles.txt", {"names": True, "deletechars": ""}
    profile = np.genfromtxt(path, comments=None, **named)
    made = profile["CO"][profile["time"] == profile["time"].max()]
    assert made.max() > 1.001 * made.min()  # what moves is not the same everywhere
    table = np.genfromtxt(tmp_path / "tracers.csv", names=True, delimiter=",")
    assert len(table) == 20 * (10 + 2 + 1)
    assert table["Density"].max() > 3000


@pytest.mark.long
def test_it_compiles_without_a_warning_and_survives_damaged_files(written, tmp_path):
    """Sanitizers watch; checksums are made right, so that all checks are reached."""
    folder, *_ = written
    sources = [folder / name for name in ("astrokeras.c", "reading.c", "check.c")]
    program = tmp_path / "check"
    watch = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    copied = ("-DASTROKERAS_COPY", "-fsyntax-only")
    subprocess.run([CC, *STRICT, *copied, *sources], check=True)
    subprocess.run([CC, *STRICT, *watch, *sources, "-lm", "-o", program], check=True)
    reference = folder / c_format.REFERENCE
    whole = folder / c_format.FILE
    done = subprocess.run([program, whole, reference], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    data, rng = bytearray(whole.read_bytes()), np.random.default_rng(0)
    start = c_format.HEADER
    for _ in range(300):
        damaged = bytearray(data)
        for place in rng.integers(start, start + 64 * 80, rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        checksum = c_format.checksum(bytes(damaged[start:]))
        damaged[32:40] = checksum.to_bytes(8, "little")
        (tmp_path / "damaged.bin").write_bytes(damaged)
        words = [program, tmp_path / "damaged.bin", reference]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        assert not done.stderr, done.stderr
