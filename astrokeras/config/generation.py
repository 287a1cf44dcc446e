"""Configuration of generated data: the solver, and trajectories without chemistry."""

from dataclasses import dataclass, field
from typing import Any

from astrokeras.config.dataset import DatasetConfig
from astrokeras.config.fields import interval, ranged


@dataclass
class SolverConfig:
    """The solver of the chemistry and its tolerances; see `astrokeras.solvers`."""

    kind: str = "uclchem"
    files: dict[str, str] = field(default_factory=dict)
    reltol: float = ranged(1e-6, 1e-12, 1e-1)
    abstol_factor: float = ranged(1e-10, 1e-20, 1)
    abstol_min: float = ranged(1e-24, 1e-40, 1)
    constants: dict[str, float] = field(default_factory=dict)
    options: dict[str, float] = field(default_factory=dict)
    cpu_limit: float = ranged(300.0, 1, 1e6)


@dataclass
class GenerationConfig:
    """The solver of trajectories, and the dataset that their solutions become."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)


@dataclass
class TracksConfig:
    """The keys that all kinds of synthetic trajectories have in common.

    `astrokeras.trajectories` makes the trajectories.
    """

    simulations: int = ranged(120, 1, 1_000_000)
    tracers: int = ranged(3, 1, 100)
    first: int = ranged(1000, 0, 2**40)
    steps: int = ranged(120, 1, 1_000_000)
    step: float = ranged(500.0, 1e-3, 1e9)
    seed: int = ranged(0, 0, 2**31)
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass
class CollapseConfig(TracksConfig):
    """Collapsing dense cores; see `astrokeras.trajectories.collapse`."""

    density: list[float] = interval(1e5, 4e6, 1, 1e12)
    compression: list[float] = interval(3.0, 30.0, 1.01, 1e6)
    gravity: list[float] = interval(0.4, 1.0, 1e-4, 1)
    size: list[float] = interval(1.5, 5.0, 0.01, 100)
    extent: float = ranged(2.0, 0.1, 100)
    ambient: list[float] = interval(0.12, 2.0, 1e-3, 1e3)
    radfield: list[float] = interval(0.1, 26.0, 1e-4, 1e6)
    flutter: float = ranged(0.07, 0, 1)
    flutter_time: float = ranged(1300.0, 1e-3, 1e9)
    drift: float = ranged(0.15, 0, 1)
    drift_time: float = ranged(15_000.0, 1e-3, 1e9)
    radfield_scatter: float = ranged(1.0, 0, 10)
    temperature_scatter: float = ranged(0.2, 0, 10)
    heated: float = ranged(0.4, 0, 1)
    star: list[float] = interval(25.0, 95.0, 1, 1e4)


@dataclass
class TurbulentConfig(TracksConfig):
    """Gas in supersonic turbulence; see `astrokeras.trajectories.turbulent`."""

    density: list[float] = interval(100.0, 3000.0, 1, 1e8)
    mach: list[float] = interval(2.0, 12.0, 1, 100)
    compressive: list[float] = interval(0.33, 1.0, 0.1, 1)
    size: list[float] = interval(0.02, 0.5, 1e-4, 1e4)
    radfield: list[float] = interval(0.5, 100.0, 1e-4, 1e6)
    zeta: list[float] = interval(0.3, 30.0, 1e-3, 1e5)
    zeta_slope: float = ranged(0.2, 0, 1)
    scatter: float = ranged(0.15, 0, 1)
    shocks: float = ranged(0.5, 0, 1)
    weakest: float = ranged(1.5, 1.01, 10)
    steepness: float = ranged(1.0, 0.01, 10)
    cooling: float = ranged(500.0, 0, 1e6)
    ray_energy: float = ranged(20.0, 0, 100)
