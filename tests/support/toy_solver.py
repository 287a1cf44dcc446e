"""Solvers with known solutions; one can fail in the ways that real ones do."""

import os
import signal
import time
from typing import ClassVar

import numpy as np

from astrokeras.solvers.solver import Parameter, Solver, SolverError

RATE = 1e-4
FAILURES = dict(
    enumerate(("fails", "stalls", "crashes", "negative", "short", "stops"), start=1)
)
"""What a tracer does whose first temperature is 1000 + this; the last in interval 2."""


class Toy(Solver):
    """H becomes H2 at a rate of `RATE` * density * zeta a year; CO keeps."""

    species = ("H", "H2", "CO")
    initial = np.array([1.0, 0.0, 1e-4])
    shortest = 0.5

    def __init__(self, config):
        self.parameters = {
            "Density": Parameter("H nuclei cm^-3", 1e-2, 1e8),
            "gasTemp": Parameter("K", 2.0, 1e4),
            "dustTemp": Parameter("K", 2.0, 1e4, default="gasTemp"),
            "zeta": Parameter("1.3e-17 s^-1", 0.0, 100.0, default=1.0),
        }
        self.facts = dict.fromkeys(
            ("solver", "network", "tolerances", "constants"), "toy 1"
        )
        self.pause = config.options.get("pause", 0.0)

    def solve(self, time_, physical, initial):
        print("to nobody")
        os.write(1, b"to nobody either\n")
        time.sleep(self.pause)
        rate = RATE * physical["Density"] * physical["zeta"]
        grown = np.concatenate([[0.0], np.cumsum(rate * np.diff(time_))])
        if physical["gasTemp"][0] == 1000:
            grown = grown[:2]
        h = initial[0] * np.exp(-grown)
        states = np.stack(
            [h, initial[1] + (initial[0] - h) / 2, np.full_like(h, initial[2])], axis=1
        )
        self._fail(FAILURES.get(int(physical["gasTemp"][0]) - 1000), states)
        return states

    def _fail(self, kind, states):
        if kind == "fails":
            raise SolverError("the step size became too small")
        if kind in ("stalls", "stops"):
            self.states[:3] = states[:3]
            self.states[3, :2] = 0.5  # It is being written.
        if kind == "stops":
            raise SolverError("no step is small enough")
        while kind == "stalls":
            pass
        if kind == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "negative":
            states[1:, 1] = -1.0
        if kind == "short":
            raise ValueError("three values where five are")


class Broken(Toy):
    """Does not say what its network is."""

    def __init__(self, config):
        super().__init__(config)
        del self.facts["network"]


class Charged(Toy):
    """Ions and electrons, to which nothing happens."""

    species = ("H", "C+", "H3+", "E-")
    initial = np.array([0.5, 1e-4, 0.0, 1e-4])

    def solve(self, time_, physical, initial):
        return np.tile(initial, (len(time_), 1))


class Clouds(Solver):
    """Pairs of species, each turned into the other at a rate of its own.

    Every parameter matters to some rate, and no two of them in the same way.
    """

    species = ("H", "H2", "C", "C+", "CO", "OH", "H2O", "#H2O")
    initial = np.array([0.6, 0.3, 5e-5, 5e-5, 4e-5, 6e-5, 1e-4, 1e-4])
    year = 3.15576e7
    parameters: ClassVar = {
        "Density": Parameter("H nuclei cm^-3", 1e-2, 1e12),
        "Radfield": Parameter("Habing", 0.0, 1e7),
        "Av": Parameter("mag", 0.0, 1e5),
        "gasTemp": Parameter("K", 2.73, 1e4),
        "dustTemp": Parameter("K", 2.73, 1e4, default="gasTemp"),
        "zeta": Parameter("1.3e-17 s^-1", 0.0, 1e6, default=1.0),
    }

    def __init__(self, config):
        self.facts = dict.fromkeys(
            ("solver", "network", "tolerances", "constants"), "clouds 1"
        )

    def solve(self, time, physical, initial):
        states = np.tile(initial, (len(time), 1))
        there, back = self._rates(physical)
        seconds = self.year * np.diff(time)
        for i, step in enumerate(seconds):
            first, second = states[i, ::2], states[i, 1::2]
            both = there[i] + back[i]
            end = (first + second) * back[i] / both
            states[i + 1, ::2] = end + (first - end) * np.exp(-both * step)
            states[i + 1, 1::2] = first + second - states[i + 1, ::2]
        return states

    def _rates(self, p):
        """Return the rates from the first of each pair to the second, and back."""
        n, gas, zeta = p["Density"] / 3e4, p["gasTemp"] / 20, p["zeta"]
        there = (n * gas**0.5, p["Radfield"] / 20 * np.exp(-3 * p["Av"] + 3), zeta, n)
        back = (
            zeta,
            n,
            p["Radfield"] / 20 * np.exp(1 - p["Av"]),
            np.exp(10 - 200 / p["dustTemp"]),
        )
        return 1e-10 * np.transpose(there), 1e-10 * np.transpose(back)
