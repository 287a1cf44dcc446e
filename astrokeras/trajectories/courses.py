"""Courses of exploring tracks: what drives the gas of each family, over its time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from astrokeras.trajectories.collapse import contraction, time_at
from astrokeras.trajectories.draws import draw, wander

COLLAPSED = 1e7
"""Density above which a star may heat the gas that collapses, H nuclei cm^-3."""
FAINT = [5.0, 20.0]
"""Range of the temperature to which distant stars alone heat the dust of a track, K."""
Generator: TypeAlias = np.random.Generator


@dataclass
class Course:
    """What happens to gas over the intervals of a track, arrays (T,).

    Attributes:
        density: H nuclei cm^-3.
        av: Factor of the extinction beside what follows from density.
        radfield: Factor of the UV field.
        zeta: Factor of the cosmic-ray ionisation rate.
        star: Temperature to which a star alone would heat the dust, K.
        hot: Temperature of shocked gas, K; 0 elsewhere.
    """

    density: np.ndarray
    av: np.ndarray
    radfield: np.ndarray
    zeta: np.ndarray
    star: np.ndarray
    hot: np.ndarray


def _rest(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas to which nothing happens, of a density within limits."""
    one = np.ones(len(times))
    density, faint = draw(rng, limits), draw(rng, FAINT)
    return Course(density * one, one, one, one, faint * one, 0.0 * one)


def _sway(rng: Generator, course: Course, size: float) -> Course:
    """Let all that drives the gas wander, by up to `size` dex in density."""
    count = len(course.density)
    # Correlation times from two hundredths of the track to all of it.
    keep = np.exp(-0.5 / (count * 10 ** rng.uniform(-1.7, 0.0, 4)))
    most = size * rng.random(4) * [1.0, 0.3, 0.6, 0.4]
    waves = [wander(rng, (1, count), float(one))[0] for one in keep]
    factors = [10 ** (a * wave) for a, wave in zip(most, waves, strict=True)]
    course.density = course.density * factors[0]
    course.av = course.av * factors[1]
    course.radfield = course.radfield * factors[2]
    course.zeta = course.zeta * factors[3]
    return course


def _sway_a_little(rng: Generator, course: Course) -> Course:
    """Let it wander in three tracks of five."""
    size = rng.uniform(0.05, 0.4)
    return _sway(rng, course, size) if rng.random() < 0.6 else course


def _within(limits: list[float], low: float, high: float) -> list[float]:
    """Return the part of a range within limits, or the limits if there is none."""
    low, high = max(low, limits[0]), min(high, limits[1])
    return [low, high] if low < high else limits


def walk(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas whose surroundings change at random."""
    course = _rest(rng, times, _within(limits, 30.0, 1e8))
    if rng.random() < 0.4:
        wave = wander(rng, (1, len(times)), 0.9)[0]
        course.star = draw(rng, [20.0, 150.0]) * 10 ** (0.1 * wave)
    course = _sway(rng, course, 1.3)
    return _shocked(rng, times, course) if rng.random() < 0.1 else course


def collapse(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas in free fall, from 50 to 1e5 cm^-3 on by 1 to 5 dex."""
    course = _rest(rng, times, _within(limits, 50.0, 1e5))
    most = np.log10(limits[1] / course.density[0])
    rise = min(rng.uniform(1.0, 5.0), max(most, 0.1))
    course.density = course.density * contraction(times * time_at(10**rise)) ** -3
    heated, hottest = rng.random() < 0.4, draw(rng, [20.0, 300.0])
    if heated:
        shines = np.clip(np.log10(course.density / COLLAPSED) / 2, 0, 1)
        course.star = np.maximum(course.star, hottest * shines)
    course = _sway_a_little(rng, course)
    return _shocked(rng, times, course) if rng.random() < 0.1 else course


def warmup(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return dense gas that a star heats to 20 to 300 K."""
    course = _rest(rng, times, _within(limits, 1e4, 1e8))
    begins, power = rng.uniform(0, 0.6), rng.choice([0.5, 1.0, 2.0, 3.0])
    ramp = np.clip((times - begins) / (1 - begins), 0, 1) ** power
    fades, fall = rng.random() < 0.3, rng.uniform(0.1, 0.5)
    if fades:
        ramp = ramp * np.clip((1 - times) / fall, 0, 1)
    course.star = np.maximum(course.star, draw(rng, [20.0, 300.0]) * ramp)
    return _sway_a_little(rng, course)


def shock(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas that one to three shocks run through."""
    course = _sway_a_little(rng, _rest(rng, times, _within(limits, 30.0, 1e7)))
    return _shocked(rng, times, course)


def static(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas to which nothing happens; in a quarter of the tracks a star shines."""
    course = _rest(rng, times, limits)
    if rng.random() < 0.25:
        course.star = course.star + draw(rng, [20.0, 300.0])
    return course


def irradiation(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas that comes into light, or in a third of the tracks out of it."""
    course = _rest(rng, times, _within(limits, 30.0, 1e7))
    at, width = rng.uniform(0.1, 0.9), draw(rng, [0.01, 0.3])
    turn = 0.5 * (1 + np.tanh((times - at) / width))
    if rng.random() < 1 / 3:
        turn = 1 - turn
    course.radfield = 10 ** (rng.uniform(0, 2.5) * turn)
    course.av = 10 ** (-rng.uniform(0, 1.3) * turn)
    return _sway_a_little(rng, course)


def expansion(rng: Generator, times: np.ndarray, limits: list[float]) -> Course:
    """Return gas that disperses, by 0.5 to 4 dex."""
    course = _rest(rng, times, _within(limits, 3e4, 1e8))
    speed = 10 ** (rng.uniform(0.5, 4.0) / 3) - 1
    course.density = course.density * (1 + speed * times) ** -3
    return _sway_a_little(rng, course)


def _shocked(rng: Generator, times: np.ndarray, course: Course) -> Course:
    """Let shocks heat the gas to 50 to 2000 K, and compress it as it cools."""
    for _ in range(rng.integers(1, 4)):
        at, cooling = rng.uniform(0, times[-1]), draw(rng, [0.005, 0.2])
        since = np.maximum(times - at, 0.0)
        left = np.where(times >= at, np.exp(-since / cooling), 0.0)
        peak, squeeze = draw(rng, [50.0, 2000.0]), draw(rng, [1.5, 100.0])
        stays = rng.random()  # Share of the compression that lasts.
        pressed = np.where(times >= at, 1 - left, 0.0)
        relaxed = np.exp(-since / (5 * cooling))
        pressed = pressed * (stays + (1 - stays) * relaxed)
        course.density = course.density * squeeze**pressed
        hot = np.where(left > 0, 10.0 * (peak / 10.0) ** left, 0.0)
        course.hot = np.maximum(course.hot, hot)
    return course


COURSES: dict[str, Callable[[Generator, np.ndarray, list[float]], Course]] = {
    one.__name__: one
    for one in (*(walk, collapse, warmup, shock, static, irradiation, expansion),)
}
"""Functions of a random generator, times from 0 to 1 and limits of density."""
