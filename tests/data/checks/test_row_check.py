"""Rows that are too coarse for what the gas does."""

import numpy as np
import pytest
from frames import run
from remedies import dataset

from astrokeras.data.importers.importer import import_tracers
from astrokeras.generation.misreadings import Reading
from astrokeras.generation.verify import Verification

pytestmark = pytest.mark.neutral


def coarse(tmp_path, **columns):
    frame = run().assign(**columns)
    report = import_tracers(frame, tmp_path / "out.h5", dataset(), split=False)
    return [line for line in report.warnings if "holds for its whole interval" in line]


def test_the_largest_change_from_row_to_row_is_reported(tmp_path):
    density = np.full(12, 1e3)
    density[5:] = 4.2e4
    (line,) = coarse(tmp_path, Density=density)

    assert "Density changes 42 times, from 1e+03 to 4.2e+04" in line
    assert "tracer 0 from row 4 to row 5" in line
    assert "1 of 10 rows" in line
    assert "arithmetic mean of both rows, 2.15e+04" in line


def test_temperatures_have_a_geometric_mean(tmp_path):
    warm = np.where(np.arange(12) < 6, 10.0, 1000.0)
    (line,) = coarse(tmp_path, gasTemp=warm)
    assert "gasTemp changes 100 times" in line
    assert "geometric mean of both rows, 100." in line


def test_changes_up_to_three_times_are_fine(tmp_path):
    assert not coarse(tmp_path, Density=1e3 * 2.9 ** np.arange(12.0))


def test_verify_blames_coarse_rows_and_not_the_alignment(tmp_path):
    late = Reading("parameters of the row before", "import with this", shift=-1)
    result = Verification(
        *(tmp_path, "solver", "", 5, [{"dex": 0.1}], {"CO": 1.0}),
        *({late.name: 0.01}, late, 0.02),
    )
    assert "import with this" in result.remark

    blamed = Verification(**{**vars(result), "coarse": "Density changes 42 times"})
    assert "import with this" not in blamed.remark
    assert "Density changes 42 times" in blamed.remark
