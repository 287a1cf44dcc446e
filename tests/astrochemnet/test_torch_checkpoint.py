"""Reading PyTorch checkpoints without PyTorch, and refusing hostile ones."""

import os
import pickle
import zipfile

import numpy as np
import pytest
from torch_file import write_archive, write_state

from astrokeras.astrochemnet.torch_checkpoint import read_state
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


@pytest.fixture
def state(rng):
    return {
        "encoder_fc1.weight": rng.normal(size=(3, 5)).astype("float32"),
        "encoder_bn1.running_var": rng.uniform(size=3),
        "encoder_bn1.num_batches_tracked": np.int64(7),
        "half": np.ones((2, 2), "float16"),
    }


def test_reads_what_was_written(state, tmp_path):
    read = read_state(write_state(tmp_path / "model.pth", state))

    assert list(read) == list(state)
    for name, array in state.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_reads_what_torch_writes(state, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array) for name, array in state.items()}
    tensors["transposed"] = tensors["encoder_fc1.weight"].T
    tensors["parameter"] = torch.nn.Parameter(tensors["half"][1])
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    torch.save(tensors, tmp_path / "tensors.pth")
    torch.save({"state_dict": module.state_dict()}, tmp_path / "module.pth")

    for file, expected in (("tensors", tensors), ("module", module.state_dict())):
        read = read_state(tmp_path / f"{file}.pth")
        assert read.keys() == expected.keys()
        for name, tensor in expected.items():
            np.testing.assert_array_equal(read[name], tensor.detach().numpy())


def test_torch_reads_what_the_tests_write(state, tmp_path):
    torch = pytest.importorskip("torch")
    path = write_state(tmp_path / "model.pth", state)

    read = torch.load(path, weights_only=True)

    for name, array in state.items():
        np.testing.assert_array_equal(read[name].numpy(), array)


class _Hostile:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    mark = tmp_path / "was_run"
    pickled = pickle.dumps({"net.0.weight": _Hostile(f"touch {mark}")}, protocol=2)
    path = write_archive(tmp_path / "hostile.pth", pickled, {})

    with pytest.raises(InputError, match=r"hostile\.pth: refused to load .*system"):
        read_state(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "numpy.load", "torch.storage._load_from_bytes"]
)
def test_any_other_name_is_refused(name, tmp_path):
    module, _, function = name.rpartition(".")
    pickled = f"c{module}\n{function}\n(X\x01\x00\x00\x001tR.".encode()
    path = write_archive(tmp_path / "hostile.pth", pickled, {})

    with pytest.raises(InputError, match=f"refused to load {name}"):
        read_state(path)


def test_a_tensor_beyond_its_storage_is_refused(state, tmp_path):
    path = write_state(tmp_path / "model.pth", state)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("model/data.pkl")
    size = b"J\x03\x00\x00\x00J\x05\x00\x00\x00t"
    assert pickled.count(size) == 1
    pickled = pickled.replace(size, b"J\x03\x00\x00\x00J\xff\xff\x00\x00t")
    storages = {str(i): np.asarray(a).tobytes() for i, a in enumerate(state.values())}

    with pytest.raises(InputError, match="in a storage of 15 items"):
        read_state(write_archive(tmp_path / "hostile.pth", pickled, storages))


def test_a_storage_of_the_wrong_length_is_refused(state, tmp_path):
    path = write_state(tmp_path / "model.pth", state)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("model/data.pkl")

    with pytest.raises(InputError, match="storage 0 has 3 bytes"):
        read_state(write_archive(tmp_path / "cut.pth", pickled, {"0": b"abc"}))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04cut"])
def test_another_file_is_one_clear_line(content, tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"other\.pth: not a PyTorch checkpoint"):
        read_state(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pth: no such file"):
        read_state(tmp_path / "absent.pth")


def test_values_that_are_not_finite_are_refused(tmp_path):
    path = write_state(tmp_path / "nan.pth", {"net.0.bias": np.array([1.0, np.nan])})

    with pytest.raises(InputError, match=r"'net\.0\.bias' holds values that are not"):
        read_state(path)


def test_what_is_no_tensor_is_named(tmp_path):
    path = write_archive(tmp_path / "epoch.pth", pickle.dumps({"epoch": 3}), {})

    with pytest.raises(InputError, match="entry 'epoch' is no tensor"):
        read_state(path)
