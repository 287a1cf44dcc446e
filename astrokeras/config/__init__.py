"""Configuration: dataclasses that Hydra composes from the YAML files of `configs/`.

Every key is a field of a dataclass with its type, its default and, in the metadata, its
allowed range or choices. YAML files under `configs/` hold the variants; a folder
`configs/` in the working directory takes precedence over the package's own.
"""

from astrokeras.config.composition import (
    GROUPS,
    compose,
    compose_evaluation,
    compose_generation,
    compose_tracks,
    compose_tuner,
)
from astrokeras.config.dataset import DatasetConfig, SplitConfig
from astrokeras.config.evaluation import EvaluationConfig
from astrokeras.config.fields import ConfigError, check, check_field, dotted_keys
from astrokeras.config.generation import (
    CollapseConfig,
    EvenTracksConfig,
    ExploreConfig,
    GenerationConfig,
    SolverConfig,
    StandardConfig,
    TracksConfig,
    TurbulentConfig,
)
from astrokeras.config.run import BoardConfig, Config, TrainingConfig
from astrokeras.config.stages import (
    STAGES,
    AutoencoderConfig,
    EmulatorConfig,
    FitConfig,
    LossConfig,
)
from astrokeras.config.tuner import RangeConfig, TunerConfig

__all__ = [
    "GROUPS",
    "STAGES",
    "AutoencoderConfig",
    "BoardConfig",
    "CollapseConfig",
    "Config",
    "ConfigError",
    "DatasetConfig",
    "EmulatorConfig",
    "EvaluationConfig",
    "EvenTracksConfig",
    "ExploreConfig",
    "FitConfig",
    "GenerationConfig",
    "LossConfig",
    "RangeConfig",
    "SolverConfig",
    "SplitConfig",
    "StandardConfig",
    "TracksConfig",
    "TrainingConfig",
    "TunerConfig",
    "TurbulentConfig",
    "check",
    "check_field",
    "compose",
    "compose_evaluation",
    "compose_generation",
    "compose_tracks",
    "compose_tuner",
    "dotted_keys",
]
