"""A toy grid code that evolves its cells by ONNX: NumPy and onnxruntime, nothing else.

    astrokeras export grav --to onnx && python examples/onnx_grid.py exports/grav-onnx

A row of cells collapses; gas is advected from each to the next. `step.onnx` takes the
abundances after advection, so element totals are those that the mixing left. It tells
of each cell whether it may be believed: a code with a solver hands the others to it.
examples/fortran does the same in Fortran.
"""

import json
import sys
import time

import numpy as np
import onnxruntime

folder = sys.argv[1] if len(sys.argv) > 1 else "exports/grav-onnx"
with open(f"{folder}/about.json") as file:
    about = json.load(file)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
chemistry = onnxruntime.InferenceSession(f"{folder}/step.onnx", options)
cells, steps, years = 1000, 100, np.full(1000, 200.0, "f4")
species = {name: i for i, name in enumerate(about["species"])}
x = np.tile(np.array(about["start"], "f4"), (cells, 1))
carried = np.zeros((cells, 4), "f4")  # what expected errors need of earlier steps
outputs = ["evolved", "expected_error", "status", "carried_on"]
spent, unreliable = 0.0, 0
for step in range(steps):
    density = np.geomspace(1e5, 1e7, cells) * 1.01**step
    gas = {
        "Density": density,
        "Radfield": np.full(cells, 0.02),
        "Av": 10 * (density / 1e5) ** 0.6,
        "gasTemp": np.full(cells, 15.0),
    }
    p = np.stack([gas[name] for name in about["parameters"]], 1).astype("f4")
    inputs = {"abundances": x, "physical": p, "years": years, "carried": carried}
    began = time.perf_counter()
    x, expected, status, carried = chemistry.run(outputs, inputs)
    spent += time.perf_counter() - began
    unreliable += int((status != 0).sum())
    x = 0.99 * x + 0.01 * np.roll(x, 1, axis=0)  # advection, as crude as can be
for name in ("CO", "#CO", "#H2O"):
    print(f"{name:5}", " ".join(f"{value:.3e}" for value in x[::200, species[name]]))
print(f"{unreliable} of {steps * cells} states are not reliable")
print(f"{spent / steps / cells * 1e6:.1f} microseconds a cell and step")
