"""Raw files become tracer files: values against pandas, faults against messages."""

import os
import pickle
import tracemalloc

import h5py
import numpy as np
import pandas as pd
import pytest
from frames import PHYSICS, SPECIES, STEP, raw, run, write_csv
from tiny import write_tracers

from astrokeras.chemistry.species import parse_species
from astrokeras.config import DatasetConfig, SplitConfig
from astrokeras.data.columns import ALIASES, uclchem_name
from astrokeras.data.importers import import_tracers
from astrokeras.data.store import TracerStore
from astrokeras.errors import InputError

PARAMETERS = {
    "Density": "Density",
    "Radfield": "radfield",
    "Av": "Av",
    "gasTemp": "gasTemp",
}
COLUMNS = [*PARAMETERS.values()]


def settings(**changes) -> DatasetConfig:
    defaults = {
        "parameters": PARAMETERS,
        "units": {
            "Density": "cm^-3",
            "Radfield": "Habing",
            "Av": "mag",
            "gasTemp": "K",
        },
        "minimum": {"Radfield": 1e-4},
        "drop": ["dustTemp", "zeta"],
        "split": SplitConfig(by="tracer"),
    }
    return DatasetConfig(**(defaults | changes))


def hdf(path, frame, key="df", **options):
    frame.to_hdf(path, key=key, **options)
    return path


def read(path):
    with TracerStore(path) as store:
        return store.read(slice(None)), store.species, store.attributes


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
    monkeypatch.setattr("astrokeras.data.raw.ROWS", 5)
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

    assert report.findings.short == 1
    assert 102 not in read(out)[0].tracer
    check(out, frame[frame["Tracer"] != 102])


def test_what_is_clipped_is_counted(tmp_path, out):
    frame = raw()
    frame.loc[[0, 5, 9], "CO"] = [1e-25, 0.0, -9e-13]
    frame.loc[7, "H"] = 1 + 9e-7
    frame.loc[[3, 4], "radfield"] = [0.0, -2.0]

    report = import_tracers(hdf(tmp_path / "raw.h5", frame), out, settings())

    assert report.findings.raised == 3
    assert report.findings.lowered == 1
    assert report.findings.floored == {"Radfield": 2}
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
    assert any("zeta (1 to 10): not constant" in line for line in report.warnings)


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
    start = pd.DataFrame([np.linspace(0.001, 0.1, len(SPECIES))], columns=SPECIES)
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
    start = np.linspace(0.001, 0.1, len(SPECIES))
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
    config = settings(drop=["dustTemp", "zeta", "dstep"])

    right = import_tracers(hdf(tmp_path / "1.h5", frame), out, config)
    wrong = import_tracers(hdf(tmp_path / "2.h5", moved), out, config)

    assert not right.warnings
    assert any("dataset.alignment=this" in line for line in wrong.warnings)


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


# AstroChemNet's cleaned layout.


def cleaned(path, frame, spelling):
    short = {name: alias for alias, name in ALIASES.items()} if spelling else {}
    names = {"Tracer": "Model", "radfield": "Radfield"} | short
    frame = frame.drop(columns=["dustTemp", "zeta", "dstep", "BULK", "SURFACE"])
    frame = frame.drop(columns="Simulation").rename(columns=names)
    frame.insert(0, "Index", np.arange(len(frame)))
    hdf(path, frame[frame["Model"] < 106], "train", format="table")
    hdf(path, frame[frame["Model"] >= 106], "val", format="table")
    return path


@pytest.mark.parametrize("spelling", [True, False], ids=["formulas", "UCLCHEM's"])
def test_astrochemnet_cleaned(tmp_path, out, spelling):
    frame = raw()
    path = cleaned(tmp_path / "cleaned.h5", frame, spelling)
    import_tracers(path, out, settings())

    check(out, frame)
    assert (read(out)[0].simulation == -1).all()


def test_cleaned_has_no_simulations_to_split_by(tmp_path, refused):
    path = cleaned(tmp_path / "cleaned.h5", raw(), True)
    message = refused(path, settings(split=SplitConfig()))
    assert "holds no simulations" in message
    assert "split.by=tracer" in message


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
    monkeypatch.setattr("astrokeras.data.raw.ROWS", 5)
    frame = raw()
    frame.to_csv(tmp_path / "raw.csv", index=False)
    import_tracers(tmp_path / "raw.csv", out, settings())
    check(out, frame)


# Tracer files.


def test_tracer_files_are_joined_with_their_split(tmp_path, out):
    path = write_tracers(tmp_path / "tiny.h5")
    from astrokeras.data.subset import sample_tracers

    sample_tracers(path, tmp_path / "few.h5", per_simulation=1)
    import_tracers(tmp_path / "few.h5", out, settings())

    with TracerStore(tmp_path / "few.h5") as source, TracerStore(out) as copy:
        expected, read_ = source.read(slice(None)), copy.read(slice(None))
        for name in ("abundances", "physical", "time", "tracer", "split"):
            np.testing.assert_array_equal(getattr(read_, name), getattr(expected, name))
        assert copy.units == source.units


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


# Identifiers.


def test_colliding_numbers_of_several_files_are_kept_apart(tmp_path, out):
    paths = [hdf(tmp_path / f"{i}.h5", raw(tracers=10)) for i in range(2)]
    report = import_tracers(paths, out, settings(split=SplitConfig()))

    tracers, *_ = read(out)

    assert len(np.unique(tracers.tracer)) == 20
    assert len(np.unique(tracers.simulation)) == 20
    assert any("taken as others" in line for line in report.notes)


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


# What is refused.


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
    assert "column 'CO' is there twice" in refused(path)


def test_unknown_column(tmp_path, refused):
    message = refused(hdf(tmp_path / "raw.h5", raw().assign(Vorticity=1.0)))
    assert "species 'Vorticity' cannot be read" in message
    assert "dataset.drop" in message


def test_total_ice_is_refused(tmp_path, refused):
    frame = raw().assign(**{"$H2O": 1e-4})
    assert "'$H2O' is total ice" in refused(hdf(tmp_path / "raw.h5", frame))


def test_declared_elements_make_names_readable(tmp_path, out):
    frame = raw().assign(**{"FE+": 1e-9, "HDO": 1e-9, "13CO": 1e-9})
    config = settings(elements=["Fe", "D", "13C"])
    import_tracers(hdf(tmp_path / "raw.h5", frame), out, config)
    check(out, frame, species=(*SPECIES, "FE+", "HDO", "13CO"))


@pytest.mark.parametrize("change", ["less", "more"])
def test_files_of_different_networks(tmp_path, refused, change):
    frame = raw()
    other = frame.drop(columns="CO") if change == "less" else frame.assign(OH=1e-9)
    other["Tracer"] += 50
    paths = [hdf(tmp_path / "1.h5", frame), hdf(tmp_path / "2.h5", other)]
    message = refused(paths)
    assert "2.h5" in message
    assert ("lacks CO" if change == "less" else "has OH beyond") in message


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
    assert "rows of tracer 100 are not together" in message


@pytest.mark.parametrize("value", [1.5, -1.0, np.nan])
def test_identifiers_are_whole_numbers(tmp_path, refused, value):
    frame = raw().astype({"Tracer": float})
    frame.loc[5, "Tracer"] = value
    assert "row 5: Tracer is" in refused(hdf(tmp_path / "raw.h5", frame))


def test_only_single_states(tmp_path, refused):
    frame = raw()[::12]
    assert "no tracer of two states" in refused(hdf(tmp_path / "raw.h5", frame))


def test_csv_row_with_too_few_numbers(tmp_path, refused):
    path = write_csv(tmp_path / "run.csv", run())
    text = path.read_text().splitlines()
    text[5] = text[5][:60]
    path.write_text("\n".join(text))
    assert "every row needs 19 numbers" in refused(path, split=False)


def test_csv_without_rows(tmp_path, refused):
    (tmp_path / "run.csv").write_text("Time, Density\n")
    assert "needs a header" in refused(tmp_path / "run.csv")


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
    assert "no pandas frame 'df'" in refused(tmp_path / "raw.h5")


def test_blocks_elsewhere_are_refused(tmp_path, refused):
    hdf(tmp_path / "secret.h5", raw())
    path = hdf(tmp_path / "raw.h5", raw())
    with h5py.File(path, "r+") as file:
        del file["df/block0_values"]
        file["df/block0_values"] = h5py.ExternalLink("secret.h5", "df/block0_values")
    assert "must be a dataset of the file itself" in refused(path)


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
