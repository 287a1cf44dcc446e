"""Text files of other codes: values against the numbers they were written from."""

from dataclasses import fields, replace

import numpy as np
import pytest
from frames import PARAMETERS, settings

from astrokeras.config import DatasetConfig, compose
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
NAMES = ["H", "H2", "C+", "CO", "HE", "#H2O", "E-"]
X = 10 ** np.random.default_rng(5).uniform(-9, -5, (4, len(NAMES)))
X[:, :2] = 0.2, 0.4
FIXED = {"Density": 1e4, "Radfield": 1.7, "Av": 10, "gasTemp": 15}
RADFIELD = {"Radfield": 1.7}


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


def fortran(value):
    return f"{value:.6E}".replace("E", "D")


def rows(*columns, number=fortran):
    return "".join(
        " " + " ".join(map(number, row)) + "\n" for row in np.transpose(columns)
    )


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


def test_krome(tmp_path):
    # `write(66,'(a)') "#time "//krome_get_names_header()`, then '(999E12.3e3)'.
    path = tmp_path / "fort.66"
    names = ["E" if name == "E-" else name for name in NAMES]
    path.write_text("#time " + " ".join(names).replace("#H2O", "H2O H2O_ICE") + "\n")
    columns = np.column_stack([X[:, :5], X[:, 4] / 2, X[:, 5:]])
    with path.open("a") as file:
        file.write(rows(TIME, *columns.T, number=lambda x: f"{x:12.3E}"))

    tracers, species, *_ = read(path, **FIXED)

    assert species == ("H", "H2", "C+", "CO", "HE", "H2O", "#H2O", "E-")
    np.testing.assert_allclose(tracers.abundances[0], columns, rtol=1e-3)
    np.testing.assert_allclose(tracers.physical[0, 0], [1e4, 1.7, 10, 15])


def test_uclchem_pages(tmp_path):
    # The formats 8020 and 8010 of UCLCHEM 1.3.
    text = ""
    for k in range(4):
        text += (
            f"age of cloud             time  = {TIME[k]:11.3E} years\n"
            f"total hydrogen density   dens  = {DENSITY[k]:11.4E} cm-3\n"
            f"cloud temperature        temp  = {GAS[k]:8.2f} k\n"
            f"visual extinction        av    = {AV[k]:12.4f} mags\n"
            f"radiation field          rad   = {1.0:10.2f} (habing = 1)\n"
            f"cosmic ray ioniz. rate   zeta  = {1.0:10.2f} (unit = 1.3e-17s-1)\n"
            "h2 formation rate coef.        = 1.00E-17 cm3 s-1\n"
            "c / htot = 2.0E-04     o / htot = 3.0E-04\n"
            "mg / htot = 7.0E-06 he / htot = 1.0E-01 depth     =   1\n\n\n"
        )
        cells = [f" {n:<15}= {x:10.3E}" for n, x in zip(NAMES, X[k], strict=True)]
        text += "\n".join("".join(cells[i : i + 4]) for i in (0, 4)) + "\n\n\n"
    path = tmp_path / "full.dat"
    path.write_text(text)

    tracers, species, _, report = read(path)

    assert species == tuple(NAMES)
    np.testing.assert_allclose(tracers.abundances[0], X, rtol=1e-3)
    np.testing.assert_allclose(tracers.physical[0, :, 2], AV[:3], rtol=1e-6)
    np.testing.assert_allclose(tracers.time[0], TIME)
    assert report.fixed == ["zeta = 1"]
    path.write_text(text[: text.rindex("C+")])
    with pytest.raises(InputError, match=r"page of line \d+ has other quantities"):
        read(path)


@pytest.fixture(scope="module")
def config():
    return compose(["dataset=neath"]).dataset


def neath(particles=3, dust=False, states=4):
    """Return rows of NEATH's particles, each with its own density."""
    table = []
    for number in range(particles):
        for k in range(states):
            hydrogen = AV[k] / 5.348e-22
            row = [TIME[k] * YEAR, 1e18, -1e18, 0, DENSITY[k] * (1 + number), 1e5, 0, 0]
            row += [GAS[k], 0.4, 1e-5, hydrogen, 0.3 * hydrogen, 1e-5 * hydrogen]
            table.append(row + [12.5] * dust)
    return np.array(table)


@pytest.mark.parametrize("dust", [False, True])
def test_neath(tmp_path, dust, config):
    path = tmp_path / "particles.out"
    path.write_text(rows(*neath(dust=dust).T, number=lambda x: f"{x:11.4E}"))

    tracers, species, parameters, _ = read(path, config)

    assert species == ()
    assert tracers.simulation.tolist() == [0] * 3
    found = dict(zip(parameters, np.moveaxis(tracers.physical, 2, 0), strict=True))
    np.testing.assert_allclose(tracers.time, np.tile(TIME, (3, 1)), rtol=1e-4)
    np.testing.assert_allclose(found["Density"][2], 3 * DENSITY[:3], rtol=1e-4)
    np.testing.assert_allclose(found["Av"][1], AV[:3], rtol=1e-4)
    np.testing.assert_allclose(found["NH2"][0], 0.3 * AV[:3] / 5.348e-22, rtol=1e-4)
    np.testing.assert_allclose(found["NCO"][0], 1e-5 * AV[:3] / 5.348e-22, rtol=1e-4)
    np.testing.assert_allclose(found["dustTemp"][0], 12.5 if dust else GAS[:3])
    assert (found["Radfield"] == np.float32(1.7)).all()
    assert (found["zeta"] == 1).all()
    with pytest.raises(InputError, match="dataset=neath"):
        read(path)


def test_neath_in_blocks(tmp_path, monkeypatch, config):
    path = tmp_path / "particles.out"
    path.write_text(rows(*neath(particles=9).T, number=lambda x: f"{x:11.4E}"))
    whole, *_ = read(path, config)
    for module in ("importers.raw_tracers", "readers.neath"):
        monkeypatch.setattr(f"astrokeras.data.{module}.ROWS", 5)

    parts, *_ = read(path, config)

    assert len(parts) == 9
    np.testing.assert_array_equal(parts.physical, whole.physical)


def test_nautilus_structure(tmp_path):
    path = tmp_path / "structure_evolution.dat"
    text = "! time    log(Av)    log(n)    log(T)\n! (yr)   (mag)      (cm-3)    (K)\n"
    path.write_text(text + rows(TIME, *np.log10([AV, DENSITY, GAS])))

    tracers, *_ = read(path, **RADFIELD)

    expected = np.stack([DENSITY, np.full(4, 1.7), AV, GAS], axis=1)[:3]
    np.testing.assert_allclose(tracers.physical[0], expected, rtol=1e-5)


def blocks(values, title="(/H2)", width=4):
    text = ""
    for first in range(0, len(NAMES), width):
        part = slice(first, first + width)
        text += f"  ** FRACTIONAL ABUNDANCES {title} **\n\n   TIME   "
        text += "  ".join(NAMES[part]) + "\n"
        text += rows(TIME, *values.T[part], number=lambda x: f"{x:.3E}") + "\n\n"
    return text


def test_abundances_in_blocks(tmp_path):
    path = tmp_path / "blocks.out"
    for title, per in (("(/H2)", 2), ("(/H)", 1)):
        path.write_text(blocks(per * X, title))
        tracers, species, *_ = read(path, **FIXED)
        assert species == tuple(NAMES)
        np.testing.assert_allclose(tracers.abundances[0], X, rtol=1e-3)
    path.write_text(blocks(X))
    with pytest.raises(InputError, match=r"relative to H2.*holds 1 H nuclei"):
        read(path, **FIXED)


def test_a_run_of_nautilus(tmp_path):
    # `nautilus_outputs.f90`: a file a species, a column a point.
    run = tmp_path / "run"
    for folder in ("ab", "struct"):
        (run / folder).mkdir(parents=True)
    spelled = ["H", "H2", "C+", "CO", "He", "JH2O", "e-"]
    head = (
        "! time [year]; Each column is the abundance (relative to H) [number ratio]\n"
    )
    for name, x in zip(
        [*spelled, "H2O", "GRAIN0"], [*X.T, X[:, 3], X[:, 3]], strict=True
    ):
        other = x if name in ("H", "H2") else x / 2
        text = rows(TIME, x, other, number=lambda x: f"{x:.6E}")
        (run / "ab" / f"{name}.ab").write_text(head + text)
    for point in (1, 2):
        text = "! time     ; gas temperature ; dust temperature\n"
        text += rows(TIME, GAS, GAS, np.log10(DENSITY * point), AV, AV * 0)
        (run / "struct" / f"output.0000{point}.struct").write_text(text)

    tracers, species, *_ = read(run, **RADFIELD)

    assert set(species) == {*NAMES, "H2O"}
    assert len(tracers) == 2
    order = [species.index(name) for name in NAMES]
    second = X * np.where(np.isin(NAMES, ["H", "H2"]), 1, 0.5)
    np.testing.assert_allclose(tracers.abundances[1][:, order], second, rtol=1e-5)
    np.testing.assert_allclose(tracers.physical[1, :, 0], 2 * DENSITY[:3], rtol=1e-5)


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
