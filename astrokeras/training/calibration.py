"""Calibration of error bars and expected errors on held-out simulations."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from astrokeras.config import Config
from astrokeras.data.tracers.file_format import NO_SIMULATION
from astrokeras.data.tracers.reader import Tracers, TracerStore
from astrokeras.data.tracers.split import calibration_rows
from astrokeras.layers.nearest import spread_out
from astrokeras.layers.trust_model import KNOTS, Trust
from astrokeras.models.metadata import COVERAGE
from astrokeras.models.trust_assessment import reconstruction_error, scale_parameters
from astrokeras.prediction.tracer_rollout import batch_size, complete, log10
from astrokeras.system.progress import report

TRACERS = 256  # largest number of calibration tracers, divided among simulations
PLACED = 2048  # largest number of training tracers that define the training region
DRAWN = 20_000  # training states from which the reference states are chosen
BATCH = 64
WAVES = 128  # random features of the expected error
RIDGE = 100.0  # ridge penalty on standardised features, in numbers of states
FOLDS = 16  # largest number of folds of the simulations
# Ends of the classes whose mean errors correct the expected error, in quantiles.
CLASSES = (0, 0.01, 0.03, *np.linspace(0.07, 0.93, 11).tolist(), 0.97, 0.99, 1)
LEVELS = np.linspace(0.8, 0.995, 40)
EVERY = 3  # stride in states for quantiles, as neighbours in time are correlated
LEAST_ERROR = 1e-3  # lower limit of the error, dex
# Lower limit of the half-width in expected errors, for species always at the floor.
LEAST_WIDTH = 0.01
# States are reliable up to this quantile of the distances of good calibration states.
QUANTILE = 0.965
# Largest reconstruction error of an input, in 99th percentiles of that of true states.
RECONSTRUCTION = 2.0


@dataclass
class Calibration:
    """Results of rollouts of the calibration simulations, for states 1 to T.

    Attributes:
        features: Features from which the error is predicted, (n, F).
        errors: |log10 p - log10 x| of each species, dex, (n, S).
        distances: Largest distance so far from the training states, in parameters
            alone and in parameters and latents, (n, 2).
        restored: Reconstruction error of the true states, dex, (n,).
        group: Simulation of each state, (n,).
    """

    features: np.ndarray
    errors: np.ndarray
    distances: np.ndarray
    restored: np.ndarray
    group: np.ndarray


def calibrate(surrogate: Any, source: Path, config: Config) -> Any:
    """Fit the error bars and expected errors of a surrogate.

    Args:
        surrogate: A trained `Surrogate`.
        source: The tracer file of the training.
        config: The configuration of the training.

    Returns:
        The surrogate with its `Trust`; `None` if no simulations are held out.
    """
    with TracerStore(source) as store:
        rows = calibration_rows(store, config.calibration)
        if not len(rows):
            report(
                "No simulations for calibration: the surrogate has no error bars and "
                "no expected errors."
            )
            return None
        trust = Trust(
            surrogate.emulator.latents,
            len(surrogate.parameter_names),
            len(surrogate.species),
            len(surrogate.elements),
            reliability_threshold=config.reliability_threshold,
            random_features=WAVES,
            name="trust",
        )
        _place(trust, surrogate, store)
        calibrated = surrogate.replace(trust=trust)
        rollouts = _roll(calibrated, store, _thin(rows, store, TRACERS))
    _fit(trust, rollouts)
    return calibrated


def _thin(rows: np.ndarray, store: TracerStore, most: int) -> np.ndarray:
    """Return at most `most` of the rows, divided evenly among simulations."""
    groups = _groups(store, rows)
    random = np.random.default_rng(0)
    # The first of each simulation, then the second of each ...
    turn = np.zeros(len(rows))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        turn[members] = random.permutation(len(members)) + random.random()
    return np.sort(rows[np.argsort(turn)[:most]])


def _groups(store: TracerStore, rows: np.ndarray) -> np.ndarray:
    """Return the simulation of each row, or its tracer if simulations are unknown."""
    groups = store.simulation[rows]
    return store.tracer[rows] if (groups == NO_SIMULATION).any() else groups


def _place(trust: Trust, surrogate: Any, store: TracerStore) -> None:
    """Set the scales of training states, and choose reference states among them."""
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
        # All latents together count as much as a single parameter.
        latent_scale=np.maximum(z.std(0), 1e-6) * np.sqrt(z.shape[1]),
        centre=p.mean(0),
        whitening=vector / np.sqrt(np.maximum(value, 1e-6)) / 2,
        totals=np.stack([logs.min(0), logs.max(0)]),
    )
    drawn = np.random.default_rng(0).permutation(len(z))[:DRAWN]
    drawn_states = z[drawn], p[drawn].astype("f4")
    positions = ops.convert_to_numpy(trust.positions(*drawn_states))
    settings = positions[:, trust.latents :]
    trust.assign(
        states=positions[spread_out(positions, trust.references)],
        settings=settings[spread_out(settings, trust.references)],
    )


def _roll(surrogate: Any, store: TracerStore, rows: np.ndarray) -> Calibration:
    """Roll out the calibration tracers and return the results."""
    size = batch_size(BATCH, len(rows), store.states, len(store.species))
    parts = []
    for block in store.blocks(rows, size, check=False):
        valid = np.arange(1, store.states) < block.length[:, None]
        values = _roll_block(surrogate, block)
        group = np.broadcast_to(_groups(store, block.rows)[:, None], valid.shape)
        parts.append([array[valid] for array in (*values, group)])
    return Calibration(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _roll_block(surrogate: Any, block: Tracers) -> tuple[np.ndarray, ...]:
    """Return the first four arrays of `Calibration` for a block, each (n, T, ...)."""
    physical, time = complete(block)
    years = np.diff(time).astype("float32")
    initial = np.maximum(block.abundances[:, 0], surrogate.floor)
    predicted, _, features, far = surrogate.functions.rollout(
        initial,
        physical,
        years,
        None,
        None,
        surrogate.conserve,
        ("features", "far"),
    )
    truth = np.nan_to_num(block.abundances[:, 1:], nan=1.0)
    errors = np.abs(log10(predicted) - log10(truth)).astype("f4")
    truth = np.maximum(truth, surrogate.floor)
    restored = reconstruction_error(surrogate, truth)
    return features, errors, far, restored


def _fit(trust: Trust, rollouts: Calibration) -> None:
    """Fit the expected error, the half-widths of intervals and the largest distances.

    The intervals are conformal (Vovk et al. 2005) by simulation: intervals fitted to
    the simulations outside a fold cover the fraction `COVERAGE` of the errors in each
    simulation of the fold, on average. Each species has a multiple of the expected
    error of its own.
    """
    _draw_waves(trust, rollouts.features)
    features = rollouts.features.astype("f4")
    design = np.asarray(ops.convert_to_numpy(trust.with_waves(features)))
    error = np.maximum(rollouts.errors.mean(-1), LEAST_ERROR)
    logs = np.log(error)
    groups, group = np.unique(rollouts.group, return_inverse=True)
    folds = [group % FOLDS == k for k in range(min(FOLDS, len(groups)))]
    rests = [~held if len(folds) > 1 else held for held in folds]
    fits = [_ridge(design[rest], logs[rest]) for rest in rests]

    # The correction is that of predictions for simulations that were not fitted.
    predicted = np.empty(len(logs))
    for held, coefficients in zip(folds, fits, strict=True):
        predicted[held] = design[held] @ coefficients
    coefficients = _ridge(design, logs)
    knots = _correction(predicted, error)
    trust.assign(
        coefficients=coefficients, knots=knots, error_range=np.exp(knots[1, [0, -1]])
    )

    covered = []
    for held, rest, without in zip(folds, rests, fits, strict=True):
        scores = _scores(rollouts.errors, design @ without, knots)
        widths = np.quantile(scores[rest][::EVERY], LEVELS, axis=0)
        for one in np.unique(group[held]):
            there = scores[group == one]
            covered.append([(there <= width).mean() for width in widths])
    level = np.interp(COVERAGE, np.mean(covered, axis=0), LEVELS)
    scores = _scores(rollouts.errors, design @ coefficients, knots)
    good = error < np.median(error)
    trust.assign(
        half_width=np.maximum(np.quantile(scores[::EVERY], level, axis=0), LEAST_WIDTH),
        constant_width=np.quantile(rollouts.errors[::EVERY], COVERAGE, axis=0),
        largest=[
            *np.quantile(rollouts.distances[good], QUANTILE, axis=0),
            RECONSTRUCTION * np.quantile(rollouts.restored, 0.99),
        ],
    )
    report(
        f"Calibrated on {len(groups)} simulations: error bars at the {level:.1%} "
        f"quantile of the others cover {COVERAGE:.0%} of a simulation left out."
    )


def _draw_waves(trust: Trust, features: np.ndarray) -> None:
    """Draw random waves of standardised features (Rahimi & Recht 2007)."""
    random = np.random.default_rng(0)
    spread = features.std(0)
    moves = spread >= 1e-6
    normal = random.normal(size=trust.numbers["frequencies"].shape)
    frequencies = normal * moves[:, None] / np.where(moves, spread, 1.0)[:, None]
    frequencies /= np.sqrt(moves.sum())
    phases = random.uniform(0, 2 * np.pi, normal.shape[1])
    phases -= features.mean(0) @ frequencies
    trust.assign(frequencies=frequencies, phases=phases % (2 * np.pi))


def _correction(predicted: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return logarithms of mean errors over predicted ones, ascending, (2, KNOTS).

    Isotonic regression of the error on its prediction (Barlow et al. 1972), at the
    means of classes that are narrower at both ends.

    Args:
        predicted: Predicted logarithm of the error of each state, (n,).
        error: The error itself, (n,).
    """
    order = np.argsort(predicted)
    ends = np.round(np.asarray(CLASSES) * len(order)).astype(int)
    parts = [order[a:b] for a, b in pairwise(ends) if b > a]
    places = [predicted[part].mean() for part in parts]
    # Classes whose means fall are joined: [mean, states, classes].
    joined: list[list[float]] = []
    for part in parts:
        joined.append([error[part].mean(), len(part), 1])
        while len(joined) > 1 and joined[-2][0] >= joined[-1][0]:
            (one, m, i), (two, n, j) = joined[-2:]
            joined[-2:] = [[(one * m + two * n) / (m + n), m + n, i + j]]
    values = np.repeat(
        np.log([mean for mean, *_ in joined]), [int(count) for *_, count in joined]
    )
    # Few states have fewer classes, the last of which is repeated.
    rows = np.minimum(np.arange(KNOTS), len(parts) - 1)
    return np.stack([np.asarray(places)[rows], values[rows]])


def _scores(errors: np.ndarray, predicted: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return errors as multiples of the expected error, (n, S)."""
    expected = np.exp(np.interp(predicted, *knots))
    return errors / expected[:, None].astype("f4")


def _ridge(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the coefficients of a ridge regression, (F,) float64.

    Args:
        features: The features, the first of which is 1, (n, F).
        target: The values to predict, (n,).
    """
    scale = np.maximum(features.std(0), 1e-6)
    scale[0] = 1.0
    design = (features / scale).astype("f8")
    # A constant feature is absorbed by the first one.
    design[:, features.std(0) < 1e-6] = 0.0
    design[:, 0] = 1.0
    normal = design.T @ design + RIDGE * np.eye(design.shape[1])
    normal[0, 0] -= RIDGE
    return np.linalg.solve(normal, design.T @ target) / scale
