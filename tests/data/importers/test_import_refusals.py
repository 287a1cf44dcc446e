"""Raw files that are refused: one line with file, field, value and remedy."""

import os
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from frames import (
    SPECIES,
    STEP,
    cleaned,
    hdf,
    raw,
    run,
    settings,
    start_abundances,
    write_csv,
)
from tiny import write_tracers

from astrokeras.config import SplitConfig
from astrokeras.data.importers.importer import import_tracers
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


@pytest.fixture
def refused(tmp_path, out):
    """Import what must be refused, and return the line that says why."""

    def refuse(sources, config=None, split=True) -> str:
        with pytest.raises(InputError) as error:
            import_tracers(sources, out, config or settings(), split=split)
        assert not list(tmp_path.glob("out.h5*"))
        message = str(error.value)
        assert "\n" not in message
        return message

    return refuse


@pytest.fixture
def initial(tmp_path):
    path = tmp_path / "initial.csv"
    start = pd.DataFrame([start_abundances()], columns=SPECIES)
    start.assign(BULK=0.0, SURFACE=0.0)[["SURFACE", *SPECIES[::-1], "BULK"]].to_csv(
        path, index=False
    )
    return path


def test_this_needs_initial_abundances(tmp_path, refused):
    path = hdf(tmp_path / "raw.h5", raw())
    config = settings(alignment="this")
    assert "`dataset.initial_abundances` is not set" in refused(path, config)


def test_initial_abundances_of_another_network(tmp_path, refused, initial):
    path = hdf(tmp_path / "raw.h5", raw().assign(OH=1e-8))
    config = settings(alignment="this", initial_abundances=str(initial))
    assert "OH" in refused(path, config)


def test_this_with_a_first_row_at_time_zero(tmp_path, refused, initial):
    frame = raw()
    frame["Time"] -= STEP
    config = settings(alignment="this", initial_abundances=str(initial))
    message = refused(hdf(tmp_path / "raw.h5", frame), config)
    assert "starts at time 0" in message
    assert "dataset.alignment=next" in message


def test_cleaned_has_no_simulations_to_split_by(tmp_path, refused):
    path = cleaned(tmp_path / "cleaned.h5", raw(), True)
    message = refused(path, settings(split=SplitConfig()))
    assert "holds no simulations" in message
    assert "split.by=tracer" in message


def test_a_tracer_in_two_split_files(tmp_path, refused):
    first = write_tracers(tmp_path / "1.h5")
    second = write_tracers(tmp_path / "2.h5")
    assert "tracers that another file holds" in refused([first, second])


def test_split_and_raw_files_do_not_mix(tmp_path, refused):
    hdf(tmp_path / "raw.h5", raw())
    import_tracers(tmp_path / "raw.h5", tmp_path / "split.h5", settings())
    hdf(tmp_path / "more.h5", raw())
    message = refused([tmp_path / "split.h5", tmp_path / "more.h5"])
    assert "some have a split" in message


def test_missing_file(tmp_path, refused):
    assert "no such file" in refused(tmp_path / "none.h5")


def test_too_few_tracers_to_split(tmp_path, refused):
    path = hdf(tmp_path / "raw.h5", raw(tracers=2))
    assert "raw.h5:df: 2 tracers are too few for a test fraction" in refused(path)


def test_nothing_given(refused):
    assert "no input given" in refused([])


def test_neither_hdf5_nor_text(tmp_path, refused):
    (tmp_path / "raw.bin").write_bytes(bytes(range(128, 256)) * 10)
    assert "neither HDF5 nor text" in refused(tmp_path / "raw.bin")


def test_text_named_h5(tmp_path, refused):
    (tmp_path / "raw.h5").write_text("Time, Density\n1, 2\n")
    assert "cannot be read as HDF5" in refused(tmp_path / "raw.h5")


def test_truncated(tmp_path, refused):
    path = hdf(tmp_path / "raw.h5", raw())
    path.write_bytes(path.read_bytes()[:-3000])
    assert "truncated" in refused(path)


def test_hdf5_without_frames(tmp_path, refused):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["x"] = 1
    assert "no pandas frame 'df'" in refused(tmp_path / "raw.h5")


def test_the_same_file_twice(tmp_path, refused):
    path = hdf(tmp_path / "raw.h5", raw())
    assert "given twice" in refused([path, tmp_path / "." / "raw.h5"])


def test_the_output_is_no_input(tmp_path):
    path = hdf(tmp_path / "raw.h5", raw())
    with pytest.raises(InputError, match="is the output"):
        import_tracers(path, path, settings())


@pytest.mark.parametrize("column", ["Time", "Density", "radfield", "Tracer"])
def test_missing_column(tmp_path, refused, column):
    path = hdf(tmp_path / "raw.h5", raw().drop(columns=column))
    message = refused(path)
    assert f"column {column}" in message
    assert "missing" in message


def test_doubled_column(tmp_path, refused):
    path = hdf(tmp_path / "raw.h5", raw().assign(**{"CO ": 1e-5}))
    assert "column 'CO' occurs twice" in refused(path)


def test_unknown_column(tmp_path, refused):
    message = refused(hdf(tmp_path / "raw.h5", raw().assign(Vorticity=1.0)))
    assert "species 'Vorticity' cannot be read" in message
    assert "dataset.drop" in message


def test_total_ice_is_refused(tmp_path, refused):
    frame = raw().assign(**{"$H2O": 1e-4})
    assert "'$H2O' is total ice" in refused(hdf(tmp_path / "raw.h5", frame))


@pytest.mark.parametrize("change", ["less", "more"])
def test_files_of_different_networks(tmp_path, refused, change):
    frame = raw()
    other = frame.drop(columns="CO") if change == "less" else frame.assign(OH=1e-9)
    other["Tracer"] += 50
    paths = [hdf(tmp_path / "1.h5", frame), hdf(tmp_path / "2.h5", other)]
    message = refused(paths)
    assert "2.h5" in message
    assert ("lacks CO" if change == "less" else "has OH in addition") in message


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -1e-11, 1.01], ids=["nan", "inf", "negative", "above 1"]
)
def test_impossible_abundance(tmp_path, refused, value):
    frame = raw()
    frame.loc[27, "CO"] = value
    message = refused(hdf(tmp_path / "raw.h5", frame))
    assert "raw.h5" in message
    assert "tracer 102, state 3: CO is" in message


@pytest.mark.parametrize("value", [0.0, -5.0, np.nan, 1e39])
def test_impossible_parameter(tmp_path, refused, value):
    frame = raw()
    frame.loc[27, "Density"] = value
    message = refused(hdf(tmp_path / "raw.h5", frame))
    assert "tracer 102, state 3: Density is" in message


def test_radiation_that_is_no_number(tmp_path, refused):
    frame = raw()
    frame.loc[27, "radfield"] = np.nan
    assert "Radfield is nan" in refused(hdf(tmp_path / "raw.h5", frame))


@pytest.mark.parametrize("value", [2 * STEP, 3 * STEP, np.nan])
def test_time_that_does_not_increase(tmp_path, refused, value):
    frame = raw()
    frame.loc[27, "Time"] = value
    assert "tracer 102, state 3: time is" in refused(hdf(tmp_path / "raw.h5", frame))


def test_rows_of_a_tracer_apart(tmp_path, refused):
    frame = raw().sort_values(["Time", "Tracer"])
    message = refused(hdf(tmp_path / "raw.h5", frame))
    assert "rows of tracer 100 are not consecutive" in message


@pytest.mark.parametrize("value", [1.5, -1.0, np.nan])
def test_identifiers_are_whole_numbers(tmp_path, refused, value):
    frame = raw().astype({"Tracer": float})
    frame.loc[5, "Tracer"] = value
    assert "row 5: Tracer is" in refused(hdf(tmp_path / "raw.h5", frame))


def test_only_single_states(tmp_path, refused):
    frame = raw()[::12]
    assert "no tracer of at least two" in refused(hdf(tmp_path / "raw.h5", frame))


def test_csv_row_with_too_few_numbers(tmp_path, refused):
    path = write_csv(tmp_path / "run.csv", run())
    text = path.read_text().splitlines()
    text[5] = text[5][:60]
    path.write_text("\n".join(text))
    message = refused(path, split=False)
    assert "run.csv: line 6: " in message
    assert "write 19 numbers" in message


@pytest.mark.parametrize("row", [1, 7, 12])
@pytest.mark.parametrize("word", ["*****", "much"])
def test_csv_with_words_names_the_line(tmp_path, refused, monkeypatch, row, word):
    monkeypatch.setattr("astrokeras.data.importers.raw_tracers.ROWS", 5)
    path = write_csv(tmp_path / "run.csv", run())
    text = path.read_text().splitlines()
    text[row] = text[row][: text[row].rindex(",") + 1] + word
    text.insert(1, "")
    path.write_text("\n".join(text))
    message = refused(path, split=False)
    assert f"run.csv: line {row + 2}: column 'E-' is {word!r}, not a number" in message
    assert "row 0" not in message


def test_csv_without_rows(tmp_path, refused):
    (tmp_path / "run.csv").write_text("Time, Density\n")
    assert "must have a header" in refused(tmp_path / "run.csv")


def test_a_frame_of_words(refused):
    assert "must hold numbers" in refused(run().assign(CO="much"), split=False)


# Pickled objects are never unpickled.


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_hostile_column_names_of_a_table(tmp_path, refused):
    path = hdf(tmp_path / "raw.h5", raw(), format="table")
    trap = tmp_path / "sprung"
    with h5py.File(path, "r+") as file:
        names = np.bytes_(pickle.dumps([Trap(trap)], protocol=0))
        file["df/table"].attrs["values_block_0_kind"] = names
    assert "never unpickled" in refused(path)
    assert not trap.exists()


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
def test_columns_of_objects(tmp_path, refused):
    trap = tmp_path / "sprung"
    frame = raw()
    frame["note"] = [Trap(trap)] * len(frame)
    path = hdf(tmp_path / "raw.h5", frame)
    assert "never unpickled" in refused(path)
    assert not trap.exists()


def test_a_frame_elsewhere_is_no_frame(tmp_path, refused):
    hdf(tmp_path / "secret.h5", raw())
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["df"] = h5py.ExternalLink("secret.h5", "df")
    assert "'df' is a link to the file 'secret.h5'" in refused(tmp_path / "raw.h5")


def test_blocks_elsewhere_are_refused(tmp_path, refused):
    hdf(tmp_path / "secret.h5", raw())
    path = hdf(tmp_path / "raw.h5", raw())
    with h5py.File(path, "r+") as file:
        del file["df/block0_values"]
        file["df/block0_values"] = h5py.ExternalLink("secret.h5", "df/block0_values")
    assert "'block0_values' is a link to the file 'secret.h5'" in refused(path)


def test_nothing_is_left_when_a_later_file_is_wrong(tmp_path, out):
    good = hdf(tmp_path / "1.h5", raw())
    frame = raw()
    frame["Tracer"] += 50
    frame.loc[90, "CO"] = np.nan
    bad = hdf(tmp_path / "2.h5", frame)
    out.write_bytes(b"an older result")

    with pytest.raises(InputError, match=r"2\.h5.*CO is nan"):
        import_tracers([good, bad], out, settings())

    assert out.read_bytes() == b"an older result"
    assert not list(tmp_path.glob("*partial*"))
