"""Error bars and trust, fitted to simulations that are used for nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astrokeras.config import Config
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.split import calibration_rows
from astrokeras.layers.trust_model import Trust, spread_out
from astrokeras.models.metadata import COVERAGE
from astrokeras.models.trust_assessment import reconstruction_error, scale_parameters
from astrokeras.prediction.tracer_rollout import batch_size, complete, log10
from astrokeras.system.progress import report

TRACERS = 256  # for calibration that are looked at, evenly among simulations
PLACED = 2048  # the same of training: what is left out looks far from them all
DRAWN = 20_000  # training states that references are chosen from
BATCH = 64
RIDGE = 30.0  # in states, on standardised features
LEVELS = np.linspace(0.8, 0.995, 40)
EVERY = 3  # neighbours in time are alike: so many states apart will do
LEAST_ERROR = 1e-3  # dex
# Of an interval, in expected errors: species that are always at the floor have none.
LEAST_WIDTH = 0.01
# Distances up to this quantile of good calibration states are trusted.
QUANTILE = 0.965
# An input may be reconstructed so many times worse than all but 1 % of true states.
RECONSTRUCTION = 2.0


@dataclass
class Calibration:
    """Rollouts of the calibration simulations, of states 1 to T.

    Attributes:
        features: Of the expected error, (n, F).
        errors: |log10 p - log10 x| of each species, dex, (n, S).
        distances: Largest so far by parameters, by all, (n, 2).
        restored: Reconstruction error of the true states, dex, (n,).
        group: Simulation of each state, (n,).
    """

    features: np.ndarray
    errors: np.ndarray
    distances: np.ndarray
    restored: np.ndarray
    group: np.ndarray


def calibrate(surrogate: Any, source: Path, config: Config) -> Any:
    """Fit a surrogate's error bars and trust.

    Args:
        surrogate: A trained `Surrogate`.
        source: The tracer file that it was trained on.
        config: What it was trained with.

    Returns:
        The surrogate with its `Trust`, `None` if there are no simulations to fit it to.
    """
    with TracerStore(source) as store:
        rows = calibration_rows(store, config.calibration)
        if not len(rows):
            report("No simulations for calibration: no error bars, no trust scores.")
            return None
        trust = Trust(
            surrogate.emulator.latents,
            len(surrogate.parameter_names),
            len(surrogate.species),
            len(surrogate.elements),
            reliability_threshold=config.reliability_threshold,
            name="trust",
        )
        _place(trust, surrogate, store)
        calibrated = surrogate.replace(trust=trust)
        found = _roll(calibrated, store, _thin(rows, store, TRACERS))
    _fit(trust, found)
    return calibrated


def _thin(rows: np.ndarray, store: TracerStore, most: int) -> np.ndarray:
    """Return so many rows at most, shared evenly among simulations."""
    groups = _groups(store, rows)
    random = np.random.default_rng(0)
    # The first of each simulation, then the second of each ...
    turn = np.zeros(len(rows))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        turn[members] = random.permutation(len(members)) + random.random()
    return np.sort(rows[np.argsort(turn)[:most]])


def _groups(store: TracerStore, rows: np.ndarray) -> np.ndarray:
    groups = store.simulation[rows]
    return store.tracer[rows] if (groups == NO_SIMULATION).any() else groups


def _place(trust: Trust, surrogate: Any, store: TracerStore) -> None:
    """Set where training states lie, and which of them are references."""
    latents, scaled, totals = [], [], []
    rows = _thin(store.rows("train"), store, PLACED)
    for block in store.blocks(rows, BATCH, check=False):
        physical, _ = complete(block)
        valid = np.arange(1, block.time.shape[1]) < block.length[:, None]
        latents.append(surrogate.encode(block.abundances[:, 1:][valid]))
        scaled.append(scale_parameters(surrogate, physical)[valid])
        totals.append(block.abundances[:, 0].astype("f8") @ surrogate.stoichiometry)
    z, p = np.concatenate(latents), np.concatenate(scaled)
    logs = np.log10(np.maximum(np.concatenate(totals), 1e-30))
    value, vector = np.linalg.eigh(np.cov(p.T).reshape(p.shape[1], -1))
    trust.assign(
        latent_offset=z.mean(0),
        # The mean square of the latents counts as much as one parameter.
        latent_scale=np.maximum(z.std(0), 1e-6) * np.sqrt(z.shape[1]),
        centre=p.mean(0),
        whitening=vector / np.sqrt(np.maximum(value, 1e-6)) / 2,
        totals=np.stack([logs.min(0), logs.max(0)]),
    )
    drawn = np.random.default_rng(0).permutation(len(z))[:DRAWN]
    positions = trust.positions(z[drawn], p[drawn])
    settings = positions[:, trust.latents :]
    trust.assign(
        states=positions[spread_out(positions, trust.references)],
        settings=settings[spread_out(settings, trust.references)],
    )


def _roll(surrogate: Any, store: TracerStore, rows: np.ndarray) -> Calibration:
    """Roll out the calibration tracers."""
    size = batch_size(BATCH, len(rows), store.states, len(store.species))
    parts = []
    for block in store.blocks(rows, size, check=False):
        valid = np.arange(1, store.states) < block.length[:, None]
        values = _roll_block(surrogate, block, size)
        group = np.broadcast_to(_groups(store, block.rows)[:, None], valid.shape)
        parts.append([one[valid] for one in (*values, group)])
    return Calibration(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _roll_block(surrogate: Any, block: Tracers, size: int) -> tuple[np.ndarray, ...]:
    physical, time = complete(block)
    rows = np.minimum(np.arange(size), len(block) - 1)
    years = np.diff(time).astype("float32")
    initial = np.maximum(block.abundances[:, 0], surrogate.floor)
    predicted, latents, spread, _ = (
        one[: len(block)]
        for one in surrogate.functions.rollout(
            initial[rows],
            physical[rows],
            years[rows],
            None,
            None,
            surrogate.conserve,
            for_trust=True,
        )
    )
    scaled = scale_parameters(surrogate, physical)
    positions = surrogate.trust.positions(latents, scaled)
    elapsed = np.cumsum(years, axis=1)
    features, *far = surrogate.trust.features(positions, elapsed, spread)
    truth = np.nan_to_num(block.abundances[:, 1:], nan=1.0)
    errors = np.abs(log10(predicted) - log10(truth)).astype("f4")
    truth = np.maximum(truth, surrogate.floor)
    restored = reconstruction_error(surrogate, truth)
    return features, errors, np.stack(far, axis=-1), restored


def _fit(trust: Trust, found: Calibration) -> None:
    """Fit the expected error, the half-widths of intervals and what is still trusted.

    The intervals are conformal (Vovk et al. 2005) by simulation: what is fitted to all
    simulations but one covers `COVERAGE` of that one, on average over which one. Each
    species has its own multiple of the expected error.
    """
    error = np.maximum(found.errors.mean(-1), LEAST_ERROR)
    logs = np.log(error)
    coefficients = _ridge(found.features, logs)
    groups = np.unique(found.group)
    covered = np.zeros(len(LEVELS))
    for group in groups:
        held = found.group == group
        rest = ~held if len(groups) > 1 else held
        without = _ridge(found.features[rest], logs[rest])
        scores = _scores(found, without)
        widths = np.quantile(scores[rest][::EVERY], LEVELS, axis=0)
        covered += [(scores[held] <= width).mean() for width in widths]
    level = np.interp(COVERAGE, covered / len(groups), LEVELS)
    scores = _scores(found, coefficients)
    good = error < np.median(error)
    trust.assign(
        coefficients=coefficients,
        error_range=[error.min(), error.max()],
        half_width=np.maximum(np.quantile(scores[::EVERY], level, axis=0), LEAST_WIDTH),
        constant_width=np.quantile(found.errors[::EVERY], COVERAGE, axis=0),
        largest=[
            *np.quantile(found.distances[good], QUANTILE, axis=0),
            RECONSTRUCTION * np.quantile(found.restored, 0.99),
        ],
    )
    report(
        f"Calibrated on {len(groups)} simulations: error bars cover {COVERAGE:.0%} of "
        f"one left out at the {level:.1%} quantile of the others."
    )


def _scores(found: Calibration, coefficients: np.ndarray) -> np.ndarray:
    """Return errors as multiples of what was expected, (n, S)."""
    expected = np.exp(found.features @ coefficients)
    return found.errors / expected[:, None].astype("f4")


def _ridge(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return coefficients of features whose first is 1, (F,) float64."""
    scale = np.maximum(features.std(0), 1e-6)
    scale[0] = 1.0
    design = (features / scale).astype("f8")
    # A feature that never moves is left to the constant.
    design[:, features.std(0) < 1e-6] = 0.0
    design[:, 0] = 1.0
    normal = design.T @ design + RIDGE * np.eye(design.shape[1])
    normal[0, 0] -= RIDGE
    return np.linalg.solve(normal, design.T @ wanted) / scale
