"""Configuration of a hyperparameter search: algorithm, trials and search space."""

from dataclasses import dataclass, field
from typing import Any

from astrokeras.config.fields import one_of, ranged


@dataclass
class TrialEpochsConfig:
    """Epochs of each stage in a trial; None takes those of the configuration."""

    autoencoder: int | None = ranged(20, 1, 1_000_000)
    emulator: int | None = ranged(60, 1, 1_000_000)


@dataclass
class RangeConfig:
    """The values that a search tries for one field; the field supplies the defaults."""

    kind: str | None = one_of(None, None, "int", "float", "bool", "choice")
    min: float | None = None
    max: float | None = None
    step: float | None = None
    log: bool = False
    values: list[Any] = field(default_factory=list)
    when: dict[str, Any] = field(default_factory=dict)


@dataclass
class TunerConfig:
    """A hyperparameter search: its algorithm, its trials and its search space."""

    stage: str = one_of("both", "both", "autoencoder", "emulator")
    algorithm: str = one_of("bayesian", "bayesian", "random", "hyperband")
    trials: int = ranged(30, 1, 1_000_000)
    initial: int = ranged(10, 1, 1_000_000)
    factor: int = ranged(3, 2, 100)
    seed: int = ranged(0, 0, 2**31)
    best: int = ranged(3, 1, 1000)
    autoencoder: str | None = None
    epochs: TrialEpochsConfig = field(default_factory=TrialEpochsConfig)
    space: dict[str, RangeConfig] = field(default_factory=dict)
