"""What trajectories draw: numbers within limits, and processes in time."""

import numpy as np


def draw(rng: np.random.Generator, limits: list[float]) -> float:
    """Draw a number between two others, evenly in the logarithm."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def wander(rng: np.random.Generator, shape: tuple[int, int], keep: float) -> np.ndarray:
    """Return smooth Gaussian processes of mean 0 and variance 1, (n, T).

    Critically damped and driven by noise: the correlation is (1 + x) e^-x, where
    `keep` is e^(-x/2) of a step, and its integral the time in which that falls by e.
    """
    damped = keep**2
    noise = rng.normal(size=shape)
    values = noise * np.sqrt((1 - damped**2) ** 3 / (1 + damped**2))
    values[:, 0] = noise[:, 0]
    alike = 2 * damped / (1 + damped**2)  # of neighbours
    if shape[1] > 1:
        values[:, 1] = alike * noise[:, 0] + np.sqrt(1 - alike**2) * noise[:, 1]
    for step in range(2, shape[1]):
        before, earlier = values[:, step - 1], values[:, step - 2]
        values[:, step] += 2 * damped * before - damped**2 * earlier
    return values


def running_mean(values: np.ndarray, keep: float) -> np.ndarray:
    """Return means that forget all but `keep` of the past in each step, (n, T)."""
    means = values.copy()
    for step in range(1, values.shape[1]):
        means[:, step] = keep * means[:, step - 1] + (1 - keep) * values[:, step]
    return means
