"""Small files in the layouts of public codes, each as its writer in their source does.

All hold the same gas, which is written out here, so that what an import makes of them
can be compared with the truth.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import snapshot_files

YEAR = 3.15576e7
N = 6
TIME = 100.0 * np.arange(N)  # yr
DENSITY = 1e4 * np.array([1.0, 1.3, 1.2, 1.9, 1.6, 2.2])  # H nuclei cm^-3
AV = np.array([2.0, 2.6, 2.2, 3.1, 2.9, 3.3])
GAS = np.array([30.0, 22.0, 25.0, 14.0, 17.0, 12.0])
DUST = np.array([15.0, 14.0, 14.5, 12.0, 12.5, 11.0])
FIELD = 1.7
RADFIELD = "dataset.parameters.Radfield=1.7"
PHYSICS = {"Density": DENSITY, "Av": AV, "gasTemp": GAS, "Radfield": FIELD + 0 * AV}
CONSTANT = {"Density": 1e4 + 0 * AV, "Av": 10.0 + 0 * AV, "gasTemp": 15.0 + 0 * AV}
FIXED = "dataset.parameters={Density:1e4,Radfield:1.7,Av:10,gasTemp:15}"

# Shares that change along the run, the ice from nothing: hydrogen adds up to 1, and
# the electrons balance the ions.
GROWTH = np.linspace(0, 1, N)[:, None]
OTHERS = {"HE": 0.1, "O": 2e-4, "CO": 9e-5, "H2O": 1e-6}
IONS = {"H+": 1e-9, "C+": 1e-5, "H3+": 2e-9, "HCO+": 3e-9, "MG+": 1e-8}
FIRST = {"H": 0.2, **OTHERS, **IONS, "#H2O": 1e-20, "#CO": 1e-20}
LAST = FIRST | {"H": 0.05, "O": 1e-4, "CO": 1e-5, "#H2O": 1e-4, "#CO": 8e-5}
NUCLEI = {"H": 1, "H2O": 2, "H+": 1, "H3+": 3, "HCO+": 1, "#H2O": 2}
ENDS = [np.log10([*x.values()]) for x in (FIRST, LAST)]
LOGS = (1 - GROWTH) * ENDS[0] + GROWTH * ENDS[1]
SHARES = dict(zip(FIRST, 10**LOGS.T, strict=True))
SHARES["H2"] = (1 - sum(n * SHARES[name] for name, n in NUCLEI.items())) / 2
SHARES["E-"] = sum(SHARES[name] for name in IONS)
SPECIES = ("H", "H2", *[name for name in FIRST if name != "H"], "E-")
X = np.stack([SHARES[name] for name in SPECIES], axis=1)


@dataclass
class Layout:
    """A kind of file.

    Attributes:
        source: The writer whose form the file has.
        write: Writes it into an empty folder, and returns what is imported.
        options: Overrides that the import needs.
        truth: Values of some parameters that tracer 0 has, by name, (N - 1,).
        tracers: Number of tracers.
        species: Species of the file; none for tracks.
        rtol: How exactly the file holds its numbers.
        variant: Dataset, if it is another one than `uclchem`.
    """

    source: str
    write: Callable[[Path], object]
    options: tuple[str, ...] = ()
    truth: dict[str, np.ndarray] = field(default_factory=lambda: dict(PHYSICS))
    tracers: int = 1
    species: tuple[str, ...] = SPECIES
    rtol: float = 1e-3
    variant: str = "uclchem"


def exponent(value: float, digits: int = 5, width: int = 15) -> str:
    """Return a number as Fortran's E format without an exponent width writes it."""
    text = f"{value:.{digits}E}"
    mantissa, _, power = text.partition("E")
    text = f"{mantissa}{power}" if len(power) == 4 else text
    return text.rjust(width)


def fortran(value: float) -> str:
    return f"{value:.6E}".replace("E", "D")


def rows(*columns, number=fortran, between=" "):
    """Return a line for each row of columns."""
    lines = (between.join(map(number, row)) for row in np.transpose(columns))
    return "".join(f" {line}\n" for line in lines)


def uclchem(header: str, *physics: np.ndarray, above: str = "") -> Callable:
    def write(folder: Path) -> Path:
        # An abundance of 1e-101 is written without the E.
        tiny = np.where(X <= 1e-20, 1e-101, X)
        path = folder / "full.dat"
        names = ",".join(f"{name:<7}" for name in SPECIES)
        text = f"{above}{header},{names}\n"
        path.write_text(
            text + rows(TIME, *physics, *tiny.T, number=exponent, between=",")
        )
        return path

    return write


def uclchem_pages(folder: Path) -> Path:
    text = ""
    for k in range(N):
        text += (
            f"age of cloud             time  = {TIME[k]:11.3E} years\n"
            f"total hydrogen density   dens  = {DENSITY[k]:11.4E} cm-3\n"
            f"cloud temperature        temp  = {GAS[k]:8.2f} k\n"
            f"visual extinction        av    = {AV[k]:12.4f} mags\n"
            f"radiation field          rad   = {FIELD:10.2f} (habing = 1)\n"
            f"cosmic ray ioniz. rate   zeta  = {1.0:10.2f} (unit = 1.3e-17s-1)\n"
            "h2 formation rate coef.        = 1.00E-17 cm3 s-1\n"
            "c / htot = 2.0E-04     o / htot = 3.0E-04\n"
            "mg / htot = 7.0E-06 he / htot = 1.0E-01 depth     =   1\n\n\n"
        )
        cells = [f" {n:<15}= {x:10.3E}" for n, x in zip(SPECIES, X[k], strict=True)]
        cuts = range(0, len(cells), 4)
        text += "\n".join("".join(cells[i : i + 4]) for i in cuts) + "\n\n\n"
    path = folder / "full.dat"
    path.write_text(text)
    return path


def run_frames(folder: Path | None = None) -> list[pd.DataFrame]:
    physics = {
        "Time": TIME,
        "Density": DENSITY,
        "Av": AV,
        "gasTemp": GAS,
        "dustTemp": DUST,
        "radfield": FIELD,
    }
    physics |= {"zeta": 1.0, "point": 1.0}
    return [pd.DataFrame(physics), pd.DataFrame(dict(zip(SPECIES, X.T, strict=True)))]


def frame() -> pd.DataFrame:
    return pd.concat(run_frames(), axis=1)


def saved_model(folder: Path) -> Path:
    physics, abundances = run_frames()
    path = folder / "models.h5"
    with h5py.File(path, "w") as file:
        for array, names, table in (
            ("physics_array", "physics_values", physics.drop(columns="point")),
            ("chemical_abun_array", "chemical_abun_values", abundances),
        ):
            file[f"cloud/{array}"] = table.to_numpy()[:, None]
            file[f"cloud/{names}"] = [*table.columns]
    return path


def neath(dust: bool = False, particles: int = 2) -> Callable:
    def write(folder: Path) -> Path:
        table = []
        for number in range(particles):
            for k in range(N):
                column = AV[k] / 5.348e-22
                row = [TIME[k] * YEAR, 1e18, -1e18, 0, DENSITY[k] * (1 + number)]
                row += [1e5, 0, 0, GAS[k], 0.4, 1e-5]
                row += [column, 0.3 * column, 1e-5 * column]
                table.append(row + [DUST[k]] * dust)
        path = folder / "particles.out"
        path.write_text(rows(*np.transpose(table), number=lambda x: f"{x:11.4E}"))
        return path

    return write


def nautilus_structure(folder: Path) -> Path:
    path = folder / "structure_evolution.dat"
    text = "! time    log(Av)    log(n)    log(T)\n! (yr)   (mag)      (cm-3)    (K)\n"
    path.write_text(text + rows(TIME, *np.log10([AV, DENSITY, GAS])))
    return path


def nautilus_run(folder: Path) -> Path:
    """A table of two points, the second one denser."""
    run = folder / "run"
    for name in ("ab", "struct"):
        (run / name).mkdir(parents=True)
    spelled = {"HE": "He", "#H2O": "JH2O", "#CO": "JCO", "E-": "e-", "MG+": "Mg+"}
    head = (
        "! time [year]; Each column is the abundance (relative to H) [number ratio]\n"
    )
    for name, x in zip([*SPECIES, "GRAIN0"], [*X.T, X[:, 3]], strict=True):
        text = head + rows(TIME, x, x, number=lambda x: f"{x:.6E}")
        (run / "ab" / f"{spelled.get(name, name)}.ab").write_text(text)
    for point in (1, 2):
        text = "! time     ; gas temperature ; dust temperature\n"
        text += rows(TIME, GAS, DUST, np.log10(DENSITY * point), AV, AV * 0)
        (run / "struct" / f"output.0000{point}.struct").write_text(text)
    return run


def blocks(species: tuple[str, ...], width: int = 10, per: float = 2) -> Callable:
    """Return a writer of a list of some species, relative to H2 if `per` is 2."""

    def write(folder: Path) -> Path:
        text = ""
        for first in range(0, len(species), width):
            part = species[first : first + width]
            text += "  ** FRACTIONAL ABUNDANCES (/H2) **\n\n   TIME   "
            text += "  ".join(part) + "\n"
            values = [per * SHARES[name] for name in part]
            text += rows(TIME, *values, number=lambda x: f"{x:.3E}") + "\n\n"
        path = folder / "blocks.out"
        path.write_text(text)
        return path

    return write


def krome(factor: float = 1.0) -> Callable:
    def write(folder: Path) -> Path:
        path = folder / "fort.66"
        ice = {"#H2O": "H2O_ICE", "#CO": "CO_ICE", "E-": "E"}
        names = " ".join(ice.get(name, name) for name in SPECIES)
        numbers = rows(TIME, *(factor * X.T), number=lambda x: f"{x:12.3E}")
        path.write_text(f"#time {names}\n{numbers}")
        return path

    return write


def table(header: str) -> Callable:
    def write(folder: Path) -> Path:
        path = folder / "gas.txt"
        path.write_text(header + rows(TIME, AV, DENSITY, GAS))
        return path

    return write


def columns(folder: Path) -> Path:
    path = folder / "columns.h5"
    with h5py.File(path, "w") as file:
        for name, values in frame().items():
            file[name] = values.to_numpy()
    return path


def parquet(folder: Path) -> Path:
    path = folder / "run.parquet"
    frame().to_parquet(path)
    return path


def store(folder: Path) -> Path:
    path = folder / "raw.h5"
    frame().assign(Tracer=7, Simulation=1).drop(columns="point").to_hdf(path, key="df")
    return path


def snapshots(write: Callable) -> Callable:
    return lambda folder: snapshot_files.write_set(folder / "run", write)


# Particle 7 of the snapshots is in all of them.
COLUMN = [*snapshot_files.IDS].index(7)
PARTICLE = {
    "Density": snapshot_files.DENSITY[:, COLUMN],
    "Av": snapshot_files.AV[:, COLUMN],
    "gasTemp": snapshot_files.GAS[:, COLUMN],
    "Radfield": FIELD + 0 * AV,
}
GAS_LIST = tuple(name for name in SPECIES if name[0] != "#" and name != "E-")
NEATH = PHYSICS | {"zeta": 1 + 0 * AV, "NH2": 0.3 * AV / 5.348e-22}


def snapshot(source: str, write: Callable, *more: str) -> Layout:
    options = (RADFIELD, *more)
    return Layout(source, snapshots(write), options, PARTICLE, 5, ())


FULL = "Time,Density,gasTemp,dustTemp,Av,radfield,zeta,point"
ONE = np.ones(N)
ABOVE = (
    "Elemental abundances, C:    1.77000E-04 O:    3.34000E-04\n Radfield    1.7{}\n"
)
LAYOUTS = {
    "UCLCHEM 3.5": Layout(
        "UCLCHEM 3.5, io.f90: formats 335 and 8020",
        uclchem(FULL, DENSITY, GAS, DUST, AV, FIELD * ONE, ONE, ONE),
    ),
    "UCLCHEM 3.0": Layout(
        "UCLCHEM 3.0, io.f90: formats 334, 335 and 8020",
        uclchem(
            "Time,Density,gasTemp,av,zeta,point",
            *(DENSITY, GAS, AV, ONE, ONE),
            above=ABOVE.format(""),
        ),
    ),
    "UCLCHEM 2": Layout(
        "UCLCHEM 2, io.f90: formats 334, 335 and 8020",
        uclchem(
            "Time,Density,gasTemp,av,point",
            *(DENSITY, GAS, AV, ONE),
            above=ABOVE.format("  Zeta    1.0"),
        ),
    ),
    "UCLCHEM 1.3": Layout(
        "UCLCHEM 1.3, output.f90: formats 8020 and 8010", uclchem_pages
    ),
    "UCLCHEM, frames": Layout(
        "UCLCHEM 3.5, model.py: return_dataframe", run_frames, rtol=1e-6
    ),
    "UCLCHEM, saved": Layout(
        "UCLCHEM 3.5, model.py: save_model", saved_model, rtol=1e-6
    ),
    "NEATH": Layout(
        "UCLCHEM, examples/fortran_cli: NEATH_COLUMNS",
        *(neath(), (), NEATH | {"dustTemp": GAS}, 2, ()),
        variant="neath",
    ),
    "NEATH, dust": Layout(
        "UCLCHEM, examples/fortran_cli: NEATH_COLUMNS",
        *(neath(dust=True), (), NEATH | {"dustTemp": DUST}, 2, ()),
        variant="neath",
    ),
    "Nautilus, structure": Layout(
        "Nautilus 1.1, structure.f90: get_structure_properties",
        *(nautilus_structure, (RADFIELD,)),
        species=(),
    ),
    "Nautilus, run": Layout(
        "Nautilus 1.1, nautilus_outputs.f90",
        *(nautilus_run, (RADFIELD,)),
        tracers=2,
    ),
    "UMIST, all": Layout(
        "UMIST Rate12, the code's output in blocks of ten columns",
        *(blocks(SPECIES), (FIXED,), CONSTANT),
    ),
    "UMIST, gas": Layout(
        "UMIST Rate12, the code's output in blocks of ten columns",
        *(blocks(GAS_LIST), (FIXED,), CONSTANT),
        species=GAS_LIST,
    ),
    "KROME": Layout(
        "KROME, tests/cloud/test.f90: fort.66", krome(), (FIXED,), CONSTANT, rtol=2e-3
    ),
    "KROME, cm^-3": Layout(
        "KROME, tests/dust/test.f90: fort.66 without a division",
        *(krome(1e4), (FIXED, "dataset.abundances=per_cm3"), CONSTANT),
        rtol=2e-3,
    ),
    "Fortran table": Layout(
        "write(1,*) below a comment with names and units",
        table("! Time  Av  Density  gasTemp\n! (yr) (mag) (cm-3) (K)\n"),
        *((RADFIELD,), PHYSICS, 1, ()),
    ),
    "Phantom, table": Layout(
        "Phantom, evwrite.f90: numbered names",
        table(
            "# [01        Time] [02          Av] [03     Density] [04     gasTemp]\n"
        ),
        *((RADFIELD,), PHYSICS, 1, ()),
    ),
    "AstroChemNet, raw": Layout("AstroChemNet, HDFStore with the key df", store),
    "HDF5, columns": Layout("h5py, a dataset for each column", columns, rtol=1e-6),
    "Parquet": Layout("pandas, to_parquet", parquet, rtol=1e-6),
    "GADGET-4": snapshot("GADGET-4, io/snap_io.cc", snapshot_files.gadget),
    "AREPO": snapshot("AREPO, io.c: to_cgs", snapshot_files.arepo),
    "SWIFT": snapshot("SWIFT, io_properties.h and common_io.c", snapshot_files.swift),
    "GIZMO": snapshot("GIZMO, io.c: UnitLength_In_CGS", snapshot_files.gizmo),
    "FLASH": snapshot("FLASH, io_h5write_particles.c", snapshot_files.flash),
    "AthenaPK": snapshot(
        "Parthenon, parthenon_hdf5.cpp",
        snapshot_files.parthenon,
        "dataset.raw_units={Time:yr,Density:cm-3}",
    ),
    "Phantom": snapshot("Phantom, utils_dumpfiles_hdf5.f90", snapshot_files.phantom),
}
"""By the name of the code."""
