"""Units that are wrong, by the values that tables and tracer files hold."""

import numpy as np
import pandas as pd
import pytest
from frames import SPECIES
from remedies import dataset, options

from astrokeras.data.checks.unit_check import check_units
from astrokeras.data.importers.array_tracers import write_tracers
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

ROWS = 12
TRUTH = pd.DataFrame(
    {
        "Time": np.linspace(0, 6e4, ROWS),
        "Density": np.geomspace(2e4, 5e5, ROWS),
        "gasTemp": np.linspace(12.0, 30.0, ROWS),
        "Av": np.linspace(2.0, 6.0, ROWS),
        "radfield": 1.5,
        "zeta": 2.0,
    }
)
NAMES = ("Density", "Radfield", "Av", "gasTemp", "zeta")


@pytest.fixture
def read(tmp_path):
    """Import a table with options, and return parameters, years and unit warnings."""

    def read(frame, *words):
        config = dataset("dataset.parameters.zeta=zeta", *words)
        out = tmp_path / "out.h5"
        report = import_tracers(frame, out, config, split=False)
        lines = [line for line in report.warnings if "raw_units" in line]
        with TracerStore(out, need_abundances=False) as store:
            return store.physical(slice(None))[0], store.file["time"][0], lines

    return read


def log(column):
    return {column: np.log10(TRUTH[column])}


REFUSED = {
    "g/cm3": {"Density": TRUTH["Density"] * 1.4 * 1.6735e-24},
    "s": {"Time": TRUTH["Time"] * 3.15576e7},
    "Gyr": {"Time": TRUTH["Time"] / 1e9},
    "cm-2": {"Av": TRUTH["Av"] / 5.348e-22},
    "s-1": {"zeta": TRUTH["zeta"] * 1.3e-17},
    "log10": log("gasTemp"),
}
WARNED = {
    "m-3": {"Density": TRUTH["Density"] * 1e6},
    "Myr": {"Time": TRUTH["Time"] / 1e6},
    "log10": log("Density"),
}


def check(found, years):
    expected = TRUTH[["Density", "radfield", "Av", "gasTemp", "zeta"]].to_numpy()
    np.testing.assert_allclose(found, expected[:-1], rtol=1e-4)
    np.testing.assert_allclose(years, TRUTH["Time"], rtol=1e-4)


def test_right_units_are_silent(read):
    *found, warnings = read(TRUTH)
    check(*found)
    assert warnings == []


@pytest.mark.parametrize("unit", REFUSED)
def test_what_no_cloud_has_is_refused_with_the_unit(read, unit):
    frame = TRUTH.assign(**REFUSED[unit])
    with pytest.raises(InputError, match="which no cloud has") as error:
        read(frame)
    remedies = [word for word in options(str(error.value)) if word.endswith(f"={unit}")]
    *found, warnings = read(frame, *remedies)
    check(*found)
    assert warnings == []


@pytest.mark.parametrize("unit", WARNED)
def test_what_is_unusual_is_a_warning_with_the_unit(read, unit):
    frame = TRUTH.assign(**WARNED[unit])
    *_, (line,) = read(frame)
    assert "unusual in clouds" in line
    remedies = [word for word in options(line) if word.endswith(f"={unit}")]
    *found, warnings = read(frame, *remedies)
    check(*found)
    assert warnings == []


def test_logarithms_with_units(read):
    frame = TRUTH.assign(Density=np.log10(REFUSED["g/cm3"]["Density"]))
    with pytest.raises(InputError, match="looks like log10"):
        read(TRUTH.assign(**log("gasTemp")))
    *found, _ = read(frame, "dataset.raw_units.Density=log10 g/cm3")
    check(*found)


def test_negative_values_are_logarithms(read):
    field = np.geomspace(0.05, 30, ROWS)
    with pytest.raises(InputError, match="with negative values") as error:
        read(TRUTH.assign(radfield=np.log10(field)))
    found, _, _ = read(
        TRUTH.assign(radfield=np.log10(field)), *options(str(error.value))
    )
    np.testing.assert_allclose(found[:, 1], field[:-1], rtol=1e-5)


def test_columns_that_are_logarithms_by_name(read):
    frame = TRUTH.assign(log_T=np.log10(TRUTH["gasTemp"])).drop(columns="gasTemp")
    with pytest.raises(InputError, match="column log_T holds logarithms") as error:
        read(frame, "dataset.parameters.gasTemp=log_T")
    words = ("dataset.parameters.gasTemp=log_T", *options(str(error.value)))
    *found, _ = read(frame, *words)
    check(*found)


def test_a_column_of_drains_name_asks_for_the_field(read):
    frame = TRUTH.rename(columns={"radfield": "chi"})
    *_, (line,) = read(frame, "dataset.parameters.Radfield=chi")
    for word, value in zip(options(line), (1.5 * 1.7, 1.5), strict=True):
        found, _, warnings = read(frame, "dataset.parameters.Radfield=chi", word)
        assert found[0, 1] == pytest.approx(value)
        assert warnings == []


def test_units_that_the_table_knows_are_converted(read, monkeypatch):
    from astrokeras.data.readers.table import FrameTable

    units = {"Density": "g/cm^3", "Time": "s"}
    monkeypatch.setattr(FrameTable, "units", units, raising=False)
    frame = TRUTH.assign(**REFUSED["g/cm3"], **REFUSED["s"])
    *found, _ = read(frame)
    check(*found)
    # What is configured comes first.
    found, _, _ = read(frame, "dataset.raw_units.Density=4e23")
    assert found[0, 0] == pytest.approx(4e23 * frame["Density"][0])


@pytest.mark.parametrize(
    ("change", "refused"),
    [({}, None), (REFUSED["g/cm3"], True), (WARNED["m-3"], False)],
)
def test_tracer_files_have_the_same_check(tmp_path, change, refused):
    frame = TRUTH.assign(**change).rename(columns={"radfield": "Radfield"})
    write_tracers(
        tmp_path / "t.h5",
        np.full((ROWS, len(SPECIES)), 1e-3),
        frame[[*NAMES]].to_numpy()[:-1],
        frame["Time"].to_numpy(),
        species=SPECIES,
        parameters=NAMES,
    )
    with TracerStore(tmp_path / "t.h5") as store:
        if refused:
            with pytest.raises(InputError, match=r"again with .*Density=g/cm3"):
                check_units(store, "t.h5")
        else:
            lines = check_units(store, "t.h5")
            assert len(lines) == (refused is False)
            assert all("dataset.raw_units.Density=m-3" in line for line in lines)
