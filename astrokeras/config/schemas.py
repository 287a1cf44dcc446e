"""The schemas: every key of the configuration with its type, default and range."""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any

from astrokeras.errors import InputError
from astrokeras.system.arguments import shown
from astrokeras.system.close_names import suggest


class ConfigError(InputError):
    """A key that does not exist, a wrong type, or a value out of range."""


def _ranged(default: Any, low: float, high: float = math.inf) -> Any:
    return field(default=default, metadata={"range": (low, high)})


def _one_of(default: Any, *choices: Any) -> Any:
    return field(default=default, metadata={"choices": choices})


def _interval(start: float, end: float, low: float, high: float = math.inf) -> Any:
    """Two numbers between which something is drawn, logarithms evenly."""
    return field(
        default_factory=lambda: [start, end],
        metadata={"range": (low, high), "interval": True},
    )


def _activation() -> Any:
    return _one_of("gelu", "gelu", "silu", "relu", "elu", "selu", "tanh", "softplus")


def _widths(*default: int) -> Any:
    return field(default_factory=lambda: list(default), metadata={"range": (1, 65536)})


@dataclass
class SplitConfig:
    """How simulations are shared out among train, validation and test."""

    by: str = _one_of("simulation", "simulation", "tracer")
    validation: float = _ranged(0.15, 0, 0.9)
    test: float = _ranged(0.15, 0, 0.9)
    seed: int = _ranged(0, 0, 2**31)


@dataclass
class DatasetConfig:
    """A tracer file, and how raw files become one."""

    name: str = "mine"
    path: str = ""  # A variant that names none is not trained on what ships.
    source: str = ""
    network: str = ""
    solver: str = ""
    tolerances: str = ""
    licence: str = ""
    citation: str = ""
    layout: str = _one_of(
        "auto", "auto", "raw", "cleaned", "uclchem", "columns", "tracers"
    )
    alignment: str = _one_of("next", "next", "this")
    parameters: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    raw_units: dict[str, str] = field(default_factory=dict)
    minimum: dict[str, float] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    elements: list[str] = field(default_factory=list)
    floor: float = _ranged(1e-20, 1e-30, 1e-6)
    initial_abundances: str | None = None
    split: SplitConfig = field(default_factory=SplitConfig)


@dataclass
class LossConfig:
    """Which loss, and its weights; see `astrokeras.losses` for the formulas."""

    kind: str = _one_of("dex", "dex", "reference")
    width: float = _ranged(0.1, 1e-3, 10)
    tail: float = _ranged(0.0, 0, 100)
    censored: bool = True
    conservation: float = _ranged(0.0, 0, 1e4)


@dataclass
class FitConfig:
    """The optimiser, and what happens when training stagnates."""

    epochs: int = _ranged(200, 1, 1_000_000)
    batch_size: int = _ranged(1024, 1, 1_000_000)
    optimizer: str = _one_of("muon", "muon", "adamw")
    learning_rate: float = _ranged(1e-3, 1e-8, 1)
    schedule: str = _one_of("plateau", "plateau", "cosine")
    minimum_learning_rate: float = _ranged(1e-6, 0, 1)
    clip_norm: float = _ranged(1.0, 1e-6, 1e6)
    weight_decay: float = _ranged(0.0, 0, 1)
    patience: int = _ranged(40, 1, 1_000_000)
    lr_patience: int = _ranged(10, 1, 1_000_000)
    lr_factor: float = _ranged(0.5, 0.01, 0.99)
    anneal_patience: int = _ranged(8, 1, 1_000_000)
    anneal_factor: float = _ranged(0.5, 0, 1)
    steps_per_execution: int = _ranged(1, 1, 10_000)
    device_cache: str = _one_of("auto", "auto", "always", "never")


@dataclass
class AutoencoderConfig:
    """Architecture and training of the autoencoder."""

    kind: str = _one_of("projection", "projection", "dense")
    widths: list[int] = _widths(320, 160)
    latents: int = _ranged(14, 1, 4096)
    activation: str = _activation()
    latent_activation: bool = False
    normalise: bool = False
    standardise: bool = True
    output: str = _one_of("linear", "linear", "sigmoid")
    noise: float = _ranged(0.0, 0, 10)
    dropout: float = _ranged(0.0, 0, 0.95)
    momentum: float = _ranged(0.99, 0, 0.99999)
    loss: LossConfig = field(default_factory=LossConfig)
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class EmulatorConfig:
    """Architecture and training of the emulator."""

    hidden: list[int] = _widths(180, 180)
    activation: str = _activation()
    window: list[int] = _widths(30, 60, 120, 240)
    from_start: float = _ranged(0.0, 0, 1)
    states_per_window: int = _ranged(0, 0, 100_000)
    reconstruction: float = _ranged(0.0, 0, 100)
    finetune_autoencoder: bool = False
    relaxing: bool = False
    rates: bool = False
    residual_decay_length: float = _ranged(0.0, 0, 100)
    conserve: bool = True
    use_timestep: bool = False
    stride: int = _ranged(1, 1, 10_000)
    native_step_fraction: float = _ranged(0.5, 0, 1)
    loss: LossConfig = field(default_factory=LossConfig)
    fit: FitConfig = field(default_factory=lambda: FitConfig(batch_size=64))


@dataclass
class TrialEpochsConfig:
    """Epochs of a trial's stages; None for those of the stage's own configuration."""

    autoencoder: int | None = _ranged(20, 1, 1_000_000)
    emulator: int | None = _ranged(60, 1, 1_000_000)


@dataclass
class RangeConfig:
    """What a search tries of one field; what is left out follows from the field."""

    kind: str | None = _one_of(None, None, "int", "float", "bool", "choice")
    min: float | None = None
    max: float | None = None
    step: float | None = None
    log: bool = False
    values: list[Any] = field(default_factory=list)
    when: dict[str, Any] = field(default_factory=dict)


@dataclass
class TunerConfig:
    """A search for a better configuration."""

    stage: str = _one_of("both", "both", "autoencoder", "emulator")
    algorithm: str = _one_of("bayesian", "bayesian", "random", "hyperband")
    trials: int = _ranged(30, 1, 1_000_000)
    initial: int = _ranged(10, 1, 1_000_000)
    factor: int = _ranged(3, 2, 100)
    seed: int = _ranged(0, 0, 2**31)
    best: int = _ranged(3, 1, 1000)
    autoencoder: str | None = None
    epochs: TrialEpochsConfig = field(default_factory=TrialEpochsConfig)
    space: dict[str, RangeConfig] = field(default_factory=dict)


@dataclass
class BoardConfig:
    """What a training writes for TensorBoard beside the figures of each epoch."""

    every: int = _ranged(10, 0, 1_000_000)
    profile: list[int] = field(default_factory=list)


@dataclass
class TrainingConfig:
    """The devices and processes that train together (`training.distribution`)."""

    distribution: str = _one_of("none", "none", "data_parallel")
    coordinator: str | None = None
    processes: int | None = _ranged(None, 1, 100_000)
    rank: int | None = _ranged(None, 0, 100_000)


@dataclass
class SolverConfig:
    """What solves the chemistry; see `astrokeras.solvers`."""

    kind: str = "uclchem"
    files: dict[str, str] = field(default_factory=dict)
    reltol: float = _ranged(1e-4, 1e-12, 1e-1)
    abstol_factor: float = _ranged(1e-8, 1e-20, 1)
    abstol_min: float = _ranged(1e-22, 1e-40, 1)
    constants: dict[str, float] = field(default_factory=dict)
    options: dict[str, float] = field(default_factory=dict)
    time_limit: float = _ranged(600.0, 0.1, 1e6)


@dataclass
class GenerationConfig:
    """What tracks are solved with, and the tracer file that becomes of them."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)


@dataclass
class TracksConfig:
    """What all made-up trajectories share; see `astrokeras.tracks`."""

    simulations: int = _ranged(120, 1, 1_000_000)
    tracers: int = _ranged(3, 1, 100)
    first: int = _ranged(1000, 0, 2**40)
    steps: int = _ranged(120, 1, 1_000_000)
    step: float = _ranged(500.0, 1e-3, 1e9)
    seed: int = _ranged(0, 0, 2**31)
    limits: dict[str, Any] = field(default_factory=dict)


@dataclass
class CollapseConfig(TracksConfig):
    """Cores that collapse; see `astrokeras.trajectories.collapse`."""

    density: list[float] = _interval(1e5, 4e6, 1, 1e12)
    compression: list[float] = _interval(3.0, 30.0, 1.01, 1e6)
    gravity: list[float] = _interval(0.4, 1.0, 1e-4, 1)
    size: list[float] = _interval(1.5, 5.0, 0.01, 100)
    extent: float = _ranged(2.0, 0.1, 100)
    ambient: list[float] = _interval(0.12, 2.0, 1e-3, 1e3)
    radfield: list[float] = _interval(0.1, 26.0, 1e-4, 1e6)
    flutter: float = _ranged(0.07, 0, 1)
    flutter_time: float = _ranged(1300.0, 1e-3, 1e9)
    drift: float = _ranged(0.15, 0, 1)
    drift_time: float = _ranged(15_000.0, 1e-3, 1e9)
    radfield_scatter: float = _ranged(1.0, 0, 10)
    temperature_scatter: float = _ranged(0.2, 0, 10)
    heated: float = _ranged(0.4, 0, 1)
    star: list[float] = _interval(25.0, 95.0, 1, 1e4)


@dataclass
class TurbulentConfig(TracksConfig):
    """Gas in supersonic turbulence; see `astrokeras.trajectories.turbulent`."""

    density: list[float] = _interval(100.0, 3000.0, 1, 1e8)
    mach: list[float] = _interval(2.0, 12.0, 1, 100)
    compressive: list[float] = _interval(0.33, 1.0, 0.1, 1)
    size: list[float] = _interval(0.02, 0.5, 1e-4, 1e4)
    radfield: list[float] = _interval(0.5, 100.0, 1e-4, 1e6)
    zeta: list[float] = _interval(0.3, 30.0, 1e-3, 1e5)
    zeta_slope: float = _ranged(0.2, 0, 1)
    scatter: float = _ranged(0.15, 0, 1)
    shocks: float = _ranged(0.5, 0, 1)
    weakest: float = _ranged(1.5, 1.01, 10)
    steepness: float = _ranged(1.0, 0.01, 10)
    cooling: float = _ranged(500.0, 0, 1e6)
    ray_energy: float = _ranged(20.0, 0, 100)


@dataclass
class Config:
    """Everything a run is made of."""

    name: str = field(
        default="my_${dataset.name}", metadata={"pattern": r"[A-Za-z0-9][\w.-]*"}
    )
    seed: int = _ranged(0, 0, 2**31)
    ensemble_size: int = _ranged(1, 1, 100)
    calibration: float = _ranged(0.5, 0, 0.9)
    reliability_threshold: float = _ranged(0.3, 1e-3, 10)
    precision: str = _one_of("float32", "float32", "mixed_bfloat16")
    runs_dir: str = "saved_models"
    cache_dir: str = "${runs_dir}/.cache"
    cache_compression: str = _one_of("none", "none", "blosc")
    training: TrainingConfig = field(default_factory=TrainingConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    emulator: EmulatorConfig = field(default_factory=EmulatorConfig)
    board: BoardConfig = field(default_factory=BoardConfig)


def check(config: Any, prefix: str = "") -> None:
    """Check every field of nested dataclasses against its declared range or choices.

    Raises:
        ConfigError: For the first value that is not allowed.
    """
    known = {item.name for item in dataclasses.fields(config)}
    unknown = sorted(set(vars(config)) - known)
    if unknown:
        raise ConfigError(
            f"{prefix}{unknown[0]} is no key; there are: {', '.join(sorted(known))}"
            f"{suggest(unknown[0], sorted(known))}"
        )
    for item in dataclasses.fields(config):
        value, key = getattr(config, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            check(value, f"{key}.")
        check_field(item, value, key)


def check_finite(value: Any, key: str) -> None:
    """Check that no number of a value, however nested, is infinite or missing.

    Raises:
        ConfigError: For the first one.
    """
    if isinstance(value, dict):
        for name, one in value.items():
            check_finite(one, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for one in value:
            check_finite(one, key)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} is {shown(value)}; give a finite number.")


def check_field(item: dataclasses.Field[Any], value: Any, key: str) -> None:
    """Check one value against the range or the choices that its field declares.

    Raises:
        ConfigError: If the field does not allow it.
    """
    check_finite(value, key)
    choices = item.metadata.get("choices")
    # An array would answer `in` with an array.
    if choices and not (isinstance(value, str | None) and value in choices):
        allowed = ", ".join(str(choice) for choice in choices if choice is not None)
        raise ConfigError(
            f"{key} is {shown(value)}; allowed are: {allowed}{suggest(value, choices)}"
        )
    pattern = item.metadata.get("pattern")
    if pattern and not (isinstance(value, str) and re.fullmatch(pattern, value)):
        raise ConfigError(
            f"{key} is {shown(value)}; give letters, digits, '.', '_' and '-' alone."
        )
    low, high = item.metadata.get("range", (None, None))
    if low is None or value is None:
        return
    values = value if isinstance(value, list) else [value]
    whole = "float" not in str(item.type)
    kinds = (int,) if whole else (int, float)
    wrong = [v for v in values if isinstance(v, bool) or not isinstance(v, kinds)]
    if wrong:
        what = "a whole number" if whole else "a number"
        raise ConfigError(f"{key} is {shown(wrong[0])}; give {what}.")
    if not values:
        raise ConfigError(f"{key} is empty; give at least one value.")
    if item.metadata.get("interval") and (len(values) != 2 or values[0] > values[1]):
        raise ConfigError(
            f"{key} is {shown(value)}; give two numbers, the smaller one first."
        )
    if not all(low <= v <= high for v in values):
        raise ConfigError(
            f"{key} is {shown(value)}; it must lie in [{low:g}, {high:g}]."
        )
