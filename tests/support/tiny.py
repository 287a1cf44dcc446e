"""A tracer file of ten species with smooth trajectories, for tests of the machinery."""

from pathlib import Path

import numpy as np

from astrokeras.data.tracers.block import Tracers
from astrokeras.data.tracers.writer import TracerWriter

SPECIES = ("H", "H2", "O", "OH", "H2O", "C", "CO", "#H2O", "@H2O", "E-")
PARAMETERS = ("Density", "Radfield", "Av")
STEP = 100.0


def make_tracers(
    simulations: int = 10, per_simulation: int = 2, states: int = 13, seed: int = 0
) -> Tracers:
    """Return tracers whose logarithms relax towards values that the density sets."""
    rng = np.random.default_rng(seed)
    n = simulations * per_simulation
    physical = 10.0 ** np.cumsum(rng.normal(0, 0.05, (n, states - 1, 3)), axis=1)
    physical *= 10.0 ** rng.uniform(0, 2, (n, 1, 3))
    logs = np.empty((n, states, len(SPECIES)))
    logs[:, 0] = np.linspace(-1, -12, len(SPECIES))
    for t in range(states - 1):
        target = -2 - np.arange(len(SPECIES)) - np.log10(physical[:, t, :1])
        logs[:, t + 1] = logs[:, t] + 0.3 * (target - logs[:, t])
    logs[..., -2] = np.maximum(logs[..., -2] - 10, -20)  # a species that is never made
    simulation = np.repeat(np.arange(simulations), per_simulation)
    split = np.zeros(n, "u1")
    split[simulation % 5 == 3], split[simulation % 5 == 4] = 1, 2
    return Tracers(
        rows=np.arange(n),
        abundances=(10.0**logs).astype("f4"),
        physical=physical.astype("f4"),
        time=np.tile(STEP * np.arange(states, dtype="f8"), (n, 1)),
        length=np.full(n, states, "i4"),
        tracer=np.arange(n, dtype="i8") + 100,
        simulation=simulation.astype("i8"),
        split=split,
    )


def write_tracers(
    path: Path, tracers: Tracers | None = None, species: tuple[str, ...] = SPECIES
) -> Path:
    """Write tracers, tiny ones by default, as a tracer file."""
    tracers = make_tracers() if tracers is None else tracers
    with TracerWriter(
        path,
        species=species,
        parameters=PARAMETERS,
        units=("cm^-3", "Habing", "mag"),
        states=tracers.time.shape[1],
        attributes={"source": "tests", "fixed": ["zeta = 1"]},
    ) as writer:
        writer.append(tracers)
    return path


# Overrides that make a training on such a file last seconds.
OVERRIDES = (
    "dataset.name=tiny",
    "dataset.initial_abundances=null",
    "calibration=0",
    "board.every=0",  # pictures and a graph for TensorBoard are half of the time
    "autoencoder.widths=[16]",
    "autoencoder.latents=3",
    "autoencoder.fit.epochs=4",
    "autoencoder.fit.batch_size=32",
    "emulator.hidden=[16]",
    "emulator.window=[4,8]",
    "emulator.fit.epochs=4",
    "emulator.fit.batch_size=4",
)


def overrides(folder: Path, *more: str) -> list[str]:
    """Return overrides for a run on `folder/tiny.h5`, kept in `folder`."""
    return [
        *OVERRIDES,
        f"dataset.path={folder / 'tiny.h5'}",
        f"runs_dir={folder / 'runs'}",
        "name=tiny",
        *more,
    ]
