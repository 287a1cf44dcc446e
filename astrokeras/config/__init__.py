"""The configuration: structured schemas, composed by Hydra from `configs/`.

Every key is a field of a schema with its type, its default and, in the metadata, the
range or the choices that are allowed. YAML files under `configs/` hold the variants, a
folder `configs/` in the working directory comes before the package's own.
"""

from astrokeras.config.composition import (
    GROUPS,
    compose,
    compose_generation,
    compose_tracks,
    compose_tuner,
)
from astrokeras.config.schemas import (
    AutoencoderConfig,
    BoardConfig,
    CollapseConfig,
    Config,
    ConfigError,
    DatasetConfig,
    EmulatorConfig,
    FitConfig,
    GenerationConfig,
    LossConfig,
    RangeConfig,
    SolverConfig,
    SplitConfig,
    TracksConfig,
    TrainingConfig,
    TunerConfig,
    TurbulentConfig,
    check,
    check_field,
)

__all__ = [
    "GROUPS",
    "AutoencoderConfig",
    "BoardConfig",
    "CollapseConfig",
    "Config",
    "ConfigError",
    "DatasetConfig",
    "EmulatorConfig",
    "FitConfig",
    "GenerationConfig",
    "LossConfig",
    "RangeConfig",
    "SolverConfig",
    "SplitConfig",
    "TracksConfig",
    "TrainingConfig",
    "TunerConfig",
    "TurbulentConfig",
    "check",
    "check_field",
    "compose",
    "compose_generation",
    "compose_tracks",
    "compose_tuner",
]
