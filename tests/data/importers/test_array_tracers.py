"""Tracers in memory that become a tracer file, and back."""

import numpy as np
import pandas as pd
import pytest
from tiny import PARAMETERS, SPECIES, make_tracers

import astrokeras
from astrokeras.errors import InputError

pytestmark = pytest.mark.neutral

TRACERS = make_tracers()
UNITS = {"Density": "cm^-3"}


def write(path, abundances=TRACERS.abundances, physical=TRACERS.physical, **options):
    given = {"species": SPECIES, "parameters": PARAMETERS} | options
    astrokeras.write_tracers(path, abundances, physical, TRACERS.time[0], **given)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "x.h5"
    write(path, simulation=TRACERS.simulation, split="train", units=UNITS)

    tracers, species, parameters = astrokeras.read_tracers(path)

    assert (species, parameters) == (SPECIES, PARAMETERS)
    for name in ("abundances", "physical", "time", "simulation", "length"):
        np.testing.assert_array_equal(getattr(tracers, name), getattr(TRACERS, name))
    assert (tracers.split == 0).all()
    with astrokeras.TracerStore(path) as store:
        assert store.units == ("cm^-3", "Habing", "mag")


def test_names_come_from_the_values(tmp_path):
    order = SPECIES[::-1]
    frames = [pd.DataFrame(x, columns=list(SPECIES))[list(order)] for x in
              TRACERS.abundances]  # fmt: skip
    physical = {name: TRACERS.physical[..., i] for i, name in enumerate(PARAMETERS)}
    write(tmp_path / "x.h5", frames, physical, species=None, parameters=None)

    tracers, species, parameters = astrokeras.read_tracers(tmp_path / "x.h5")

    assert (species, parameters) == (order, PARAMETERS)
    np.testing.assert_array_equal(tracers.abundances, TRACERS.abundances[..., ::-1])
    np.testing.assert_array_equal(tracers.physical, TRACERS.physical)
    assert (tracers.split == 255).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"species": None}, "abundances has no names; give species="),
        ({"species": SPECIES[1:]}, "abundances does not fit"),
        ({"physical": TRACERS.physical[:, 1:]}, "physical does not fit"),
        ({"units": {"densty": "cm^-3"}}, "'densty', .* did you mean 'Density'"),
        (
            {"parameters": ("Density", "Radfield", "A_v")},
            "the unit of A_v is unknown; did you mean 'Av'",
        ),
        ({"split": "tarin"}, "did you mean 'train'"),
        ({"simulation": [1, 2]}, r"simulation has shape \(2,\); give \(20,\)"),
        ({"abundances": TRACERS.abundances + 1}, "x.h5: tracer 0, state 0: H is 1"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path / "x.h5", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_on_request(tmp_path):
    path = tmp_path / "x.h5"
    write(path)
    with pytest.raises(InputError, match="exists; give another path, or overwrite"):
        write(path)
    write(path, simulation=3, overwrite=True)
    assert (astrokeras.read_tracers(path)[0].simulation == 3).all()
