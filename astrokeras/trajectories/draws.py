"""Random numbers within limits, and random processes, for trajectories."""

import numpy as np


def draw(rng: np.random.Generator, limits: list[float]) -> float:
    """Return a log-uniform random number within limits."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def wander(rng: np.random.Generator, shape: tuple[int, int], keep: float) -> np.ndarray:
    """Return smooth Gaussian processes of mean 0 and variance 1, (n, T).

    The processes are critically damped and driven by noise. Their correlation over a
    step is (1 + x) e^-x with `keep` = e^(-x/2).
    """
    damped = keep**2
    noise = rng.normal(size=shape)
    values = noise * np.sqrt((1 - damped**2) ** 3 / (1 + damped**2))
    values[:, 0] = noise[:, 0]
    alike = 2 * damped / (1 + damped**2)  # Correlation of neighbouring steps.
    if shape[1] > 1:
        values[:, 1] = alike * noise[:, 0] + np.sqrt(1 - alike**2) * noise[:, 1]
    for step in range(2, shape[1]):
        before, earlier = values[:, step - 1], values[:, step - 2]
        values[:, step] += 2 * damped * before - damped**2 * earlier
    return values


def running_mean(values: np.ndarray, keep: float) -> np.ndarray:
    """Return exponential running means with the weight `keep` of the past, (n, T)."""
    means = values.copy()
    for step in range(1, values.shape[1]):
        means[:, step] = keep * means[:, step - 1] + (1 - keep) * values[:, step]
    return means
