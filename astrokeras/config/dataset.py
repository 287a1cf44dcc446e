"""Configuration of a dataset: the tracer file, and how raw files are imported."""

from dataclasses import dataclass, field

from astrokeras.config.fields import one_of, ranged


@dataclass
class SplitConfig:
    """How simulations are divided into training, validation and test sets."""

    by: str = one_of("simulation", "simulation", "tracer", "number")
    validation: float = ranged(0.15, 0, 0.9)
    test: float = ranged(0.15, 0, 0.9)
    seed: int = ranged(0, 0, 2**31)


@dataclass
class DatasetConfig:
    """A tracer file, and how raw files are converted into one."""

    name: str = "mine"
    path: str = ""  # A dataset without a path must not train on the shipped file.
    source: str = ""
    network: str = ""
    solver: str = ""
    tolerances: str = ""
    licence: str = ""
    citation: str = ""
    layout: str = one_of(
        "auto",
        "auto",
        "raw",
        "cleaned",
        "uclchem",
        "text",
        "neath",
        "nautilus",
        "snapshots",
        "columns",
        "tracers",
    )
    alignment: str = one_of("next", "next", "this")
    time: str = "Time"
    tracer: str | None = None
    simulation: str | None = None
    abundances: str = one_of(
        "per_h", "per_h", "per_h2", "per_cm3", "per_mass", "mass_fraction"
    )
    electrons: str = one_of("given", "given", "neutral")
    parameters: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    raw_units: dict[str, str] = field(default_factory=dict)
    minimum: dict[str, float] = field(default_factory=dict)
    cut_below: dict[str, float] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    floor: float = ranged(1e-20, 1e-30, 1e-6)
    initial_abundances: str | None = None
    split: SplitConfig = field(default_factory=SplitConfig)
