"""The shock on 50 cells, with UCLCHEM where the surrogate is not trusted.

    astrokeras export ism --to c
    python examples/hydro/fallback.py exports/ism-c [steps] [calls]

A cell that the surrogate flags goes to the solver for this step, and comes back: its
`carried` numbers begin anew. Of all flagged cells of a step those with the largest
expected errors are solved first; when so many calls are spent, the others are frozen.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from astrokeras.config import compose_generation
from astrokeras.export.c_library import Library, compile_library
from astrokeras.solvers.process import SolverProcess
from astrokeras.solvers.solver import SolverError

folder = Path(sys.argv[1])
steps, calls = (int(word) for word in (*sys.argv[2:], "100", "300")[:2])
MASS, PARTICLES, GAMMA = 1.4 * 1.6735e-24, 0.6 * 1.380649e-16, 1.1
YEAR, PC, MAG = 3.15576e7, 3.0857e18, 5.348e-22
RADFIELD, OUTSIDE = 3.0, (1e20, 1e16, 1e12)  # columns of H nuclei, H2 and CO, cm^-2
LIMIT = 0.3  # dex; 8 is the bit of the expected error
ALL = ("Density", "Radfield", "Av", "gasTemp", "dustTemp", "zeta", "NH2", "NCO")

library = Library(folder / "surrogate.bin", compile_library(folder))
about = json.loads((folder / "about.json").read_text())
names = about["species"]
cells, dx = 50, 3 * PC / 50


def flux(u):
    """Return the HLL fluxes of nuclei, momentum and energy between cells, (3, C-1)."""
    n, v = u[0], u[1] / (MASS * u[0])
    p = (GAMMA - 1) * (u[2] - 0.5 * u[1] * v)
    c = np.sqrt(GAMMA * p / (MASS * n))
    f = np.stack([n * v, u[1] * v + p, (u[2] + p) * v])
    low = np.minimum(np.minimum((v - c)[:-1], (v - c)[1:]), 0)
    high = np.maximum(np.maximum((v + c)[:-1], (v + c)[1:]), 0)
    jump = u[:, 1:] - u[:, :-1]
    return (high * f[:, :-1] - low * f[:, 1:] + high * low * jump) / (high - low)


def find_parameters(n, temperature, x):
    """Return the parameters of the surrogate by name, (C,) each."""
    columns = []
    for outside, share in zip(
        OUTSIDE, (1.0, x[:, names.index("H2")], x[:, names.index("CO")]), strict=True
    ):
        inside = n * share * dx
        columns.append(outside + np.cumsum(inside) - 0.5 * inside)
    av = MAG * columns[0]
    shape = 11 + 5.7 * np.tanh(0.61 - np.log10(av))  # Hocuk et al. 2017, eq. 8
    dust = shape * (RADFIELD / 1.7) ** (1 / 5.9)
    one = np.ones(cells)
    values = (n, RADFIELD * one, av, temperature, dust, one, *columns[1:])
    return dict(zip(ALL, values, strict=True))


solver = SolverProcess(
    compose_generation(["dataset=ism", "solver.cpu_limit=20"]).solver
)
order = [solver.species.index(name) for name in names]
spent = {"flow": 0.0, "surrogate": 0.0, "solver": 0.0}
counts = {"reliable": 0, "solved": 0, "failed": 0, "frozen": 0, "returned": 0}
was_solved = np.zeros(cells, bool)
x = np.tile(np.asarray(solver.initial)[order], (cells, 1))
carried = np.zeros((cells, 4))


def solve(i, years):
    """Replace the abundances of cell i by the solver's; return whether it did."""
    physical = {name: np.array([value[i]]) for name, value in known.items()}
    initial = np.empty(len(order))
    initial[order] = x[i]
    try:
        solved = solver.solve(np.array([0.0, years]), physical, initial)
    except SolverError:
        return False
    x[i] = solved[-1][order]
    carried[i] = 0
    return True


def react(years):
    """Evolve all cells, by the surrogate or by the solver."""
    began = time.perf_counter()
    p = np.stack([known[name] for name in about["parameters"]], axis=-1)
    evolved, expected, status, after = library.step(
        x, p, np.full(cells, years), carried
    )
    spent["surrogate"] += time.perf_counter() - began
    flagged = (status & ~8 != 0) | ~(expected <= LIMIT)
    counts["reliable"] += np.sum(~flagged)
    counts["returned"] += np.sum(~flagged & was_solved)
    x[~flagged], carried[~flagged] = evolved[~flagged], after[~flagged]
    was_solved[:] = False
    began = time.perf_counter()
    rank = np.where(np.isnan(expected), np.inf, expected)
    for i in sorted(np.flatnonzero(flagged), key=lambda i: -rank[i]):
        if counts["solved"] + counts["failed"] >= calls:
            counts["frozen"] += 1
        else:
            was_solved[i] = solve(i, years)
            counts["solved" if was_solved[i] else "failed"] += 1
    spent["solver"] += time.perf_counter() - began


middle = (np.arange(cells) + 0.5) / cells
n = 100 + 450 * (1 + np.tanh((middle - 0.08) / 0.02))
pressure = PARTICLES * 100 * 150 * np.ones(cells)
mach, c = 4.0, np.sqrt(GAMMA * PARTICLES * 150 / MASS)
ratio = (GAMMA + 1) * mach**2 / ((GAMMA - 1) * mach**2 + 2)
v = mach * c * (1 - 1 / ratio)
behind = pressure[0] * (2 * GAMMA * mach**2 - GAMMA + 1) / (GAMMA + 1)
momentum = MASS * 100 * ratio * v
inflow = np.array([100 * ratio, momentum, behind / (GAMMA - 1) + 0.5 * momentum * v])
for k in range(10):  # the gas at rest
    known = find_parameters(n, pressure / (PARTICLES * n), x)
    react(1000.0 * 2**k)
u = np.stack([n, np.zeros(cells), pressure / (GAMMA - 1)])
dt = 0.8 * dx / (v + np.sqrt(GAMMA * behind / (MASS * 100 * ratio)))
for _ in range(steps):
    began = time.perf_counter()
    moved = flux(np.column_stack([inflow, u, u[:, -1]]))
    right = moved[0, 1:] >= 0  # the upwind cells, whose element totals are their own
    for what in (x, carried):
        ends = np.concatenate([what[:1], what, what[-1:]])
        face = np.where(np.append(True, right)[:, None], ends[:-1], ends[1:])
        passed = moved[0][:, None] * face
        after = u[0] - dt / dx * np.diff(moved[0])
        what[:] = u[0][:, None] * what - dt / dx * np.diff(passed, axis=0)
        what /= after[:, None]
    u -= dt / dx * np.diff(moved)
    n, v = u[0], u[1] / (MASS * u[0])
    temperature = (GAMMA - 1) * (u[2] - 0.5 * u[1] * v) / (PARTICLES * n)
    spent["flow"] += time.perf_counter() - began
    known = find_parameters(n, temperature, x)
    react(dt / YEAR)
solver.close()
total = cells * (steps + 10)
print(f"{cells} cells, {steps + 10} steps of {dt / YEAR:,.0f} yr: {total} cell steps")
print(", ".join(f"{name} {value}" for name, value in counts.items()))
print(", ".join(f"{name} {value:.1f} s" for name, value in spent.items()))
tried = max(counts["solved"] + counts["failed"], 1)
mean = spent["solver"] / tried
other = spent["surrogate"] + spent["solver"]
print(f"a call of the solver takes {mean:.2f} s; all would take {mean * total:.0f} s")
print(f"so the two together are {mean * total / other:.0f} times as fast")
