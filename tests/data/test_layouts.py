"""Files in the layouts of public codes: what an import makes of them, and the truth."""

import json

import numpy as np
import pytest
from conftest import ROOT
from layouts import FIXED, LAYOUTS, SHARES, TIME, N
from remedies import dataset

from astrokeras.data.checks.summary import inspect_tracers
from astrokeras.data.importers.importer import import_tracers
from astrokeras.data.tracers.initial_abundances import read_initial
from astrokeras.data.tracers.reader import TracerStore

pytestmark = pytest.mark.neutral

SHARED = ROOT / "../shared/data/layouts"


def read(source, out, options, variant="uclchem"):
    """Import a file, and return its summary, tracers, their names and the warnings."""
    report = import_tracers(
        source, out, dataset(*options, variant=variant), split=False
    )
    with TracerStore(out, need_abundances=False) as store:
        tracers, names = store.read(slice(None)), (store.species, store.parameters)
    return inspect_tracers(out), tracers, names, report.warnings


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_of_public_codes(tmp_path, name):
    layout = LAYOUTS[name]
    if name == "Parquet":
        pytest.importorskip("pyarrow")

    summary, tracers, (species, parameters), warnings = read(
        layout.write(tmp_path), tmp_path / "out.h5", layout.options, layout.variant
    )

    assert set(species) == set(layout.species)
    assert (summary["tracers"], summary["states"]) == (layout.tracers, N)
    # Particle 7 of snapshots, or the first tracer.
    number = 7 if 7 in tracers.tracer else tracers.tracer.min()
    row = tracers.tracer.tolist().index(number)
    np.testing.assert_allclose(tracers.time[row], TIME, rtol=layout.rtol)
    for parameter, values in layout.truth.items():
        found = tracers.physical[row, :, parameters.index(parameter)]
        np.testing.assert_allclose(found, values[:-1], rtol=layout.rtol)
    for index, one in enumerate(species):
        found = tracers.abundances[row, :, index]
        np.testing.assert_allclose(found, np.maximum(SHARES[one], 1e-20), layout.rtol)
    if species:
        assert summary["elements"]["H"]["total"] == pytest.approx(1, rel=layout.rtol)
    if "E-" in species:
        charge = summary["charge"]
        assert charge["electrons"] == pytest.approx(charge["ions"], rel=1e-3)
    assert not summary["remarks"]
    assert not [line for line in warnings if "alignment" in line or "unusual" in line]


def test_most_need_one_option_at_most():
    assert sum(len(layout.options) <= 1 for layout in LAYOUTS.values()) >= 23


# The project's own examples of such files, with what each truly is.

OPTIONS = {
    "solver-full.dat": (),
    "n_and_N.csv": ("dataset.parameters={Density:n}",),
    "per_h2.csv": ("dataset.abundances=per_h2",),
    "per_mass.csv": ("dataset.abundances=per_mass",),
    "per_cm3.csv": ("dataset.abundances=per_cm3",),
    "cgs_and_myr.csv": ("dataset.raw_units={Time:Myr,Density:g/cm3}",),
    "seconds.csv": ("dataset.raw_units.Time=s",),
    "blocks.out": (FIXED,),
    "coarse.csv": (),
    "structure_evolution.dat": ("dataset.parameters.Radfield=1",),
    "particles.out": (),
    "interleaved.csv": (
        "dataset.parameters={Density:n_H,Radfield:FUV,gasTemp:T_g}",
        "dataset.tracer=particle_id",
    ),
    "snapshots": (
        "dataset.parameters.Radfield=1",
        "dataset.raw_units.Density=g/cm3",
    ),
}
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared files")


@needs_shared
@pytest.mark.parametrize("name", OPTIONS)
def test_the_shared_files(tmp_path, name):
    truth = json.loads((SHARED / "truth.json").read_text())[name]
    variant = "neath" if name == "particles.out" else "uclchem"

    summary, tracers, (species, _), warnings = read(
        SHARED / name, tmp_path / "out.h5", OPTIONS[name], variant
    )

    if name == "snapshots":
        returned = truth["leaves_and_returns"]
        assert returned in tracers.tracer
        assert summary["tracers"] == truth["particles"] + 1
        years = 1e6 * np.array(truth["times_Myr"])
        row = tracers.tracer.tolist().index(7001)
        np.testing.assert_allclose(tracers.time[row], years, rtol=1e-6)
        first = truth["density_first_of_7001"]
        assert tracers.physical[row, 0, 0] == pytest.approx(first, rel=2e-3)
        return
    assert summary["tracers"] == truth.get("tracers", 1)
    if "rows" in truth:
        assert summary["states"] == truth["rows"]
    # The per_... files, and those of other units, hold the same run.
    same = {"cgs_and_myr.csv", "seconds.csv"} | {n for n in OPTIONS if "per_" in n}
    first = truth.get("density_first", 12692129.0 if name in same else None)
    if first is not None:
        assert tracers.physical[0, 0, 0] == pytest.approx(first, rel=2e-3)
    if "last_time_yr" in truth:
        assert tracers.time[0, -1] == pytest.approx(truth["last_time_yr"], rel=1e-3)
    if name == "coarse.csv":
        change = truth["largest_change_of_density_a_row"]
        assert any(f"Density changes {change:.3g} times" in line for line in warnings)
    if name == "blocks.out":
        assert len(species) == truth["species"]
        assert any("hold 0.0063 of all hydrogen" in line for line in warnings)
    elif species:
        assert summary["elements"]["H"]["total"] == pytest.approx(1, abs=2e-3)
        charge = summary["charge"]
        assert charge["electrons"] == pytest.approx(charge["ions"], rel=1e-2)
        assert not summary["remarks"]
    if name in same:
        lasting = tracers.time[0, tracers.length[0] - 1] - tracers.time[0, 0]
        assert lasting == pytest.approx(2593.206, rel=1e-3)
    assert not [line for line in warnings if "alignment" in line]


@needs_shared
def test_the_shared_start():
    species = ["H", "H2", "HE", "C", "C+", "N", "O", "MG", "SI+", "S+", "CL+", "E-"]
    x = dict(zip(species, read_initial(SHARED / "abundances.in", species), strict=True))
    ions = sum(x[name] for name in species if name.endswith("+"))
    assert x["E-"] == pytest.approx(ions)
