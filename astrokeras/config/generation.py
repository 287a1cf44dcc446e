"""Configuration of generated data: the solver, and trajectories without chemistry."""

from dataclasses import dataclass, field
from typing import Any

from astrokeras.config.dataset import DatasetConfig
from astrokeras.config.fields import interval, one_of, ranged


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

    first: int = ranged(1000, 0, 2**40)
    steps: int = ranged(120, 1, 1_000_000)
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass
class DrawnTracksConfig(TracksConfig):
    """The keys of trajectories that are drawn at random."""

    simulations: int = ranged(120, 1, 1_000_000)
    seed: int = ranged(0, 0, 2**31)


@dataclass
class EvenTracksConfig(DrawnTracksConfig):
    """The keys of simulations of several tracers each, with equal steps."""

    tracers: int = ranged(3, 1, 100)
    step: float = ranged(500.0, 1e-3, 1e9)


@dataclass
class CollapseConfig(EvenTracksConfig):
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
class TurbulentConfig(EvenTracksConfig):
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


@dataclass
class FamilyShares:
    """Relative frequencies of the families of exploring tracks."""

    walk: float = ranged(0.24, 0, 1)
    collapse: float = ranged(0.12, 0, 1)
    warmup: float = ranged(0.12, 0, 1)
    shock: float = ranged(0.1, 0, 1)
    static: float = ranged(0.07, 0, 1)
    irradiation: float = ranged(0.07, 0, 1)
    expansion: float = ranged(0.05, 0, 1)
    box: float = ranged(0.23, 0, 1)


@dataclass
class ExploreConfig(DrawnTracksConfig):
    """Gas of many kinds over wide ranges; see `astrokeras.trajectories.explore`."""

    steps: int = ranged(60, 2, 100_000)
    families: list[str] = field(
        default_factory=lambda: list(FamilyShares.__dataclass_fields__)
    )
    shares: FamilyShares = field(default_factory=FamilyShares)
    duration: list[float] = interval(2e3, 1e7, 1, 1e10)
    shortest: float = ranged(10.0, 1e-3, 1e6)
    quiet: float = ranged(0.55, 0, 1)
    quiet_duration: list[float] = interval(1e3, 5e6, 1, 1e10)


@dataclass
class StandardConfig(TracksConfig):
    """UCLCHEM's standard models; see `astrokeras.trajectories.standard`."""

    models: list[str] = field(
        default_factory=lambda: ["static4", "static5", "freefall", "hotcore", "cshock"]
    )
    temperature: float = ranged(10.0, 2.73, 1e3)
    radfield: float = ranged(1.0, 1e-4, 1e6)
    zeta: float = ranged(1.0, 1e-3, 1e5)
    base_av: float = ranged(1.0, 1e-3, 1e4)
    size: float = ranged(0.1, 1e-4, 1e3)
    static_time: float = ranged(5e6, 1e3, 1e10)
    initial_density: float = ranged(100.0, 1e-2, 1e10)
    final_density: float = ranged(1e6, 1, 1e12)
    collapse_time: float = ranged(6e6, 1e3, 1e10)
    star_mass: int = one_of(10, 1, 5, 10, 15, 25, 60)
    core_temperature: float = ranged(300.0, 10, 1e3)
    core_time: float = ranged(1e6, 1e3, 1e10)
    shock_velocity: float = ranged(20.0, 5, 50)
    shock_density: float = ranged(1e4, 1e2, 1e8)
    magnetic: float = ranged(1.0, 0.01, 10)
    shock_time: float = ranged(1e6, 1e2, 1e10)
