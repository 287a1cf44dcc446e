"""What is written for other codes, run by these, against Keras."""

import json
import shutil
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from bad_cells import bad_cells
from keras import ops
from surrogates import make_projection, make_surrogate, make_trust
from tiny import PARAMETERS, SPECIES, make_tracers, write_tracers
from typer.testing import CliRunner

from astrokeras.cli import app
from astrokeras.errors import InputError, WorkError
from astrokeras.export import export as module
from astrokeras.export import numpy_format, numpy_runtime
from astrokeras.export.export import export
from astrokeras.export.functions import make_functions

BACKEND = keras.backend.backend()
S, P = len(SPECIES), len(PARAMETERS)
COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
NEEDED = {"onnx": "tensorflow", "savedmodel": "tensorflow", "torch": "torch"}
CASES = [
    pytest.param(
        to,
        kind,
        marks=[
            pytest.mark.skipif(
                NEEDED.get(to, BACKEND) != BACKEND, reason=f"{NEEDED.get(to)} writes it"
            ),
            *marks,
        ],
    )
    for to, kind, *marks in [
        ("numpy", "dense", pytest.mark.long),
        ("numpy", "projection"),
        ("numpy", "members", pytest.mark.long),
        ("c", "projection", COMPILER),
        ("c", "members", COMPILER, pytest.mark.long),
        # With GELU, and so the error function.
        ("onnx", "dense", pytest.mark.long, pytest.mark.tensorflow),
        ("onnx", "projection", pytest.mark.long, pytest.mark.tensorflow),
        ("onnx", "members", pytest.mark.long, pytest.mark.tensorflow),
        ("savedmodel", "projection", pytest.mark.long, pytest.mark.tensorflow),
        ("torch", "projection"),
    ]
]
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    # Of torch.export, about where weights lie.
    "ignore:No complete tensor found:UserWarning",
)


@pytest.fixture
def path(tmp_path):
    return write_tracers(tmp_path / "tiny.h5")


def make_members(rng):
    return make_projection(rng, members=2)


@pytest.fixture
def quick(monkeypatch):
    """Compare at one batch: each has programs of its own to compile."""
    monkeypatch.setattr(module, "BATCHES", (2, 2))


def make_dense(rng):
    """One interval, and no totals kept, which is most of a graph."""
    return make_surrogate(rng).replace(conserve=False)


KINDS = {
    "dense": make_dense,
    "projection": make_projection,
    "members": make_members,
}


@pytest.mark.slow
@pytest.mark.parametrize(("to", "kind"), CASES)
def test_every_graph_agrees_and_is_described(rng, path, tmp_path, to, kind):
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    surrogate = KINDS[kind](rng)
    done = export(surrogate, to, tmp_path / "out", path)

    graphs = ["decode", "encode", "step"] + ["rollout"] * (to not in ("torch", "c"))
    assert sorted(done.differences) == sorted(graphs)
    for name, by_batch in done.differences.items():
        assert set(by_batch) == {1, 7, 4096}
        assert max(by_batch.values()) <= (1e-3 if name == "rollout" else 1e-5)
    about = json.loads((done.folder / "about.json").read_text())
    assert about["species"] == list(SPECIES)
    assert about["units"] == ["cm^-3", "Habing", "mag"]
    assert about["parameter_ranges"] == surrogate.get_config()["parameter_ranges"]
    assert not (tmp_path / "out.partial").exists()
    if (to, kind) == ("onnx", "projection"):
        assert_onnx_says_what_it_is(done.folder)


def assert_onnx_says_what_it_is(folder):
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "rollout.onnx")
    shapes = {one.name: one.shape for one in session.get_inputs()}
    assert shapes == {
        "abundances": ["batch", S],
        "physical": ["batch", "time", P],
        "years": ["batch", "time"],
    }
    outputs = {one.name: one.shape for one in session.get_outputs()}
    assert outputs == {
        "evolved": ["batch", "time", S],
        "expected_error": ["batch", "time"],
        "status": ["batch", "time"],
    }
    told = session.get_modelmeta().custom_metadata_map
    told = {key: json.loads(value) for key, value in told.items()}
    assert told["species"] == list(SPECIES)
    assert told["dt_range"] == [10.0, 1000.0]
    assert (told["graph"], told["opset"]) == ("rollout", 18)


def test_the_reader_runs_where_there_is_numpy_alone(rng, path, tmp_path, quick):
    surrogate = make_projection(rng)
    folder = export(surrogate, "numpy", tmp_path / "out", path).folder
    tracers = make_tracers(simulations=3)
    given = tracers.abundances[:, 0], tracers.physical, np.full((6, 12), 100.0, "f4")
    np.savez(tmp_path / "given.npz", *given)
    program = (
        "import sys, numpy as np, numpy_reader as r\n"
        "given = np.load('../given.npz')\n"
        "found = r.Surrogate('surrogate.npz').rollout(*(given[k] for k in given))\n"
        "np.save('../found.npy', found[0])\n"
        "assert not {'keras', 'h5py', 'astrokeras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)

    found = np.load(tmp_path / "found.npy")
    expected = surrogate.emulate(*given[:2], 100.0)[:, 1:]
    np.testing.assert_allclose(np.log10(found), np.log10(expected), atol=1e-3)
    totals = found.astype("f8") @ surrogate.stoichiometry
    start = given[0].astype("f8") @ surrogate.stoichiometry
    np.testing.assert_allclose(totals / start[:, None], 1, atol=1e-5)
    check_refusals(numpy_runtime.Surrogate(folder / "surrogate.npz"), *given)


def check_refusals(reader, initial, physical, years):
    """What the reader cannot compute with is named, and nothing is nothing."""
    none = reader.rollout(initial, physical[:, :0], years[:, :0])[0]
    assert none.shape == (len(initial), 0, S)
    with pytest.raises(ValueError, match=r"^abundances have shape"):
        reader.rollout(initial[:, 1:], physical, years)
    with pytest.raises(ValueError, match="years are no numbers"):
        reader.step(initial, physical[:, 0], "abc")


@pytest.mark.parametrize("calibrated", [True, False])
def test_every_graph_says_what_speaks_against_a_state(rng, tmp_path, calibrated):
    """Graph and reader give the verdicts of `emulate`, also of bad cells."""
    surrogate = make_projection(rng)
    if calibrated:
        surrogate = surrogate.replace(trust=make_trust(rng, random_features=5))
    initial, physical, years, known = make_cells(surrogate)
    bad = known > 0
    functions = make_functions(surrogate)
    numpy_format.write(surrogate, functions, tmp_path)
    cells = initial, physical, years
    reader = numpy_format.read(tmp_path)["rollout"](*cells)
    graph = functions["rollout"].function(*map(ops.convert_to_tensor, cells))
    graph = tuple(map(ops.convert_to_numpy, graph))
    time = np.pad(np.cumsum(years, axis=1, dtype="f8"), ((0, 0), (1, 0)))
    options = {"return_status": True, "return_expected_error": calibrated}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        wanted = surrogate.emulate(initial, physical, time, on_error="flag", **options)

    good = ~bad
    for evolved, expected, status in (graph, reader):
        np.testing.assert_allclose(evolved[good], wanted[0][good, 1:], rtol=1e-3)
        given = initial[bad][:, None].repeat(2, 1)
        np.testing.assert_array_equal(evolved[bad], given)
        np.testing.assert_array_equal(status, wanted[-1][:, 1:])
        np.testing.assert_array_equal(status[bad, 0], known[bad])
        assert len(set(status[good].ravel().tolist())) > 1
        assert np.isnan(expected[bad]).all()
        if calibrated:
            known_error = wanted[1][good, 1:]
            np.testing.assert_allclose(expected[good], known_error, rtol=1e-3)
    if calibrated:
        assert_steps_add_up_to_a_rollout(functions["step"], *cells, graph[1])


def make_cells(surrogate):
    """Return cells of two steps, and the status of the forty that are invalid."""
    tracers = make_tracers(simulations=3)
    initial, physical = tracers.abundances[:, 0], tracers.physical[:, :2].copy()
    initial[0, 0] = 0.0  # absent: the floor
    physical[1, 0, 0] *= 30  # outside the trained range in the first step
    years = np.full((len(initial), 2), 100.0, "f4")
    years[2] = 700.0  # the second step ends beyond the longest time
    wrong = bad_cells(surrogate, initial[0], physical[0, 0], 100.0)
    twice = [np.stack([value, value], 1) for value in wrong[1:3]]
    known = np.concatenate([np.zeros(len(initial), "i4"), wrong[3]])
    cells = (initial, wrong[0]), (physical, twice[0]), (years, twice[1])
    return *map(np.concatenate, cells), known


def assert_steps_add_up_to_a_rollout(step, initial, physical, years, expected):
    """What is carried makes two steps expect what one rollout of two expects.

    A step encodes the state anew, so the distances of states differ a little.
    """
    carried = np.zeros((len(initial), 4), "f4")
    x, verdicts = initial, []
    for t in range(2):
        given = x, physical[:, t], years[:, t], carried
        after = step.function(*map(ops.convert_to_tensor, given))
        x, verdict, _, carried = map(ops.convert_to_numpy, after)
        verdicts.append(verdict)
    np.testing.assert_allclose(verdicts[0], expected[:, 0], rtol=1e-4)
    np.testing.assert_allclose(verdicts[1], expected[:, 1], rtol=0.2)


@pytest.mark.parametrize("how", ["a header that lies", "compressed"])
def test_the_reader_takes_no_more_memory_than_its_file(tmp_path, how):
    path = tmp_path / "surrogate.npz"
    np.savez(path, about=np.array("{}"), zeros=np.zeros(1000, "f4"))
    if how == "compressed":
        np.savez_compressed(path, **np.load(path))
    else:
        path.write_bytes(path.read_bytes().replace(b"(1000,)", b"(9999,)"))

    with pytest.raises(ValueError, match=r"surrogate.npz: .*npy claims \d+ bytes"):
        numpy_runtime.Surrogate(path)


@pytest.mark.long
def test_rounding_of_species_that_hardly_vary_is_no_difference(rng, tmp_path):
    tracers = make_tracers()
    vary = rng.uniform(0.99, 1.01, tracers.abundances.shape)
    tracers.abundances = (tracers.abundances[:, :1] * vary).astype("f4")
    path = write_tracers(tmp_path / "tiny.h5", tracers)
    surrogate = make_projection(rng)
    logs = 1 + np.log10(tracers.abundances[0, 0]) / 20
    surrogate.emulator.autoencoder.species_scaler.set_scales(logs, np.full(S, 5e-4))
    done = export(surrogate, "numpy", tmp_path / "out", path)

    assert 1e-5 < max(done.differences["encode"].values()) <= 1e-3


def test_a_graph_that_differs_is_not_kept(rng, path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SCALED", 1e-12)
    with pytest.raises(WorkError, match="differs from Keras by"):
        export(make_projection(rng), "numpy", tmp_path / "out", path)

    assert [one.name for one in tmp_path.iterdir()] == ["tiny.h5"]


def test_a_folder_is_replaced_only_if_asked(rng, path, tmp_path, quick):
    out, surrogate = tmp_path / "out", make_projection(rng)
    export(surrogate, "numpy", out, path)
    (out / "surrogate.npz").write_bytes(b"old")
    with pytest.raises(InputError, match="exists; choose another or pass --overwrite"):
        export(surrogate, "numpy", out, path)
    assert (out / "surrogate.npz").read_bytes() == b"old"

    export(surrogate, "numpy", out, path, overwrite=True)

    assert (out / "surrogate.npz").read_bytes() != b"old"
    assert {one.name for one in tmp_path.iterdir()} == {"tiny.h5", "out"}
    (out / "mine").touch()
    with pytest.raises(InputError, match=r"mine: is not a file of an export .*; move"):
        export(surrogate, "numpy", out, path, overwrite=True)
    assert (out / "mine").exists()


def test_an_unknown_format_or_activation_is_refused(rng, path, tmp_path):
    with pytest.raises(InputError, match="unknown format 'matlab'; use onnx, "):
        export(make_surrogate(rng), "matlab", tmp_path / "out", path)
    surrogate = make_surrogate(rng)
    surrogate.emulator.recurrence.cell.activation = "mish"
    with pytest.raises(InputError, match="no activation 'mish'"):
        export(surrogate, "numpy", tmp_path / "out", path)
    assert not (tmp_path / "out.partial").exists()


def test_the_command_tells_what_it_wrote(rng, path, tmp_path, quick):
    make_projection(rng).save(tmp_path / "mine.keras")
    words = [tmp_path / "mine.keras", "--to", "numpy", "--tracers", path]
    words += ["--out", tmp_path / "out"]
    result = CliRunner().invoke(app, ["export", *map(str, words)])

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "encode",
        "decode",
        "step",
        "rollout",
    ]
    assert lines[-1] == str(tmp_path / "out")
    again = CliRunner().invoke(app, ["export", *map(str, words)])
    assert again.exit_code == 2
