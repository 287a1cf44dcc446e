"""Small raw tables as UCLCHEM and AstroChemNet write them, for the importers' tests."""

import numpy as np
import pandas as pd

from astrokeras.config import DatasetConfig, SplitConfig
from astrokeras.data.importers.column_roles import ALIASES

SPECIES = ("H", "H2", "C", "O", "CO", "CH3OH", "HCOOH", "#H2O", "@CO", "MG", "E-")
PHYSICS = ("Time", "Density", "gasTemp", "dustTemp", "Av", "radfield", "zeta", "dstep")
STEP = 92.9


def run(states: int = 12, seed: int = 0, alignment: str = "next") -> pd.DataFrame:
    """Return one run whose chemistry follows the parameters of one interval at once.

    With "next", row k's parameters drive row k to k + 1; with "this", row k - 1 to k.
    """
    rng = np.random.default_rng(seed)
    logs = rng.uniform(1, 3, 3) + np.cumsum(rng.normal(0, 0.1, (states + 1, 3)), axis=0)
    answer = np.random.default_rng(99).normal(size=(3, len(SPECIES)))
    driven = logs[1:] if alignment == "this" else logs[:-1]
    abundances = 10 ** (-6 + 0.3 * driven @ answer)
    density, temperature, extinction = 10 ** logs[1:].T
    frame = pd.DataFrame(
        {
            "Time": STEP * np.arange(1, states + 1),
            "Density": density,
            "gasTemp": temperature,
            "dustTemp": temperature,
            "Av": extinction,
            "radfield": 1.5,
            "zeta": 1.0,
            "dstep": 1.0,
        }
    )
    abundances = with_all_hydrogen(np.minimum(abundances, 1e-3))
    return frame.assign(**dict(zip(SPECIES, abundances.T, strict=True)))


def with_all_hydrogen(abundances: np.ndarray) -> np.ndarray:
    """Return abundances, (..., S), whose H2 makes hydrogen add up to 1."""
    nuclei = [1, 2, 0, 0, 0, 4, 2, 2, 0, 0, 0]
    rest = abundances @ np.array(nuclei) - 2 * abundances[..., 1]
    found = abundances.copy()
    found[..., 1] = (1 - rest) / 2
    return found


def start_abundances() -> np.ndarray:
    """Return abundances of all species, (S,)."""
    return with_all_hydrogen(np.linspace(0.001, 0.02, len(SPECIES)))


def raw(
    tracers: int = 8, states: int = 12, per_simulation: int = 1, **settings: str
) -> pd.DataFrame:
    """Return AstroChemNet's raw layout: runs one below the other, with identifiers."""
    runs = []
    for number in range(tracers):
        frame = run(states, seed=number, **settings)
        frame = frame.assign(BULK=1e-5, SURFACE=1e-6, Tracer=100 + number)
        runs.append(frame.assign(Simulation=number // per_simulation))
    return pd.concat(runs, ignore_index=True)


def write_csv(path, frame: pd.DataFrame):
    """Write a run as UCLCHEM does: padded names and numbers between commas."""
    header = ", ".join(f"{name:>10}" for name in frame.columns)
    rows = (", ".join(f"{x:10.5E}" for x in row) for row in frame.to_numpy(float))
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


PARAMETERS = {
    "Density": "Density",
    "Radfield": "radfield",
    "Av": "Av",
    "gasTemp": "gasTemp",
}
COLUMNS = [*PARAMETERS.values()]


def settings(**changes) -> DatasetConfig:
    """Return how to read these tables; keywords replace the defaults."""
    defaults = {
        "parameters": PARAMETERS,
        "units": {
            "Density": "cm^-3",
            "Radfield": "Habing",
            "Av": "mag",
            "gasTemp": "K",
        },
        "minimum": {"Radfield": 1e-4},
        "split": SplitConfig(by="tracer"),
    }
    return DatasetConfig(**(defaults | changes))


def hdf(path, frame, key="df", **options):
    """Write a frame by pandas, and return the path."""
    frame.to_hdf(path, key=key, **options)
    return path


def cleaned(path, frame, spelling):
    """Write AstroChemNet's cleaned layout, with its formulas or UCLCHEM's names."""
    short = {name: alias for alias, name in ALIASES.items()} if spelling else {}
    names = {"Tracer": "Model", "radfield": "Radfield"} | short
    frame = frame.drop(columns=["dustTemp", "zeta", "dstep", "BULK", "SURFACE"])
    frame = frame.drop(columns="Simulation").rename(columns=names)
    frame.insert(0, "Index", np.arange(len(frame)))
    hdf(path, frame[frame["Model"] < 106], "train", format="table")
    hdf(path, frame[frame["Model"] >= 106], "val", format="table")
    return path
