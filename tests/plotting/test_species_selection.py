"""Selection of the species that figures show."""

import pytest
from standin import SPECIES, StandIn, write_tracers

from astrokeras.evaluation.evaluate import evaluate
from astrokeras.plotting.species_selection import most_varying


@pytest.fixture
def detail(tmp_path):
    write_tracers(tmp_path / "tracers.h5", count=16)
    found = evaluate(StandIn(), tmp_path / "tracers.h5", report=False)
    return found.details["surrogate"]


def test_examples_show_every_phase(detail):
    chosen = most_varying(detail.species_swing, detail.species_peak, SPECIES)

    assert len(chosen) == len(set(chosen)) == 6
    assert {SPECIES[i][0] for i in chosen} >= {"#", "@"}


def test_examples_are_observed_neutral_species_first(detail):
    swing, peak = detail.species_swing, detail.species_peak
    swing[:] = 1.0
    names = [SPECIES[i] for i in most_varying(swing, peak, SPECIES)]
    swing[SPECIES.index("CO")] = 0.1
    swing[SPECIES.index("C+")] = 9.0
    steady = [SPECIES[i] for i in most_varying(swing, peak, SPECIES)]

    assert names[:3] == ["CO", "#H2O", "#CO"]
    assert "CO" not in steady[:3]
    assert not {"C+", "E-"} & set(steady)
