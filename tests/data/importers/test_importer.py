"""Raw files become tracer files: values against pandas."""

import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pytest
from frames import (
    ALIASES,
    COLUMNS,
    PHYSICS,
    SPECIES,
    cleaned,
    hdf,
    raw,
    run,
    settings,
    start_abundances,
    write_csv,
)
from tiny import write_tracers

from astrokeras.chemistry.species import parse_species
from astrokeras.config import SplitConfig
from astrokeras.data.importers.column_roles import uclchem_name
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.reader import TracerStore

pytestmark = pytest.mark.neutral


def read(path):
    with TracerStore(path) as store:
        return store.read(slice(None)), store.species, store.attributes


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


def check(path, frame, rows=12, species=SPECIES):
    """Compare a tracer file with `alignment: next` to the frame, by pandas alone."""
    tracers, names, _ = read(path)
    assert names == tuple(species)
    for number, (tracer, one) in enumerate(frame.groupby("Tracer")):
        assert tracers.tracer[number] == tracer
        np.testing.assert_allclose(
            tracers.abundances[number], one[list(species)].to_numpy(), rtol=1e-6
        )
        np.testing.assert_allclose(
            tracers.physical[number], one[COLUMNS].to_numpy()[: rows - 1], rtol=1e-6
        )
        np.testing.assert_array_equal(tracers.time[number], one["Time"])
        assert tracers.length[number] == rows


@pytest.mark.parametrize(
    "options",
    [
        {"format": "fixed"},
        {"format": "fixed", "complevel": 5, "complib": "zlib"},
        {"format": "table"},
        {"format": "table", "complevel": 5, "complib": "blosc"},
        {"format": "table", "data_columns": ["Tracer", "Time"]},
    ],
    ids=["fixed", "zlib", "table", "blosc", "data columns"],
)
def test_astrochemnet_raw(tmp_path, out, options):
    frame = raw()
    import_tracers(hdf(tmp_path / "raw.h5", frame, **options), out, settings())
    check(out, frame)


def test_one_precision_or_several(tmp_path, out):
    frame = raw()
    some = ["Density", "Av", "CO", "MG", "E-"]
    single = frame.astype(dict.fromkeys(some, "f4"))
    import_tracers(hdf(tmp_path / "raw.h5", single), out, settings())
    check(out, single)


def test_names_with_spaces_and_columns_in_any_order(tmp_path, out):
    frame = raw()
    shuffled = frame[frame.columns[::-1]].rename(columns=lambda name: f" {name}  ")
    import_tracers(hdf(tmp_path / "raw.h5", shuffled), out, settings())
    check(out, frame, species=SPECIES[::-1])


def test_several_files_are_one_with_one_split(tmp_path, out):
    frame = raw(tracers=20)
    first, second = frame[frame["Tracer"] < 107], frame[frame["Tracer"] >= 107]
    other_order = [*second.columns[::-1]]
    paths = [
        hdf(tmp_path / "1.h5", first),
        hdf(tmp_path / "2.h5", second[other_order], format="table"),
    ]
    config = settings(split=SplitConfig())

    report = import_tracers(paths, out, config)

    check(out, frame)
    assert report.split == {"train": 14, "validation": 3, "test": 3}


def test_tracers_straddle_blocks(tmp_path, out, monkeypatch):
    frame = raw(tracers=9)
    # Blocks of identifiers of 5 rows, tracers of 12.
    path = hdf(tmp_path / "raw.h5", frame, format="table")
    monkeypatch.setattr("astrokeras.data.importers.raw_tracers.ROWS", 5)
    import_tracers(path, out, settings())
    check(out, frame)


def test_memory_does_not_grow_with_the_input(tmp_path, out):
    def peak(tracers):
        path = tmp_path / f"{tracers}.h5"
        frame = pd.concat([raw(tracers=1, states=120)] * tracers, ignore_index=True)
        hdf(path, frame.assign(Tracer=np.repeat(np.arange(tracers), 120)), mode="w")
        tracemalloc.start()
        import_tracers(path, out, settings())
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(8)  # What is allocated once and for all.
    small, large = peak(150), peak(900)
    assert large < 1.3 * small


def test_tracers_that_end_early(tmp_path, out):
    frame = raw()
    kept = frame.drop(frame[(frame["Tracer"] == 102) & (frame["Time"] > 700)].index)
    import_tracers(hdf(tmp_path / "raw.h5", kept), out, settings())

    tracers, *_ = read(out)

    assert tracers.length.tolist() == [12, 12, 7, 12, 12, 12, 12, 12]
    one = frame[frame["Tracer"] == 102]
    np.testing.assert_array_equal(tracers.time[2, :7], one["Time"][:7])
    np.testing.assert_allclose(tracers.physical[2, :6, 0], one["Density"][:6], 1e-6)
    for values in (tracers.time[2, 7:], tracers.abundances[2, 7:]):
        assert np.isnan(values).all()
    assert np.isnan(tracers.physical[2, 6:]).all()


def test_a_single_state_has_no_step_and_is_counted(tmp_path, out):
    frame = raw()
    kept = frame.drop(frame[(frame["Tracer"] == 102) & (frame["Time"] > 100)].index)
    report = import_tracers(hdf(tmp_path / "raw.h5", kept), out, settings())

    assert report.statistics.short == 1
    assert 102 not in read(out)[0].tracer
    check(out, frame[frame["Tracer"] != 102])


def test_what_is_clipped_is_counted(tmp_path, out):
    frame = raw()
    frame.loc[[0, 5, 9], "CO"] = [1e-25, 0.0, -9e-13]
    frame.loc[7, "H"] = 1 + 9e-7
    frame.loc[[3, 4], "radfield"] = [0.0, -2.0]

    report = import_tracers(hdf(tmp_path / "raw.h5", frame), out, settings())

    assert report.statistics.raised == 3
    assert report.statistics.lowered == 1
    assert report.statistics.floored == {"Radfield": 2}
    frame.loc[[0, 5, 9], "CO"] = 1e-20
    frame.loc[7, "H"] = 1.0
    frame.loc[[3, 4], "radfield"] = 1e-4
    check(out, frame)


def test_what_is_held_fixed_is_noted(tmp_path, out):
    report = import_tracers(hdf(tmp_path / "raw.h5", raw()), out, settings())

    assert report.fixed == ["dustTemp = gasTemp", "zeta = 1"]
    assert read(out)[2]["fixed"] == report.fixed
    assert not report.warnings


def test_what_varies_unseen_is_a_warning(tmp_path, out):
    frame = raw()
    frame.loc[3, "zeta"] = 10.0
    report = import_tracers(hdf(tmp_path / "raw.h5", frame), out, settings())

    assert report.fixed == ["dustTemp = gasTemp"]
    assert any("zeta (1 to 10): varies" in line for line in report.warnings)


@pytest.mark.parametrize("digits", [4, 6])
def test_rounded_times_are_a_warning(tmp_path, out, digits):
    frame = raw()
    frame["Time"] = [float(f"{value:.{digits - 1}e}") for value in frame["Time"] + 1e4]
    warnings = import_tracers(hdf(tmp_path / "f.h5", frame), out, settings()).warnings

    found = [line for line in warnings if "unequal time steps require" in line]
    assert len(found) == (digits == 4)
    assert all("states are 90 to 100 yr apart" in line for line in found)


def test_provenance(tmp_path, out):
    config = settings(source="here", licence="CC0", elements=["Fe"])
    import_tracers(hdf(tmp_path / "raw.h5", raw()), out, config)

    attributes = read(out)[2]

    assert attributes["source"] == "here"
    assert attributes["licence"] == "CC0"
    assert attributes["alignment"] == "next"
    assert attributes["elements"] == ["H", "HE", "C", "N", "O", "MG", "FE"]
    assert attributes["split_by"] == "tracer"


# Alignment.


@pytest.fixture
def initial(tmp_path):
    path = tmp_path / "initial.csv"
    start = pd.DataFrame([start_abundances()], columns=SPECIES)
    start.assign(BULK=0.0, SURFACE=0.0)[["SURFACE", *SPECIES[::-1], "BULK"]].to_csv(
        path, index=False
    )
    return path


def test_this_puts_the_initial_abundances_in_front(tmp_path, out, initial):
    frame = raw()
    config = settings(alignment="this", initial_abundances=str(initial))
    import_tracers(hdf(tmp_path / "raw.h5", frame), out, config)

    tracers, *_ = read(out)

    assert tracers.abundances.shape == (8, 13, len(SPECIES))
    start = start_abundances()
    for number, (_, one) in enumerate(frame.groupby("Tracer")):
        np.testing.assert_allclose(tracers.abundances[number, 0], start, rtol=1e-6)
        np.testing.assert_allclose(
            tracers.abundances[number, 1:], one[list(SPECIES)], rtol=1e-6
        )
        # Row k's parameters drove the step to row k, which is state k + 1 now.
        np.testing.assert_allclose(tracers.physical[number], one[COLUMNS], rtol=1e-6)
        np.testing.assert_array_equal(tracers.time[number], [0, *one["Time"]])


@pytest.mark.parametrize("truth", ["next", "this"])
@pytest.mark.parametrize("asked", ["next", "this"])
def test_the_wrong_alignment_is_a_warning(tmp_path, out, initial, truth, asked):
    frame = raw(states=40, alignment=truth)
    config = settings(alignment=asked, initial_abundances=str(initial))

    report = import_tracers(hdf(tmp_path / "raw.h5", frame), out, config)

    warned = [line for line in report.warnings if f"dataset.alignment={truth}" in line]
    assert bool(warned) == (truth != asked)


def test_constant_parameters_cannot_tell_the_alignment(tmp_path, out):
    frame = raw(states=40).assign(Density=1e4, gasTemp=10.0, dustTemp=10.0, Av=2.0)
    assert not import_tracers(hdf(tmp_path / "f.h5", frame), out, settings()).warnings


def test_alignment_of_the_shared_files(tmp_path, out, raw_folder):
    with h5py.File(raw_folder / "grav_raw.h5") as file:
        names = [name.decode() for name in file["df/axis0"][:]]
        values = file["df/block0_values"][: 298 * 8]
    frame = pd.DataFrame(values, columns=names)
    parameters = ["Density", "gasTemp", "dustTemp", "Av", "radfield"]
    moved = frame.copy()
    moved[parameters] = frame.groupby("Tracer")[parameters].shift(1).bfill()
    config = settings(drop=["dstep"])

    right = import_tracers(hdf(tmp_path / "1.h5", frame), out, config)
    wrong = import_tracers(hdf(tmp_path / "2.h5", moved), out, config)

    assert not right.warnings
    assert any("dataset.alignment=this" in line for line in wrong.warnings)


# AstroChemNet's cleaned layout.


@pytest.mark.parametrize("spelling", [True, False], ids=["formulas", "UCLCHEM's"])
def test_astrochemnet_cleaned(tmp_path, out, spelling):
    frame = raw()
    path = cleaned(tmp_path / "cleaned.h5", frame, spelling)
    import_tracers(path, out, settings())

    check(out, frame)
    assert (read(out)[0].simulation == -1).all()


def test_both_spellings_have_the_same_atoms():
    elements = ("H", "C", "N", "O", "S", "SI")
    for formula, name in ALIASES.items():
        assert dict(parse_species(formula, elements).elements) == dict(
            parse_species(name, elements).elements
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CH4O", "CH3OH"),
        ("#H2CO2", "#HCOOH"),
        ("@CH3O", "@CH2OH"),
        ("H3CO+", "H2COH+"),
        ("HCO2+", "HCO2+"),  # UCLCHEM's own name: only the neutral is renamed.
        ("CH3OH", "CH3OH"),
        ("H2O", "H2O"),
    ],
)
def test_uclchem_spelling(name, expected):
    assert uclchem_name(name) == expected


def test_an_alias_beside_its_species_is_a_species_of_its_own():
    assert uclchem_name("CH3O", ["CH3O", "CH2OH"]) == "CH3O"


# UCLCHEM's own output.


@pytest.mark.parametrize("columns", ["one frame", "physics and abundances"])
def test_uclchem_dataframes(out, columns):
    frames = [run(seed=number) for number in range(8)]
    sources = frames
    if columns != "one frame":
        sources = [(one[list(PHYSICS)], one[list(SPECIES)]) for one in frames]
    import_tracers(sources, out, settings())

    named = [one.assign(Tracer=number) for number, one in enumerate(frames)]
    check(out, pd.concat(named))


def test_one_dataframe_without_split(out):
    report = import_tracers(run(), out, settings(), split=False)

    assert report.split == {}
    check(out, run().assign(Tracer=0))
    with TracerStore(out) as store:
        assert not store.has_split


def test_uclchem_csv(tmp_path, out):
    frames = [run(seed=number) for number in range(8)]
    paths = [
        write_csv(tmp_path / f"{number}.csv", one.assign(point=1))
        for number, one in enumerate(frames)
    ]
    import_tracers(paths, out, settings())

    tracers, names, _ = read(out)
    assert names == SPECIES
    for number, one in enumerate(frames):
        np.testing.assert_allclose(
            tracers.abundances[number], one[list(SPECIES)], rtol=2e-5
        )
        np.testing.assert_allclose(tracers.physical[number], one[COLUMNS][:-1], 2e-5)


@pytest.mark.parametrize("kind", ["CSV", "DataFrame"])
def test_runs_are_split_by_simulation(tmp_path, out, kind):
    frames = [run(seed=number) for number in range(6)]
    # Two points are one simulation: they must not lie in two splits.
    points = [run(seed=10).assign(point=1), run(seed=11).assign(point=2)]
    frames[2] = pd.concat(points, ignore_index=True)
    sources = frames
    if kind == "CSV":
        sources = [
            write_csv(tmp_path / f"{i}.csv", one) for i, one in enumerate(frames)
        ]
    report = import_tracers(sources, out, settings(split=SplitConfig()))

    tracers, *_ = read(out)
    assert tracers.simulation.tolist() == [0, 1, 2, 2, 3, 4, 5]
    assert tracers.tracer.tolist() == [*range(7)]
    assert tracers.split[2] == tracers.split[3]
    assert all(report.split.values())


def test_runs_beside_a_file_that_numbers_its_simulations(out):
    numbered = raw(tracers=5).drop(columns=["BULK", "SURFACE"])
    import_tracers([run(seed=9), numbered], out, settings(split=SplitConfig()))
    assert read(out)[0].simulation.tolist() == [5, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("numbered", ["Simulation", "Simulation and Tracer"])
def test_a_csv_of_several_simulations(tmp_path, out, numbered):
    frame = raw(tracers=12, per_simulation=1 if numbered == "Simulation" else 2)
    if numbered == "Simulation":
        frame = frame.drop(columns="Tracer").sort_values(["Time", "Simulation"])
    path = write_csv(tmp_path / "all.csv", frame)
    import_tracers(path, out, settings(split=SplitConfig()))

    tracers, *_ = read(out)
    expected = range(12) if numbered == "Simulation" else np.repeat(range(6), 2)
    assert tracers.simulation.tolist() == [*expected]
    np.testing.assert_allclose(tracers.time, np.tile(run()["Time"], (12, 1)), 1e-5)


def test_exponents_of_three_digits(tmp_path, out):
    path = write_csv(tmp_path / "run.csv", run())
    lines = path.read_text().splitlines()
    for row, text in enumerate(["1.00000-101", "2.5000-003", "1.5E-200", "7-300"]):
        values = lines[row + 1].split(",")
        values[8 + SPECIES.index("CO")] = text
        lines[row + 1] = ",".join(values)
    path.write_text("\n".join(lines))
    report = import_tracers(path, out, settings(), split=False)

    carbon_monoxide = read(out)[0].abundances[0, :4, SPECIES.index("CO")]
    np.testing.assert_allclose(carbon_monoxide, [1e-20, 2.5e-3, 1e-20, 1e-20])
    assert report.statistics.raised == 3


def test_points_of_a_run_are_tracers(tmp_path, out):
    points = [run(seed=number).assign(point=number + 1) for number in range(8)]
    # UCLCHEM writes time by time.
    interleaved = pd.concat(points).sort_values(["Time", "point"])
    path = write_csv(tmp_path / "points.csv", interleaved)
    import_tracers(path, out, settings())

    tracers, *_ = read(out)
    assert len(tracers) == 8
    for number, one in enumerate(points):
        np.testing.assert_allclose(tracers.time[number], one["Time"], rtol=1e-5)
        np.testing.assert_allclose(
            tracers.abundances[number], one[list(SPECIES)], rtol=2e-5
        )


def test_a_csv_of_many_tracers(tmp_path, out, monkeypatch):
    monkeypatch.setattr("astrokeras.data.importers.raw_tracers.ROWS", 5)
    frame = raw()
    frame.to_csv(tmp_path / "raw.csv", index=False)
    import_tracers(tmp_path / "raw.csv", out, settings())
    check(out, frame)


# Tracer files.


def test_tracer_files_are_joined_with_their_split(tmp_path, out):
    path = write_tracers(tmp_path / "tiny.h5")
    from astrokeras.data.tracers.subset import sample_tracers

    sample_tracers(path, tmp_path / "few.h5", per_simulation=1)
    import_tracers(tmp_path / "few.h5", out, settings())

    with TracerStore(tmp_path / "few.h5") as source, TracerStore(out) as copy:
        expected, read_ = source.read(slice(None)), copy.read(slice(None))
        for name in ("abundances", "physical", "time", "tracer", "split"):
            np.testing.assert_array_equal(getattr(read_, name), getattr(expected, name))
        assert copy.units == source.units


# Identifiers.


def test_colliding_numbers_of_several_files_are_kept_apart(tmp_path, out):
    paths = [hdf(tmp_path / f"{i}.h5", raw(tracers=10)) for i in range(2)]
    report = import_tracers(paths, out, settings(split=SplitConfig()))

    tracers, *_ = read(out)

    assert len(np.unique(tracers.tracer)) == 20
    assert len(np.unique(tracers.simulation)) == 20
    assert any("renumbered as different tracers" in line for line in report.notes)


def test_a_simulation_spread_over_files_stays_one(tmp_path, out):
    frame = raw(tracers=40, per_simulation=2)
    paths = [
        hdf(tmp_path / f"{odd}.h5", frame[frame["Tracer"] % 2 == odd]) for odd in (0, 1)
    ]
    import_tracers(paths, out, settings(split=SplitConfig()))

    tracers, *_ = read(out)

    assert len(np.unique(tracers.simulation)) == 20
    for one in np.unique(tracers.simulation):
        assert len(np.unique(tracers.split[tracers.simulation == one])) == 1


def test_declared_elements_make_names_readable(tmp_path, out):
    frame = raw().assign(**{"FE+": 1e-9, "HDO": 1e-9, "13CO": 1e-9})
    config = settings(elements=["Fe", "D", "13C"])
    import_tracers(hdf(tmp_path / "raw.h5", frame), out, config)
    check(out, frame, species=(*SPECIES, "FE+", "HDO", "13CO"))
