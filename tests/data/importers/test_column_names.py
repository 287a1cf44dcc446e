"""Columns by name: letter case, shielding columns, times and numbers of tracers."""

import numpy as np
import pandas as pd
import pytest
from frames import SPECIES, run
from remedies import dataset, options

from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


@pytest.fixture
def read(tmp_path):
    """Import tables with options, and return the open tracer file and the report."""
    stores = []

    def read(frame, *words, **changes):
        config = dataset(*words, **changes)
        out = tmp_path / f"{len(stores)}.h5"
        report = import_tracers(frame, out, config, split=False)
        stores.append(TracerStore(out, need_abundances=False))
        return stores[-1], report

    yield read
    for store in stores:
        store.file.close()


def refused(read, frame, *words, **changes) -> str:
    with pytest.raises(InputError) as error:
        read(frame, *words, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


# A density n beside nitrogen, N.


def with_nitrogen(**columns) -> pd.DataFrame:
    return run().rename(columns={"Density": "n"}).assign(N=3e-5, **columns)


def test_a_density_n_is_not_nitrogen(read):
    frame = with_nitrogen()
    store, _ = read(frame, "dataset.parameters.Density=n")

    assert store.species == (*SPECIES, "N")
    np.testing.assert_allclose(store.physical(slice(None))[0, :, 0], frame["n"][:-1])


def test_dropping_n_keeps_nitrogen(read):
    store, _ = read(run().assign(n=1.0, N=3e-5), "dataset.drop=[n]")
    assert "N" in store.species
    store, _ = read(run().assign(N=3e-5), "dataset.drop=[n]")
    assert "N" in store.species


def test_nitrogen_is_never_taken_for_a_missing_n(read):
    frame = with_nitrogen().drop(columns="n")
    assert "column n missing" in refused(read, frame, "dataset.parameters.Density=n")


def test_letter_case_that_leaves_a_choice_is_refused(read):
    frame = run().rename(columns={"gasTemp": "Temp"}).assign(TEMP=10.0)
    message = refused(read, frame, "dataset.parameters.gasTemp=temp")

    assert "dataset.parameters.gasTemp is 'temp', which 'Temp' and 'TEMP'" in message
    store, _ = read(frame, "dataset.parameters.gasTemp=Temp", "dataset.drop=[TEMP]")
    assert store.parameters[-1] == "gasTemp"


# Columns of H2 and CO.


def test_shielding_columns_are_found_where_the_dataset_has_them(read):
    frame = run().assign(N_H2=1e20, **{"N(CO)": 1e14}, NH2=1e-9)
    store, _ = read(frame, variant="ism")

    values = dict(zip(store.parameters, store.physical(slice(None))[0, 0], strict=True))
    assert values["NH2"] == pytest.approx(1e20)
    assert values["NCO"] == pytest.approx(1e14)
    assert "NH2" in store.species  # amidogen


def test_unused_columns_that_look_like_parameters_are_named_with_a_remedy(read):
    frame = run().assign(N_H2=np.geomspace(1e20, 1e21, 12), T_d=10.0, **{"N(CO)": 1e14})
    store, report = read(frame)

    assert "N_H2" not in store.species
    warning = next(line for line in report.warnings if "N_H2" in line)
    notes = [line for line in report.notes if "is not used" in line]
    assert len(notes) == 2
    words = [options(line)[0] for line in (warning, *notes)]
    store, _ = read(frame, *words)
    assert {"NH2", "NCO", "dustTemp"} <= set(store.parameters)


def test_dropped_columns_are_not_urged_as_parameters(read):
    frame = run().assign(x=np.arange(12.0), zeta=np.arange(1.0, 13))
    _, report = read(frame, "dataset.drop=[x]")
    (warning,) = [line for line in report.warnings if "not a parameter" in line]
    assert "zeta (1 to 12)" in warning
    assert "dropped, though not constant: x (0 to 11)" in report.notes

    for word in options(warning):
        drop = "dataset.drop=[x,zeta]" if "drop" in word else word
        _, again = read(frame, "dataset.drop=[x]", drop)
        assert not [line for line in again.warnings if "not a parameter" in line]


# Time, and numbers of tracers.


def test_the_column_of_the_time_has_a_key(read):
    frame = run().rename(columns={"Time": "time_seconds"})
    assert "`dataset.time`" in refused(read, frame)

    message = refused(read, frame, "dataset.parameters.Time=time_seconds")
    store, _ = read(frame, *options(message), "dataset.raw_units.Time=kyr")
    np.testing.assert_allclose(
        store.file["time"][0], frame["time_seconds"] * 1000, rtol=1e-6
    )


def test_missing_parameters_are_suggested_in_one_option(read):
    names = {"Density": "n_H", "gasTemp": "T_g", "radfield": "FUV", "Av": "A_V"}
    frame = run().drop(columns=["dustTemp", "zeta"]).rename(columns=names)
    message = refused(read, frame)
    assert "columns Density, radfield, Av, gasTemp missing" in message
    store, _ = read(frame, *options(message))
    assert store.parameters == ("Density", "Radfield", "Av", "gasTemp")


@pytest.mark.parametrize("later", [0.0, 3.0], ids=["at the same times", "between"])
@pytest.mark.parametrize("name", ["particle_id", "pid"])
@pytest.mark.parametrize("physics", [False, True], ids=["solved", "tracks"])
def test_interleaved_tracers_are_recognised_and_sorted(read, later, name, physics):
    frames = [run(seed=k).assign(**{name: 70 + k, "cell": 5}) for k in (1, 0)]
    frames[1]["Time"] += later
    frame = pd.concat(frames).sort_values("Time", ignore_index=True)
    frame = frame.drop(columns=[*SPECIES] * physics)
    message = refused(read, frame)
    assert f"column {name} tells 2 tracers apart" in message

    store, _ = read(frame, *options(message))
    assert store.tracer.tolist() == [70, 71]
    assert store.species == (() if physics else SPECIES)
    for number, tracer in enumerate((70, 71)):
        one = frame[frame[name] == tracer]
        np.testing.assert_allclose(store.file["time"][number], one["Time"])
        np.testing.assert_allclose(
            store.physical(slice(None))[number, :, 0], one["Density"][:-1], rtol=1e-6
        )


def test_interleaved_tracers_are_recognised_by_a_column_of_any_name(read):
    frame = pd.concat([run(seed=k).assign(lagrangian=k) for k in (0, 1)])
    message = refused(read, frame.sort_values("Time", ignore_index=True))
    assert "column lagrangian tells 2 tracers apart" in message


def test_the_number_of_a_single_tracer_is_no_species(read):
    store, _ = read(run().assign(particle_id=7))
    assert store.species == SPECIES


def test_tracers_below_each_other_are_recognised(read):
    frame = pd.concat([run(seed=k).assign(pid=9 - k) for k in (0, 1)])
    message = refused(read, frame)
    store, _ = read(frame, *options(message))
    assert store.tracer.tolist() == [8, 9]


def test_numbered_rows_apart_can_be_sorted(read):
    frame = pd.concat([run(seed=k).assign(Tracer=k) for k in (0, 1)])
    frame = frame.sort_values("Time", ignore_index=True)
    message = refused(read, frame)
    assert "are not consecutive" in message
    store, _ = read(frame, *options(message))
    assert store.tracer.tolist() == [0, 1]


def test_simulations_have_a_key(read):
    frame = pd.concat([run(seed=k).assign(pid=k, box=4) for k in (0, 1)])
    store, _ = read(frame, "dataset.tracer=pid", "dataset.simulation=box")
    assert store.simulation.tolist() == [4, 4]
    assert "dataset.tracer is 'id'" in refused(read, frame, "dataset.tracer=id")
