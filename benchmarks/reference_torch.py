"""The peer: AstroChemNet's architecture and training, written plainly in PyTorch.

After the published description (README of astrokeras, "Citing"), not after its code:
tied dense autoencoder with batch normalisation and GELU, residual cell rolled in a
Python loop, its loss, AdamW, learning rate and dropout lowered on plateaus, early stop.
The same sizes, loss, batches and threads as `autoencoder=reference emulator=reference`.
Everything is held in memory as tensors, as a good PyTorch script of this size would.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

DECADES = 20.0
LN10 = math.log(10.0)


class Autoencoder(nn.Module):
    """Tied dense autoencoder of scaled abundances, `(rows, species)`."""

    def __init__(
        self,
        species: int,
        widths: tuple[int, ...] = (320, 160),
        latents: int = 14,
        noise: float = 0.1,
        dropout: float = 0.1,
    ):
        super().__init__()
        sizes = [species, *widths, latents]
        self.kernels = nn.ParameterList(
            nn.init.xavier_uniform_(torch.empty(b, a)) for a, b in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(b) for b in sizes[1:])
        self.reverse_biases = nn.ParameterList(torch.zeros(a) for a in sizes[:-1])
        self.encoder_norms = nn.ModuleList(nn.BatchNorm1d(b) for b in sizes[1:])
        self.decoder_norms = nn.ModuleList(nn.BatchNorm1d(a) for a in sizes[1:-1])
        self.noise = noise
        self.dropout = dropout

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        last = len(self.kernels) - 1
        for i, kernel in enumerate(self.kernels):
            x = functional.linear(x, kernel, self.biases[i])
            x = functional.gelu(self.encoder_norms[i](x))
            if i < last:
                x = functional.dropout(x, self.dropout, self.training)
        return x

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        for i in range(len(self.kernels) - 1, 0, -1):
            z = functional.linear(z, self.kernels[i].T, self.reverse_biases[i])
            z = functional.gelu(self.decoder_norms[i - 1](z))
            z = functional.dropout(z, self.dropout, self.training)
        return torch.sigmoid(
            functional.linear(z, self.kernels[0].T, self.reverse_biases[0])
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.encode(x)
        if self.training:
            z = z + self.noise * torch.randn_like(z)
        return self.decode(z)


class Emulator(nn.Module):
    """Residual cell rolled through the latent space of a frozen autoencoder."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        parameters: int,
        latents: int = 14,
        hidden: tuple[int, ...] = (180, 180),
    ):
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False).eval()
        self.register_buffer("centre", torch.zeros(latents))
        self.register_buffer("spread", torch.ones(latents))
        layers: list[nn.Module] = []
        for a, b in zip((latents + parameters, *hidden), hidden, strict=False):
            layers += [nn.Linear(a, b), nn.GELU()]
        last = nn.Linear(hidden[-1], latents)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.cell = nn.Sequential(*layers, last)

    def train(self, mode: bool = True) -> "Emulator":
        super().train(mode)
        self.autoencoder.eval()
        return self

    def forward(self, initial: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
        state = (self.autoencoder.encode(initial) - self.centre) / self.spread
        states = []
        for step in parameters.unbind(1):
            state = state + self.cell(torch.cat([step, state], 1))
            states.append(state)
        latents = torch.stack(states, 1) * self.spread + self.centre
        return self.autoencoder.decode(latents.flatten(0, 1)).unflatten(
            0, latents.shape[:2]
        )


def reference_loss(
    prediction: torch.Tensor,
    truth: torch.Tensor,
    matrix: torch.Tensor,
    conservation: float,
) -> torch.Tensor:
    """AstroChemNet's loss, averaged over states; see `astrokeras.losses`."""
    excess = torch.expm1((prediction - truth).abs() * (DECADES * LN10))
    error = 1e-3 * (excess.sum(-1) + 2 * excess.amax(-1)).mean()

    def totals(scaled: torch.Tensor) -> torch.Tensor:
        abundances = torch.exp((scaled - 1) * (DECADES * LN10))
        return torch.log10((abundances @ matrix).clamp_min(1e-30))

    elements = (totals(prediction) - totals(truth)).abs().sum(-1).mean()
    return error + conservation * elements


def dex_loss(
    prediction: torch.Tensor,
    truth: torch.Tensor,
    matrix: torch.Tensor,
    conservation: float,
) -> torch.Tensor:
    """The pseudo-Huber loss in dex of astrokeras: a loss that is not the peer's own."""
    del matrix, conservation
    error = (prediction - truth) * DECADES
    error = torch.where(truth > 1e-6, error, error.clamp_min(0))
    return (error.square() + 0.01).sqrt().mean() - 0.1


@dataclass
class Data:
    """Scaled training and validation tracers as tensors, and the element counts."""

    abundances: torch.Tensor  # (N, T+1, S) in [0, 1]
    parameters: torch.Tensor  # (N, T, P), zero mean and unit spread
    validation: torch.Tensor
    validation_parameters: torch.Tensor
    matrix: torch.Tensor  # (S, E)


def load(cache: object, matrix: np.ndarray) -> Data:
    """Read a whole training cache of astrokeras into memory."""
    import h5py

    offset, scale = (
        np.asarray(value, "f4")
        for value in (cache.statistics.offset, cache.statistics.scale)
    )
    with h5py.File(cache.path) as file:
        arrays = [
            part
            for group in ("train", "validation")
            for part in (
                file[group]["abundances"][:],
                (file[group]["physical"][:] - offset) / scale,
            )
        ]
    return Data(*map(torch.from_numpy, arrays), torch.from_numpy(matrix.astype("f4")))


def autoencoder_batches(data: Data, batch: int) -> Iterator[torch.Tensor]:
    """One epoch of single states in random order."""
    rows = data.abundances.flatten(0, 1)
    for index in torch.randperm(len(rows)).split(batch):
        if len(index) == batch or len(rows) < batch:
            yield rows[index]


def emulator_batches(
    data: Data, batch: int, window: int, whole: bool = False
) -> Iterator[tuple]:
    """One epoch of windows: each tracer once, from a random state.

    With `whole` the rest that fills no batch is left out.
    """
    count, states = data.abundances.shape[:2]
    span = torch.arange(window)
    for index in torch.randperm(count).split(batch):
        if whole and len(index) < batch <= count:
            continue
        start = torch.randint(0, states - window, (len(index),))
        steps = start[:, None] + span
        yield (
            data.abundances[index, start],
            data.parameters[index[:, None], steps],
            data.abundances[index[:, None], steps + 1],
        )


def step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable,
    inputs: tuple,
    truth: torch.Tensor,
) -> torch.Tensor:
    """One update with the gradient's global norm clipped to 1."""
    optimizer.zero_grad(set_to_none=True)
    value = loss(model(*inputs), truth)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return value.detach()


def make_optimizer(model: nn.Module, rate: float = 1e-3) -> torch.optim.AdamW:
    """AdamW on what is trained, as the variant `reference` has it."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, rate, weight_decay=0.0)


@torch.no_grad()
def mean_dex(prediction: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean |log10 p - log10 x|."""
    return float((prediction - truth).abs().mean() * DECADES)


def fit(
    model: nn.Module,
    epoch: Callable[[], Iterator[tuple]],
    loss: Callable,
    validate: Callable[[], float],
    epochs: int,
    patience: int = 40,
    on_epoch: Callable[[int, float], None] | None = None,
) -> float:
    """Train to the early stop and leave the model with its best weights.

    Returns:
        The best validation dex.
    """
    optimizer = make_optimizer(model)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=10, min_lr=1e-6
    )
    best, best_state, waited, stagnant = math.inf, None, 0, 0
    for number in range(epochs):
        model.train()
        for inputs, truth in epoch():
            step(model, optimizer, loss, inputs, truth)
        model.eval()
        value = validate()
        plateau.step(value)
        if on_epoch:
            on_epoch(number, value)
        if value < best:
            best, best_state = value, copy.deepcopy(model.state_dict())
            waited = stagnant = 0
        else:
            waited, stagnant = waited + 1, stagnant + 1
        if stagnant >= 8 and isinstance(model, Autoencoder):
            model.noise, model.dropout, stagnant = model.noise / 2, model.dropout / 2, 0
        if waited >= patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    return best


def train(
    data: Data, seed: int, epochs: tuple[int, int] = (300, 200), loss: str = "reference"
) -> list[tuple[float, str, float]]:
    """Train both stages to their early stops.

    Returns:
        (seconds since the start, stage, validation dex) of every epoch.
    """
    torch.manual_seed(seed)
    began, history = time.perf_counter(), []
    formula = {"reference": reference_loss, "dex": dex_loss}[loss]

    def log(stage: str) -> Callable[[int, float], None]:
        def on_epoch(number: int, value: float) -> None:
            history.append((time.perf_counter() - began, stage, value))

        return on_epoch

    autoencoder = Autoencoder(data.abundances.shape[-1])
    states = data.validation.flatten(0, 1)
    fit(
        autoencoder,
        lambda: (((x,), x) for x in autoencoder_batches(data, 4096)),
        lambda p, x: formula(p, x, data.matrix, 100.0),
        lambda: mean_dex(torch.no_grad()(autoencoder)(states), states),
        epochs[0],
        on_epoch=log("autoencoder"),
    )
    emulator = Emulator(autoencoder, data.parameters.shape[-1])
    set_latent_scales(emulator, data)
    fit(
        emulator,
        lambda: (((x, p), y) for x, p, y in emulator_batches(data, 64, 240)),
        lambda p, x: formula(p, x, data.matrix, 500.0),
        lambda: validation_dex(emulator, data),
        epochs[1],
        on_epoch=log("emulator"),
    )
    return history


@torch.no_grad()
def set_latent_scales(emulator: Emulator, data: Data) -> None:
    """Bring the latents to unit spread per dimension, by their percentiles."""
    rows = data.abundances.flatten(0, 1)
    sample = rows[torch.randperm(len(rows))[:65536]]
    latents = emulator.autoencoder.encode(sample)
    low, centre, high = torch.quantile(latents, torch.tensor([0.05, 0.5, 0.95]), dim=0)
    emulator.centre.copy_(centre)
    emulator.spread.copy_(((high - low) / 3.29).clamp_min(1e-6))


@torch.no_grad()
def validation_dex(emulator: Emulator, data: Data) -> float:
    """Mean dex of rollouts over all steps of the validation tracers."""
    errors = [
        mean_dex(emulator(x[:, 0], p), x[:, 1:])
        for x, p in zip(
            data.validation.split(64),
            data.validation_parameters.split(64),
            strict=True,
        )
    ]
    sizes = [len(x) for x in data.validation.split(64)]
    return float(np.average(errors, weights=sizes))
