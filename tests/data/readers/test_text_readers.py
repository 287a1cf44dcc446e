"""Text files of other codes: values against the numbers they were written from."""

from dataclasses import fields, replace

import numpy as np
import pytest
from frames import PARAMETERS, settings
from layouts import SPECIES, blocks, fortran, neath, rows, uclchem_pages
from remedies import dataset

from astrokeras.config import DatasetConfig
from astrokeras.data.importers.adapted_table import AdaptedTable
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.readers.registry import READERS, find_reader
from astrokeras.data.readers.text_table import TextTable
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.units import YEAR
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

TIME = np.array([0.0, 100.0, 250.0, 700.0])
DENSITY = np.array([1e4, 2e4, 4.5e4, 1e5])
AV = np.array([2.0, 3.0, 5.0, 8.0])
GAS = np.array([30.0, 20.0, 12.0, 10.0])
FIXED = {"Density": 1e4, "Radfield": 1.7, "Av": 10, "gasTemp": 15}
RADFIELD = {"Radfield": 1.7}
TABLES = {"csv": "csv_table", "tabs": "csv_table", "blanks": "text_table"}


def read(path, config=None, layout="auto", raw_units=None, **parameters):
    """Import a file, and return its tracers, species, parameters and report.

    Keywords give columns of parameters, or constants.
    """
    config = config or settings(
        layout=layout,
        parameters=PARAMETERS | {name: str(raw) for name, raw in parameters.items()},
        raw_units=raw_units or {},
    )
    out = path.with_name("out.h5")
    report = import_tracers(path, out, config, split=False)
    with TracerStore(out, need_abundances=False) as store:
        return store.read(slice(None)), store.species, store.parameters, report


HEADERS = {
    "comment": "! time log(Av) log10(Density) logT\n! (yr) (mag) (cm-3) (K)\n",
    "line": "Time log_Av log(Density) log10[T]\n",
    "units in names": "# Time[yr] log(Av) log(Density) log(T)\n",
    "numbered": "# 1: Time [yr]\n# 2: log(Av)\n# 3: log(Density)\n# 4: log(T)\n",
    "phantom": "# [01 Time] [02 log(Av)] [03 log(Density)] [04 log(T)]\n",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_whitespace_tables_with_fortran_exponents_and_logarithms(tmp_path, header):
    path = tmp_path / "gas.txt"
    logs = np.log10([AV, DENSITY, GAS])
    path.write_text(header + rows(TIME, *logs))

    tracers, species, _, report = read(path, layout="text", gasTemp="T", **RADFIELD)

    assert species == ()
    expected = np.stack([DENSITY, np.full(4, 1.7), AV, GAS], axis=1)[:3]
    np.testing.assert_allclose(tracers.physical[0], expected, rtol=1e-5)
    np.testing.assert_allclose(tracers.time[0], TIME)
    assert any("ten to the power" in note for note in report.notes)


def test_a_stated_unit_is_converted_and_not_twice(tmp_path):
    path = tmp_path / "gas.txt"
    path.write_text("# Time[s] Density[m^-3] Av gasTemp\n")
    with path.open("a") as file:
        file.write(rows(TIME * YEAR, DENSITY * 1e6, AV, GAS))
    for units in ({}, {"Time": "s", "Density": "m-3"}):
        tracers, *_, report = read(path, raw_units=units, **RADFIELD)
        np.testing.assert_allclose(tracers.time[0], TIME, rtol=1e-5)
        np.testing.assert_allclose(tracers.physical[0, :, 0], DENSITY[:3], rtol=1e-5)
        assert any("m^-3" in note for note in report.notes) == bool(units)


def test_a_row_of_another_length_is_named(tmp_path):
    path = tmp_path / "gas.txt"
    path.write_text(
        "# Time Density Av gasTemp\n" + rows(TIME, DENSITY, AV, GAS) + "1 2\n"
    )

    with pytest.raises(InputError, match=r"gas.txt: line 6: has 2 cells"):
        read(path, **RADFIELD)


def test_no_header_names_the_columns_by_number(tmp_path):
    path = tmp_path / "gas.txt"
    path.write_text(rows(TIME, DENSITY, AV, GAS))

    with pytest.raises(InputError, match=r"Time.*column1, column2"):
        read(path, **RADFIELD)


def test_a_page_that_is_cut_off_is_named(tmp_path):
    path = uclchem_pages(tmp_path)
    text = path.read_text()
    path.write_text(text[: text.rindex("C+")])
    with pytest.raises(InputError, match=r"page of line \d+ has other quantities"):
        read(path)


def test_neath_names_its_dataset(tmp_path):
    with pytest.raises(InputError, match="dataset=neath"):
        read(neath()(tmp_path))


def test_neath_in_blocks(tmp_path, monkeypatch):
    config = dataset(variant="neath")
    path = neath(particles=9)(tmp_path)
    whole, *_ = read(path, config)
    for module in ("importers.raw_tracers", "readers.neath"):
        monkeypatch.setattr(f"astrokeras.data.{module}.ROWS", 5)

    parts, *_ = read(path, config)

    assert len(parts) == 9
    np.testing.assert_array_equal(parts.physical, whole.physical)


@pytest.mark.parametrize("kind", ["csv", "tabs", "blanks"])
@pytest.mark.parametrize("arrow", [True, False])
def test_large_tables_hold_what_was_written(tmp_path, monkeypatch, kind, arrow):
    if arrow:
        pytest.importorskip("pyarrow")
        monkeypatch.setattr("astrokeras.data.readers.parsed_rows.LEAST", 1)
    else:
        module = "astrokeras.data.readers.parsed_rows._arrow_csv"
        monkeypatch.setattr(module, lambda: None)
    monkeypatch.setattr(f"astrokeras.data.readers.{TABLES[kind]}.SIZE", 100)
    values = np.random.default_rng(1).uniform(-1, 1, (50, 4)) * 1e-5
    between = {"csv": ", ", "tabs": "\t", "blanks": "  "}[kind]
    lines = [between.join(f"{x:.17e}" for x in row) for row in values]
    # What Arrow does not read: Fortran's numbers in some blocks, blank lines, quotes.
    lines[20] = lines[20].replace("e", "D")
    lines[30] = between.join(["1.0-101", "2.D0", "+3", ".4"])
    values[30] = 1e-101, 2, 3, 0.4
    lines.insert(10, "   ")
    path = tmp_path / "table.txt"
    head = between.join(["a", "b", "c", "d"]) + "\n"
    path.write_text(head + "\n".join(lines) + "\n")

    table = find_reader(path).open(path)

    assert (table.columns, table.rows) == (("a", "b", "c", "d"), 50)
    np.testing.assert_array_equal(table.read(0, 50, [3, 0]), values[:, [3, 0]])
    parts = [table.read(k, k + 7, [1, 1]) for k in range(0, 49, 7)]
    np.testing.assert_array_equal(np.concatenate(parts)[:, 0], values[:49, 1])
    np.testing.assert_array_equal(table.read(40, 45, [2]), values[40:45, [2]])


BAD = {
    "1,2": "line 42: has 2 cells",
    "1,2,3,4,5": "line 42: has 5 cells",
    "1,,3,4": "line 42: column 'b' is '', which denotes a missing value",
    "1,NA,3,4": "line 42: column 'b' is 'NA', which denotes a missing value",
    "1,0x10,3,4": "line 42: column 'b' is '0x10', not a number",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_row_of_a_large_table_is_named(tmp_path, monkeypatch, line):
    monkeypatch.setattr("astrokeras.data.readers.parsed_rows.LEAST", 1)
    monkeypatch.setattr("astrokeras.data.readers.csv_table.SIZE", 100)
    path = tmp_path / "table.csv"
    rows = ["1,2,3,4"] * 60
    rows[40] = line
    path.write_text("\n".join(["a,b,c,d", *rows]))
    table = find_reader(path).open(path)
    with pytest.raises(InputError, match=BAD[line]):
        table.read(0, table.rows, [0, 1])


def test_the_title_of_blocks_is_checked(tmp_path):
    path = blocks(SPECIES)(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("(/H2)", "(/H)"))
    with pytest.raises(InputError, match=r"fractions of n\(H2\): give"):
        read(path, **FIXED)
    path = blocks(SPECIES, per=1)(tmp_path)
    with pytest.raises(InputError, match=r"relative to H2.*holds 1 H nuclei"):
        read(path, **FIXED)


def test_a_start_of_nautilus(tmp_path):
    path = tmp_path / "abundances.in"
    text = "! relative to hydrogen nuclei\n"
    start = {"H2": 0.5, "He": 0.1, "C+": 1.7e-4, "Mg+": 2e-6, "JCO": 1e-6, "CO": 0}
    for name, value in start.items():
        text += f"{name:<12}= {fortran(value)} ! as given\n"
    path.write_text(text)
    species = ["H", "H2", "HE", "C+", "MG+", "CO", "#CO", "E-"]

    values = read_initial(path, species)

    np.testing.assert_allclose(
        values, [1e-20, 0.5, 0.1, 1.7e-4, 2e-6, 1e-20, 1e-6, 1.72e-4], rtol=1e-6
    )
    with pytest.raises(InputError, match="MG\\+ = 2e-06 is not a species"):
        read_initial(path, [name for name in species if name != "MG+"])


def test_layouts_are_values_of_the_configuration(tmp_path):
    (known,) = (f for f in fields(DatasetConfig) if f.name == "layout")
    layouts = {reader.layout for reader in READERS} | {"snapshots"}
    assert layouts <= set(known.metadata["choices"])
    csv = tmp_path / "gas.csv"
    csv.write_text("a,b\n1,2\n")
    assert find_reader(csv).layout == "uclchem"


def test_logarithms_that_raw_units_state_are_left_to_them(tmp_path):
    path = tmp_path / "gas.txt"
    path.write_text(
        "# Time log(n) Av gasTemp\n" + rows(TIME, np.log10(DENSITY), AV, GAS)
    )
    config = settings(parameters=PARAMETERS | {"Density": "log(n)", "Radfield": "1"})

    plain = AdaptedTable(TextTable(path), config)
    stated = AdaptedTable(
        TextTable(path), replace(config, raw_units={"Density": "log10"})
    )

    assert plain.columns[:2] == stated.columns[:2] == ("Time", "log(n)")
    np.testing.assert_allclose(plain.read(0, 4, [1])[:, 0], DENSITY, rtol=1e-5)
    np.testing.assert_allclose(stated.read(0, 4, [1])[:, 0], np.log10(DENSITY), 1e-6)
