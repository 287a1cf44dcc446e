"""Tracer files: what is written is read, and what is wrong is refused in a line."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import SPECIES, make_tracers, write_tracers

from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.file_format import FORMAT
from astrokeras.data.tracers.reader import TracerStore, TracerWriter
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


@pytest.fixture
def path(tmp_path) -> Path:
    return write_tracers(tmp_path / "tiny.h5")


def edit(path: Path, name: str, where: tuple, value: float) -> None:
    with h5py.File(path, "r+") as file:
        file[name][where] = value


def replace(path: Path, name: str, data: np.ndarray | None) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        if data is not None:
            file[name] = data


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error, TracerStore(path) as store:
        store.read(slice(None))
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_is_written_is_read(path):
    tracers = make_tracers()
    with TracerStore(path) as store:
        assert store.species == SPECIES
        assert store.units == ("cm^-3", "Habing", "mag")
        assert (store.tracers, store.states, store.solved) == (20, 13, True)
        assert store.attributes["source"] == "tests"
        read = store.read(slice(None))

    for name in ("abundances", "physical", "time", "tracer", "simulation", "split"):
        np.testing.assert_array_equal(getattr(read, name), getattr(tracers, name))


def test_layout_on_disk_is_the_format(path):
    with h5py.File(path) as file:
        assert file.attrs["format"] == FORMAT
        assert file["abundances"].chunks == (1, 13, len(SPECIES))
        types = {name: file[name].dtype.str[1:] for name in file if name != "species"}
    assert types.pop("parameters").startswith("O")
    assert types == {
        "abundances": "f4",
        "physical": "f4",
        "time": "f8",
        "length": "i4",
        "tracer": "i8",
        "simulation": "i8",
        "split": "u1",
    }


@pytest.mark.parametrize(
    "rows",
    [slice(3, 9), slice(0, 20, 3), [4, 5, 6, 11], [19, 0, 7, 6, 5, 7], []],
    ids=["run", "stride", "runs", "any order, twice", "none"],
)
def test_rows_come_in_the_order_asked_for(path, rows):
    expected = make_tracers()
    index = np.arange(20)[rows] if isinstance(rows, slice) else np.array(rows, int)
    with TracerStore(path) as store:
        read = store.read(rows if isinstance(rows, slice) else index)

    np.testing.assert_array_equal(read.abundances, expected.abundances[index])
    np.testing.assert_array_equal(read.physical, expected.physical[index])
    np.testing.assert_array_equal(read.tracer, expected.tracer[index])
    np.testing.assert_array_equal(read.rows, index)


def test_a_run_of_rows_is_one_read(path, monkeypatch):
    reads = []
    direct = h5py.Dataset.read_direct

    def count(self, *arguments):
        reads.append(self.name)
        return direct(self, *arguments)

    monkeypatch.setattr(h5py.Dataset, "read_direct", count)
    with TracerStore(path) as store:
        store.read(slice(2, 14))

    assert sorted(reads) == ["/abundances", "/physical", "/time"]


def test_blocks_cover_everything_once(path):
    with TracerStore(path) as store:
        sizes = [len(block) for block in store.blocks(size=8)]
        rows = np.concatenate([block.rows for block in store.blocks(size=8)])
    assert sizes == [8, 8, 4]
    np.testing.assert_array_equal(rows, np.arange(20))


def test_rows_of_a_split(path):
    split = make_tracers().split
    with TracerStore(path) as store:
        np.testing.assert_array_equal(store.rows("test"), np.flatnonzero(split == 2))
        with pytest.raises(InputError, match="split is 'dev'; give"):
            store.rows("dev")


def test_tracers_that_ended_early_are_checked_up_to_their_length(tmp_path):
    tracers = make_tracers()
    tracers.length[3] = 5
    for values in (tracers.abundances, tracers.time):
        values[3, 5:] = np.nan
    tracers.physical[3, 4:] = np.nan
    path = write_tracers(tmp_path / "short.h5", tracers)
    with TracerStore(path) as store:
        assert store.read(slice(None)).length[3] == 5
    edit(path, "abundances", (3, 4, 0), np.nan)
    assert "state 4: H is nan" in refusal(path)


def test_initial_states_alone_are_a_file_to_predict_from(tmp_path):
    tracers = make_tracers()
    tracers.abundances = tracers.abundances[:, :1]
    with TracerWriter(
        tmp_path / "start.h5",
        species=SPECIES,
        parameters=("a", "b", "c"),
        units=("K", "K", "K"),
        states=13,
        attributes={},
        solved=False,
    ) as writer:
        writer.append(tracers)
    with TracerStore(tmp_path / "start.h5") as store:
        assert not store.solved
        assert store.states == 13
        assert store.read(slice(0, 3)).abundances.shape == (3, 1, len(SPECIES))


def test_abundances_are_missing_only_where_they_may(tmp_path):
    path = write_tracers(tmp_path / "tiny.h5")
    with h5py.File(path, "r+") as file:
        del file["abundances"]

    with pytest.raises(InputError, match="dataset abundances missing; write the file"):
        TracerStore(path)
    with TracerStore(path, need_abundances=False) as store:
        assert not store.has_abundances
        assert not store.solved
        assert (store.tracers, store.states) == (20, 13)
    with h5py.File(path, "r+") as file:
        del file["time"]
    with pytest.raises(InputError, match="dataset time missing"):
        TracerStore(path, need_abundances=False)


def test_a_file_without_split_says_how_to_make_one(tmp_path):
    tracers = make_tracers()
    tracers.split[:] = 255
    path = write_tracers(tmp_path / "unsplit.h5", tracers)
    with TracerStore(path) as store:
        assert not store.has_split
        assert len(store.rows()) == 20
        with pytest.raises(InputError, match="astrokeras data split"):
            store.rows("train")


def test_extra_values_per_state(tmp_path):
    tracers = make_tracers()
    status = np.tile(np.arange(13), (20, 1))
    with TracerWriter(
        tmp_path / "status.h5",
        species=SPECIES,
        parameters=("a", "b", "c"),
        units=("K", "K", "K"),
        states=13,
        attributes={},
        extra={"status": "u1"},
    ) as writer:
        writer.append(tracers, status=status)
    with h5py.File(tmp_path / "status.h5") as file:
        np.testing.assert_array_equal(file["status"][:], status)
    TracerStore(tmp_path / "status.h5").close()


@pytest.mark.parametrize("before", [False, True])
def test_an_error_leaves_nothing_half_written(tmp_path, before):
    path = tmp_path / "tiny.h5"
    if before:
        write_tracers(path)
    content = path.read_bytes() if before else None
    wrong = make_tracers()
    wrong.physical = wrong.physical[:, :5]
    with pytest.raises(InputError, match=r"physical has .* \(20, 12, 3\)"):
        write_tracers(path, wrong)

    assert [p.name for p in tmp_path.iterdir()] == (["tiny.h5"] if before else [])
    assert (path.read_bytes() if before else None) == content


def test_padding_is_not_a_number():
    empty = empty_tracers(2, 5, 3, 1)
    for values in (empty.abundances, empty.physical, empty.time):
        assert np.isnan(values).all()


def test_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.h5")


def test_a_folder_is_no_file(tmp_path):
    assert "no such file" in refusal(tmp_path)


def test_not_hdf5(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("Time, Density\n0, 1\n")
    assert "cannot be read as HDF5" in refusal(path)


def test_truncated(path):
    path.write_bytes(path.read_bytes()[:-2000])
    assert "truncated" in refusal(path)


def test_damaged_chunk(path):
    with h5py.File(path) as file:
        chunk = file["abundances"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + 40] = b"\0" * 40
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def test_another_format(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "other/1"
    assert "'format' is 'other/1'" in refusal(path)


@pytest.mark.parametrize("name", ["abundances", "physical", "time", "species"])
def test_missing_dataset(path, name):
    replace(path, name, None)
    assert f"{name} missing" in refusal(path)


def test_missing_units(path):
    with h5py.File(path, "r+") as file:
        del file["parameters"].attrs["units"]
    assert "'units'" in refusal(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("abundances", np.ones((20, 13), "f4")),
        ("abundances", np.ones((20, 12, 10), "f4")),
        ("abundances", np.ones((20, 13, 9), "f4")),
        ("physical", np.ones((20, 13, 3), "f4")),
        ("time", np.ones((19, 13))),
        ("length", np.ones(5, "i4")),
        ("species", np.array([b"H"] * 9)),
    ],
)
def test_shapes_that_disagree(path, name, data):
    replace(path, name, data)
    assert "shape" in refusal(path) or "axes" in refusal(path)


def test_wrong_kind_of_values(path):
    replace(path, "abundances", np.ones((20, 13, 10), "i4"))
    assert "must hold floating-point numbers" in refusal(path)


def test_a_species_twice(path):
    replace(path, "species", np.array([b"H"] * 10))
    assert "'H' twice" in refusal(path)


@pytest.mark.parametrize("length", [0, 1, 14])
def test_length_out_of_range(path, length):
    edit(path, "length", (2,), length)
    assert f"holds {length} for tracer 102" in refusal(path)


def test_split_out_of_range(path):
    edit(path, "split", (2,), 7)
    assert "'split' holds 7" in refusal(path)


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -1e-6, 1.001], ids=["nan", "inf", "negative", "above 1"]
)
def test_impossible_abundance(path, value):
    edit(path, "abundances", (4, 6, 2), value)
    assert "tracer 104, state 6: O is" in refusal(path)


def test_rounding_is_not_refused(path):
    edit(path, "abundances", (4, 6, 2), -1e-13)
    edit(path, "abundances", (4, 6, 1), 1 + 5e-7)
    with TracerStore(path) as store:
        store.read(slice(None))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_impossible_parameter(path, value):
    edit(path, "physical", (4, 6, 1), value)
    assert "tracer 104, state 6: Radfield is" in refusal(path)


@pytest.mark.parametrize("value", [500.0, 400.0, np.nan])
def test_time_that_does_not_increase(path, value):
    edit(path, "time", (4, 6), value)
    assert "tracer 104, state 6: time is" in refusal(path)


def test_the_check_can_be_left_out(path):
    edit(path, "physical", (4, 6, 1), -1.0)
    with TracerStore(path) as store:
        assert store.read(slice(4, 5), check=False).physical[0, 6, 1] == -1


def test_links_are_refused(path):
    with h5py.File(path, "r+") as file:
        file["kept"] = file["time"]
        del file["time"]
        file["time"] = h5py.SoftLink("/kept")
    assert "'time' must be a dataset of the file itself" in refusal(path)


def test_virtual_datasets_are_refused(path):
    other = shutil.copy(path, path.with_name("other.h5"))
    layout = h5py.VirtualLayout((20, 13), "f8")
    layout[:] = h5py.VirtualSource(other, "time", (20, 13))
    with h5py.File(path, "r+") as file:
        del file["time"]
        file.create_virtual_dataset("time", layout)
    assert "stored in other files" in refusal(path)


def test_an_absurd_claim_is_refused_before_any_memory_is_taken(path):
    with h5py.File(path, "r+") as file:
        for name in ("abundances", "physical", "time", "length", "tracer"):
            file[name].resize(10**13, axis=0)
        for name in ("simulation", "split"):
            file[name].resize(10**13, axis=0)
    assert "claims shape (10000000000000, 13, 10)" in refusal(path)


def test_a_filter_that_is_not_installed(path, monkeypatch):
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    assert "pip install hdf5plugin" in refusal(path)


def test_other_filters_are_read(path):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    data = make_tracers().abundances
    with h5py.File(path, "r+") as file:
        del file["abundances"]
        file.create_dataset("abundances", data=data, **hdf5plugin.Zstd())
    with TracerStore(path) as store:
        np.testing.assert_array_equal(store.read(slice(None)).abundances, data)


def test_what_was_held_fixed_is_read_as_a_parameter(tmp_path):
    path = write_tracers(tmp_path / "t.h5", make_tracers(3))
    with h5py.File(path, "r+") as file:
        file.attrs["fixed"] = ["zeta = 3", "dustTemp = Av", "note", "Density = 9"]

    with TracerStore(path) as store:
        before = store.read(slice(None)).physical
        store.add_held(["Density", "dustTemp", "zeta", "x"])
        added = store.read(np.array([2, 0]))

    assert store.parameters[-2:] == ("dustTemp", "zeta")
    assert store.units[-2:] == ("K", "1.3e-17 s^-1")
    np.testing.assert_array_equal(added.physical[..., :-2], before[[2, 0]])
    np.testing.assert_array_equal(added.physical[..., -2], before[[2, 0], :, 2])
    assert (added.physical[..., -1] == 3).all()


def test_an_attribute_that_is_not_utf8_can_be_copied(path, tmp_path):
    with h5py.File(path, "r+") as file:
        file.attrs.create("split_seed", b"\xff\xfe", dtype=h5py.string_dtype())

    with (
        TracerStore(path) as store,
        TracerWriter(
            tmp_path / "copy.h5",
            species=store.species,
            parameters=store.parameters,
            units=store.units,
            states=store.states,
            attributes=store.attributes,
        ) as writer,
    ):
        writer.append(store.read(slice(None)))

    with h5py.File(tmp_path / "copy.h5") as copy:
        assert copy.attrs["split_seed"] == "\ufffd\ufffd"
