"""Remedies that messages of an import name: each is done, and helps."""

import numpy as np
import pytest
from frames import PHYSICS, SPECIES, run
from remedies import dataset, options

from astrokeras.config import compose_generation
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.reader import TracerStore, held_quantities
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral


@pytest.fixture
def read(tmp_path):
    """Import tables with options, and return the parameters of the first tracer."""

    def read(frame, *words):
        out = tmp_path / "out.h5"
        import_tracers(frame, out, dataset(*words), split=False)
        with TracerStore(out) as store:
            values = store.physical(slice(None))[0].T
            return dict(zip(store.parameters, values, strict=True))

    return read


def refused(read, frame, *words) -> str:
    with pytest.raises(InputError) as error:
        read(frame, *words)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_extinction_of_0_has_a_lower_limit(read):
    frame = run()
    frame.loc[[3, 4], "Av"] = 0.0
    message = refused(read, frame)
    assert "tracer 0, state 3: Av is 0" in message
    assert options(message) == ["dataset.minimum.Av=0.001"]
    found = read(frame, *options(message))
    np.testing.assert_allclose(found["Av"][3:5], 1e-3)


def test_a_density_of_0_is_no_small_value(read):
    frame = run()
    frame.loc[3, "Density"] = 0.0
    assert not options(refused(read, frame))


def test_a_parameter_without_a_column_may_be_a_number(read):
    frame = run().drop(columns="radfield")
    message = refused(read, frame)
    assert options(message) == ["dataset.parameters.Radfield=1"]
    found = read(frame, *options(message))
    np.testing.assert_allclose(found["Radfield"], 1.0)
    np.testing.assert_allclose(found["Av"], frame["Av"][:-1], rtol=1e-6)

    draine = read(frame, *options(message), "dataset.raw_units.Radfield=Draine")
    np.testing.assert_allclose(draine["Radfield"], 1.7)


def test_a_bare_pair_of_frames_is_one_run(tmp_path, read):
    frame = run()
    pair = (frame[[*PHYSICS]], frame[[*SPECIES]])
    np.testing.assert_allclose(read(pair)["Av"], read([pair])["Av"])


@pytest.mark.parametrize("entry", ["radfield = 1.5", "Radfield=1.5", "RADFIELD = 1.5"])
def test_what_was_held_fixed_is_a_parameter_in_any_spelling(entry):
    assert held_quantities([entry], ["Density"]) == {"Radfield": 1.5}


def test_a_key_without_its_group_is_completed():
    with pytest.raises(InputError, match=r"did you mean 'dataset\.minimum\.Av'"):
        compose_generation(["minimum.Av=1e-3"])
