"""A solver with a known solution that can also fail in the ways that real ones do."""

import os
import signal
import time

import numpy as np

from astrokeras.solvers.solver import Parameter, Solver, SolverError

RATE = 1e-4
FAILURES = {1: "fails", 2: "hangs", 3: "crashes", 4: "negative", 5: "short"}
"""What a tracer does whose first temperature is 1000 + this."""


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
        self._fail(int(physical["gasTemp"][0]) - 1000)
        rate = RATE * physical["Density"] * physical["zeta"]
        grown = np.concatenate([[0.0], np.cumsum(rate * np.diff(time_))])
        h = initial[0] * np.exp(-grown)
        return np.stack(
            [h, initial[1] + (initial[0] - h) / 2, np.full_like(h, initial[2])], axis=1
        )

    def _fail(self, number):
        kind = FAILURES.get(number)
        if kind == "fails":
            raise SolverError("the step size became too small")
        if kind == "hangs":
            time.sleep(1000)
        if kind == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "short":
            raise ValueError("three values where five are")
