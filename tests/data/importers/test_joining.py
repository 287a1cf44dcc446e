"""Sources of different parameters in one file: values against the sources."""

import numpy as np
import pytest
from frames import hdf, raw, settings

from astrokeras.config import SplitConfig, compose
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.block import empty_tracers
from astrokeras.data.tracers.file_format import PARAMETER_UNITS
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.subset import sample_tracers
from astrokeras.data.tracers.writer import TracerWriter
from astrokeras.errors import InputError

SPECIES = ("H2", "CO", "E-")
ALL = ("Density", "Radfield", "Av", "gasTemp", "dustTemp", "zeta", "NH2", "NCO")
BY_NUMBER = SplitConfig(by="number")


def write(path, parameters, numbers, *, states=5, split=None, species=SPECIES, **about):
    """Write tracers, each a simulation, of parameters between 20 and 30."""
    rng = np.random.default_rng(len(parameters))
    tracers = empty_tracers(len(numbers), states, len(species), len(parameters))
    tracers.abundances[:] = rng.uniform(1e-9, 1e-3, tracers.abundances.shape)
    tracers.physical[:] = rng.uniform(20, 30, tracers.physical.shape)
    tracers.time[:] = 100.0 * np.arange(states)
    tracers.tracer[:] = tracers.simulation[:] = numbers
    if split is not None:
        tracers.split[:] = split
    change, families = about.pop("change", None), about.pop("families", None)
    if change:
        change(tracers)
    units = about.pop("units", [PARAMETER_UNITS[name] for name in parameters])
    with TracerWriter(
        path,
        species=species,
        parameters=parameters,
        units=units,
        states=states,
        attributes=about,
    ) as writer:
        writer.append(tracers)
        if families:
            writer.add_families(families)
    return path


def read(path):
    with TracerStore(path) as store:
        return store.read(slice(None)), store


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


@pytest.fixture
def sources(tmp_path):
    """Exploring tracks of eight parameters, and a file of four with a split."""
    four = write(
        tmp_path / "four.h5",
        ALL[:4],
        [7, 8, 9],
        states=7,
        split=[0, 1, 2],
        species=SPECIES[::-1],
        source="grav",
        fixed=["zeta = 3", "dustTemp = gasTemp", "fc = 0.2"],
    )
    eight = write(tmp_path / "eight.h5", ALL[::-1], [6, 7, 8], source="explore")
    return [four, eight]


def test_what_a_file_lacks_is_filled(sources, out):
    report = import_tracers(sources, out, compose(["dataset=ism"]).dataset)

    (four, _), (eight, _), (joined, store) = map(read, [*sources, out])
    assert store.parameters == (*ALL[:4], "NCO", "NH2", "zeta", "dustTemp")
    assert store.units == tuple(PARAMETER_UNITS[name] for name in store.parameters)
    np.testing.assert_array_equal(joined.length, [7, 7, 7, 5, 5, 5])
    np.testing.assert_array_equal(joined.physical[:3, :, :4], four.physical)
    np.testing.assert_array_equal(joined.physical[:3, :, 7], four.physical[..., 3])
    assert (joined.physical[:3, :, 6] == 3).all()
    hydrogen = four.physical[..., 2] / 5.348e-22
    np.testing.assert_allclose(joined.physical[:3, :, 5], hydrogen / 2, rtol=1e-6)
    np.testing.assert_allclose(joined.physical[:3, :, 4], hydrogen / 1e5, rtol=1e-6)
    np.testing.assert_array_equal(joined.abundances[:3], four.abundances)
    np.testing.assert_array_equal(
        joined.physical[3:, :4], eight.physical[..., [7, 6, 5, 4, 0, 1, 2, 3]]
    )
    np.testing.assert_array_equal(
        joined.abundances[3:, :5], eight.abundances[:, :, ::-1]
    )
    assert np.isnan(joined.abundances[3:, 5:]).all()
    filled = (
        "four.h5: filled zeta = 3, dustTemp = gasTemp (held fixed); "
        "N(CO) = 1e-5 N(H), N(H2) = 0.5 N(H) (assumed)"
    )
    assert filled in report.notes
    assert store.attributes["filled"] == [filled]
    assert report.fixed == ["fc = 0.2"]


def test_numbers_that_decide_the_split_stay_in_any_order(sources, out):
    for paths in (sources, sources[::-1]):
        report = import_tracers(paths, out, settings(split=BY_NUMBER))
        tracers, store = read(out)
        found = dict(zip(tracers.simulation, tracers.split, strict=True))
        assert found == {
            6: 0,
            7: 1,
            8: 2,
            1_000_007: 0,
            1_000_008: 1,
            1_000_009: 2,
        }
        np.testing.assert_array_equal(tracers.tracer, tracers.simulation)
        assert store.attributes["split_by"] == "number"
        assert sum("1000000 is added" in line for line in report.notes) == 1


def test_files_of_one_source_share_their_simulations(tmp_path, out):
    paths = [
        write(tmp_path / "a.h5", ALL, [1, 2], source="explore"),
        write(tmp_path / "b.h5", ALL, [3, 4], source="explore"),
        write(tmp_path / "mine.h5", ALL[:5], [4, 5], source="mine"),
    ]
    import_tracers(paths, out, settings(split=BY_NUMBER))
    assert read(out)[0].simulation.tolist() == [1, 2, 3, 4, 1_000_004, 1_000_005]


def test_raw_files_join_tracer_files(tmp_path, out):
    five = write(tmp_path / "five.h5", ALL[:5], [1, 2], source="five")
    frame = raw()[["Time", "Density", "radfield", "Av", "gasTemp", "Tracer"]]
    frame = frame.assign(**dict.fromkeys(SPECIES, 1e-5), Simulation=frame["Tracer"])
    path = hdf(tmp_path / "raw.h5", frame)

    report = import_tracers([path, five], out, settings(split=BY_NUMBER))

    tracers, store = read(out)
    assert store.parameters == ALL[:5]
    np.testing.assert_array_equal(
        tracers.physical[:8, :, 4], tracers.physical[:8, :, 3]
    )
    assert "raw.h5:df: filled dustTemp = gasTemp (assumed)" in report.notes


def test_a_column_that_is_not_read_is_not_assumed(tmp_path, out):
    frame = raw()[["Time", "Density", "radfield", "Av", "gasTemp", "Tracer", "zeta"]]
    path = hdf(tmp_path / "raw.h5", frame.assign(**dict.fromkeys(SPECIES, 1e-5)))
    six = write(tmp_path / "six.h5", ALL[:6], [1, 2])
    with pytest.raises(InputError, match=r"column zeta .*dataset\.parameters\.zeta="):
        import_tracers([path, six], out, settings(split=BY_NUMBER))


def test_amidogen_of_a_raw_file_is_no_column(tmp_path, out):
    frame = raw().assign(NH2=1e-9)
    path = hdf(tmp_path / "raw.h5", frame)
    config = compose(["dataset=ism"]).dataset
    import_tracers(path, out, config)
    with TracerStore(out) as store:
        assert "NH2" in store.species
        physical = store.read(slice(None)).physical
    assert physical[..., store.parameters.index("NH2")].min() > 1e20

    config.parameters["NH2"] = "NH2"
    with pytest.raises(InputError, match="NH2, holds abundances"):
        import_tracers(path, out, config)


def test_a_parameter_that_cannot_be_filled_is_refused(tmp_path, out):
    few = write(tmp_path / "few.h5", ("Density", "gasTemp"), [1, 2], source="few")
    four = write(tmp_path / "four.h5", ALL[:4], [3, 4])
    with pytest.raises(InputError, match=r"few\.h5: has no parameter Radfield, which"):
        import_tracers([four, few], out, settings(split=BY_NUMBER))
    assert not out.exists()


def test_a_parameter_in_two_units_is_refused(tmp_path, out):
    units = ["H nuclei cm^-3", "Draine", "mag", "K"]
    paths = [
        write(tmp_path / "1.h5", ALL[:4], [1]),
        write(tmp_path / "2.h5", ALL[:4], [2], units=units),
    ]
    with pytest.raises(InputError, match=r"2\.h5: parameter Radfield is in 'Draine'"):
        import_tracers(paths, out, settings(split=BY_NUMBER))


def test_constants_that_differ_are_told(tmp_path, out):
    paths = [
        write(tmp_path / f"{zeta}.h5", ALL[:4], [zeta], fixed=[f"zeta = {zeta}"])
        for zeta in (1, 2)
    ]
    report = import_tracers(paths, out, settings(split=BY_NUMBER))
    assert any("zeta = 1, zeta = 2: varies" in line for line in report.warnings)


def test_tracers_end_before_it_is_too_cold(tmp_path, out):
    def cool(tracers):
        tracers.physical[1, 2, 3] = 9.9  # drives state 2 to state 3
        tracers.physical[2, 0, 3] = 9.9
        tracers.physical[3, 3, 3] = 9.99999  # 10 K, rounded

    path = write(tmp_path / "four.h5", ALL[:4], [1, 2, 3, 4], change=cool)
    config = settings(split=BY_NUMBER, cut_below={"gasTemp": 10})
    report = import_tracers(path, out, config)

    tracers, store = read(out)
    assert tracers.simulation.tolist() == [1, 2, 4]
    assert tracers.length.tolist() == [5, 3, 5]
    assert np.isfinite(tracers.abundances[1, :3]).all()
    assert np.isfinite(tracers.physical[1, :2]).all()
    for values in (tracers.abundances[1, 3:], tracers.physical[1, 2:]):
        assert np.isnan(values).all()
    statistics = report.statistics
    assert (statistics.cut_states, statistics.cut_tracers) == (2 + 5, 1)
    assert (statistics.cut_whole, report.tracers) == (1, 3)
    assert store.attributes["cut_below"] == ["gasTemp < 10"]


def test_tracers_keep_their_families_when_others_are_left_out(tmp_path, out):
    def cool(tracers):
        tracers.physical[1, 0, 3] = 9.9

    named = {"families": ["walk", "box", "shock"], "source": "explore"}
    eight = write(tmp_path / "eight.h5", ALL, [1, 2, 3], change=cool, **named)
    four = write(tmp_path / "four.h5", ALL[:4], [1, 2], source="grav")
    import_tracers(
        [four, eight], out, settings(split=BY_NUMBER, cut_below={"gasTemp": 10})
    )

    with TracerStore(out) as store:
        found = store.families()
    assert found == ["four", "four", "walk", "shock"]
    sample_tracers(out, tmp_path / "few.h5", per_simulation=1, every=2)
    with TracerStore(tmp_path / "few.h5") as store:
        assert store.families() == found
    import_tracers(four, out, settings(split=BY_NUMBER))
    with TracerStore(out) as store:
        assert store.families() is None


def test_nothing_is_written_if_all_is_too_cold(tmp_path, out):
    path = write(tmp_path / "four.h5", ALL[:4], [1, 2])
    config = settings(split=BY_NUMBER, cut_below={"gasTemp": 40})
    with pytest.raises(InputError, match="every tracer begins below"):
        import_tracers(path, out, config)
    assert not list(tmp_path.glob("out*"))


def test_abundances_of_packed_tracks_are_lowered_to_one(tmp_path, out):
    def round_up(tracers):
        tracers.abundances[0, 0, 0] = 1.002

    path = write(tmp_path / "four.h5", ALL[:4], [1, 2], change=round_up)
    report = import_tracers(path, out, settings(split=BY_NUMBER))
    assert report.statistics.lowered == 1
    assert read(out)[0].abundances.max() == 1
