"""Configuration of a whole training run: every group, and the keys outside groups."""

from dataclasses import dataclass, field

from astrokeras.config.dataset import DatasetConfig
from astrokeras.config.fields import one_of, ranged
from astrokeras.config.stages import AutoencoderConfig, EmulatorConfig


@dataclass
class BoardConfig:
    """TensorBoard output of a training in addition to the scalars of each epoch."""

    every: int = ranged(10, 0, 1_000_000)
    profile: list[int] = field(default_factory=list)


@dataclass
class TrainingConfig:
    """The devices and processes over which a training is distributed."""

    distribution: str = one_of("none", "none", "data_parallel")
    coordinator: str | None = None
    processes: int | None = ranged(None, 1, 100_000)
    rank: int | None = ranged(None, 0, 100_000)


@dataclass
class Config:
    """The complete configuration of a training run."""

    name: str = field(
        default="my_${dataset.name}", metadata={"pattern": r"[A-Za-z0-9][\w.-]*"}
    )
    from_: str | None = None  # `from` is a word of Python
    seed: int = ranged(0, 0, 2**31)
    calibration: float = ranged(0.5, 0, 0.9)
    reliability_threshold: float = ranged(0.3, 1e-3, 10)
    precision: str = one_of("float32", "float32", "mixed_bfloat16")
    runs_dir: str = "saved_models"
    cache_dir: str = "${runs_dir}/.cache"
    cache_compression: str = one_of("none", "none", "blosc")
    training: TrainingConfig = field(default_factory=TrainingConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    emulator: EmulatorConfig = field(default_factory=EmulatorConfig)
    board: BoardConfig = field(default_factory=BoardConfig)
