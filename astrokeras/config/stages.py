"""Configuration of the two stages of training: the autoencoder and the emulator."""

from dataclasses import dataclass, field

from astrokeras.config.fields import activation_name, layer_sizes, one_of, ranged

STAGES = ("autoencoder", "emulator")
"""Names of the stages, in the order in which they are trained."""


@dataclass
class LossConfig:
    """The loss and its weights; `astrokeras.losses` has the formulas."""

    kind: str = one_of("dex", "dex", "reference")
    width: float = ranged(0.1, 1e-3, 10)
    tail: float = ranged(0.0, 0, 100)
    censored: bool = True
    conservation: float = ranged(0.0, 0, 1e4)


@dataclass
class FitConfig:
    """The optimiser, its schedules, and the reactions to stagnating validation."""

    epochs: int = ranged(200, 1, 1_000_000)
    batch_size: int = ranged(1024, 1, 1_000_000)
    optimizer: str = one_of("muon", "muon", "adamw")
    learning_rate: float = ranged(1e-3, 1e-8, 1)
    schedule: str = one_of("plateau", "plateau", "cosine")
    minimum_learning_rate: float = ranged(1e-6, 0, 1)
    clip_norm: float = ranged(1.0, 1e-6, 1e6)
    weight_decay: float = ranged(0.0, 0, 1)
    patience: int = ranged(40, 1, 1_000_000)
    lr_patience: int = ranged(10, 1, 1_000_000)
    lr_factor: float = ranged(0.5, 0.01, 0.99)
    anneal_patience: int = ranged(8, 1, 1_000_000)
    anneal_factor: float = ranged(0.5, 0, 1)
    steps_per_execution: int = ranged(1, 1, 10_000)
    device_cache: str = one_of("auto", "auto", "always", "never")


@dataclass
class AutoencoderConfig:
    """Architecture and training of the autoencoder."""

    kind: str = one_of("projection", "projection", "dense")
    widths: list[int] = layer_sizes(320, 160)
    latents: int = ranged(14, 1, 4096)
    activation: str = activation_name()
    latent_activation: bool = False
    normalise: bool = False
    standardise: bool = True
    output: str = one_of("linear", "linear", "sigmoid")
    noise: float = ranged(0.0, 0, 10)
    dropout: float = ranged(0.0, 0, 0.95)
    momentum: float = ranged(0.99, 0, 0.99999)
    loss: LossConfig = field(default_factory=LossConfig)
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class EmulatorConfig:
    """Architecture and training of the emulator."""

    hidden: list[int] = layer_sizes(180, 180)
    activation: str = activation_name()
    window: list[int] = layer_sizes(30, 60, 120, 240)
    from_start: float = ranged(0.0, 0, 1)
    states_per_window: int = ranged(0, 0, 100_000)
    reconstruction: float = ranged(0.0, 0, 100)
    finetune_autoencoder: bool = False
    members: int = ranged(1, 1, 100)
    relaxing: bool = False
    rates: bool = False
    exposures: bool = False
    residual_decay_length: float = ranged(0.0, 0, 100)
    conserve: bool = True
    use_timestep: bool = False
    stride: int = ranged(1, 1, 10_000)
    native_step_fraction: float = ranged(0.5, 0, 1)
    loss: LossConfig = field(default_factory=LossConfig)
    fit: FitConfig = field(default_factory=lambda: FitConfig(batch_size=64))
