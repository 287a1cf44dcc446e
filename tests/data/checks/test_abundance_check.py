"""Abundances of other definitions, and electrons, at every door."""

import numpy as np
import pytest
from frames import SPECIES, run
from remedies import dataset, options

from astrokeras.data.checks.summary import inspect_tracers
from astrokeras.data.importers.array_tracers import write_tracers
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

IONS = ("H+", "H3+", "HCO+", "C+", "MG+")
NAMES = (*SPECIES, *IONS)


def network(**columns):
    """Return a run whose ions and electrons balance."""
    frame = run(states=30)
    frame = frame.assign(**dict.fromkeys(IONS, 1e-7) | {"E-": 5e-7} | columns)
    return frame.assign(H2=frame["H2"] - 2.5e-7)


@pytest.fixture
def read(tmp_path):
    """Import a table with options, and return abundances by name and the warnings."""

    def read(frame, *words, **changes):
        out = tmp_path / "out.h5"
        config = dataset(*words, **changes)
        report = import_tracers(frame, out, config, split=False)
        with TracerStore(out) as store:
            values = store.read(slice(None)).abundances[0].T
            return dict(zip(store.species, values, strict=True)), report.warnings

    return read


def refused(read, *arguments) -> str:
    with pytest.raises(InputError) as error:
        read(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


FACTORS = {"per_h2": 2.0, "per_cm3": "Density", "per_mass": 1 / 1.4}


@pytest.mark.parametrize("definition", FACTORS)
def test_other_definitions_are_refused_and_converted_as_the_message_says(
    read, definition
):
    frame, other = network(), network()
    factor = FACTORS[definition]
    factor = frame[factor] if isinstance(factor, str) else factor
    for name in NAMES:
        other[name] = frame[name] * factor

    message = refused(read, other)
    assert options(message) == [f"dataset.abundances={definition}"]
    found, _ = read(other, *options(message))
    for name in NAMES:
        np.testing.assert_allclose(found[name], frame[name], rtol=1e-5)


def test_a_wrong_definition_is_refused(read):
    message = refused(read, network(), "dataset.abundances=per_h2")
    assert "does not fit `dataset.abundances=per_h2`" in message
    assert "relative to H nuclei already" in message


def test_a_total_that_is_nothing_known_is_refused(read):
    frame = network(H=0.5)
    message = refused(read, frame)
    assert "hydrogen adds up to 1.5" in message
    assert "dataset.abundances" in message


@pytest.mark.parametrize("electrons", ["missing", "zero"])
def test_electrons_are_set_by_charge_when_asked(read, electrons):
    frame = network(**{"E-": 0.0})
    frame = frame.drop(columns="E-") if electrons == "missing" else frame
    message = refused(read, frame)
    assert "the ions add up to 5e-07" in message

    found, warnings = read(frame, *options(message))
    np.testing.assert_allclose(found["E-"], 5e-7, rtol=1e-6)
    assert not [line for line in warnings if "charge" in line]


def test_a_start_whose_charges_do_not_add_up_is_a_warning(read):
    _, warnings = read(network(**{"E-": 6e-7}))
    (line,) = [line for line in warnings if "charges" in line]
    found, _ = read(network(**{"E-": 6e-7}), *options(line))
    np.testing.assert_allclose(found["E-"], 5e-7, rtol=1e-6)


def test_elements_are_compared_with_those_of_the_network(read, tmp_path):
    frame = network(O=2e-4, CO=1e-4, MG=1e-9).assign(**{"#H2O": 1e-9, "@CO": 1e-9})
    frame = frame.assign(HCOOH=1e-9, CH3OH=1e-9, C=1e-9)
    frame["H2"] += (1 - hydrogen(frame)) / 2
    path = tmp_path / "start.csv"
    frame.assign(O=5e-4)[[*NAMES]][:1].to_csv(path, index=False)
    _, warnings = read(frame, f"dataset.initial_abundances={path}")
    (line,) = [line for line in warnings if "other totals" in line]
    assert "O 0.0003 and 0.0006" in line
    assert "C " not in line.partition(";")[0].partition(":")[2]


def hydrogen(frame):
    nuclei = {"H": 1, "H2": 2, "CH3OH": 4, "HCOOH": 2, "#H2O": 2, "H+": 1, "H3+": 3}
    return sum(count * frame[name] for name, count in (nuclei | {"HCO+": 1}).items())


def test_a_list_without_ices_may_lack_hydrogen_but_not_have_more(read):
    gas = [name for name in NAMES if name[0] not in "#@" and name != "E-"]
    others = network().drop(columns=[n for n in NAMES if n not in gas])
    frozen = np.linspace(1, 1e-3, len(others))
    frame = others.assign(**{name: others[name] * frozen for name in gas})

    found, warnings = read(frame)
    np.testing.assert_allclose(found["H2"], frame["H2"], rtol=1e-6)
    (line,) = [line for line in warnings if "hydrogen" in line]
    assert "hold 0.001 of all hydrogen at least" in line
    assert options(line) == ["emulator.conserve=false"]

    doubled = frame.assign(**{name: 2 * frame[name] for name in gas})
    message = refused(read, doubled)
    assert options(message) == ["dataset.abundances=per_h2"]
    found, _ = read(doubled, *options(message))
    np.testing.assert_allclose(found["H2"], frame["H2"], rtol=1e-3)
    tripled = frame.assign(**{name: 3 * frame[name] for name in gas})
    assert "hydrogen adds up to 3" in refused(read, tripled)


# Initial abundances.


def write_start(path, factor=1.0, **changes):
    row = (network()[[*NAMES]][:1] * factor).assign(**changes)
    row.to_csv(path, index=False)
    return path, row.to_numpy()[0]


def test_starts_are_checked_too(tmp_path):
    path, right = write_start(tmp_path / "start.csv")
    np.testing.assert_allclose(read_initial(path, NAMES), right)

    path, raw = write_start(path, 2.0)
    with pytest.raises(InputError, match=r"adds up to 2 .* multiply all by 0\.5\.$"):
        read_initial(path, NAMES)
    with pytest.raises(InputError) as error:
        read_initial(path, NAMES, config=dataset())
    config = dataset(*options(str(error.value)))
    np.testing.assert_allclose(read_initial(path, NAMES, config=config), raw / 2)


@pytest.mark.parametrize("names", [NAMES, tuple(n for n in NAMES if n != "E-")])
def test_starts_without_electrons(tmp_path, names):
    path, right = write_start(tmp_path / "start.csv")
    row = network()[[*names]][:1]
    row.assign(**{"E-": 0.0} if "E-" in names else {}).to_csv(path, index=False)
    message = "charges of the ions add up to 5e-07" if "E-" in names else "lacks 1 of"
    with pytest.raises(InputError, match=message):
        read_initial(path, NAMES, config=dataset())
    config = dataset("dataset.electrons=neutral")
    np.testing.assert_allclose(read_initial(path, NAMES, config=config), right)


def test_inspect_tells_sums_that_cannot_be_right(tmp_path):
    frame = network()
    parameters = {"Density": frame["Density"].to_numpy()[:-1]}
    for factor, count in ((1.0, 0), (2.0, 1)):
        states = frame[[*NAMES]].to_numpy() * factor
        write_tracers(
            tmp_path / "t.h5",
            np.minimum(states, 1.0),
            {"Density": parameters["Density"]},
            frame["Time"].to_numpy(),
            species=NAMES,
            overwrite=True,
        )
        summary = inspect_tracers(tmp_path / "t.h5")
        remarks = summary["remarks"]
        if factor == 2:
            # The same file, joined with others.
            with pytest.raises(
                InputError, match="import the raw file again with"
            ) as error:
                import_tracers(
                    tmp_path / "t.h5", tmp_path / "o.h5", dataset(), split=False
                )
            assert options(str(error.value)) == ["dataset.abundances=per_h2"]
        else:
            report = import_tracers(
                tmp_path / "t.h5", tmp_path / "o.h5", dataset(), split=False
            )
            assert not [line for line in report.warnings if "hydrogen" in line]
        assert len(remarks) == count
        expected = {"ions": 5e-7 * factor, "electrons": 5e-7 * factor}
        assert summary["charge"] == pytest.approx(expected)
    assert "fractions of n(H2)" in remarks[0]
