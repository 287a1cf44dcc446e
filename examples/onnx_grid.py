"""A toy grid code that evolves its cells by ONNX: NumPy and onnxruntime, nothing else.

    astrokeras export grav --to onnx && python examples/onnx_grid.py exports/grav-onnx

A row of cells collapses; gas is advected from each to the next. `step.onnx` takes the
abundances after advection, so element totals are those that the mixing left.
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
# The graph checks nothing, so the code does: intervals here, parameters below.
shortest, longest = about["dt_range"]
if not shortest <= years.min() <= years.max() <= longest:
    sys.exit(f"Intervals are from {shortest:.3e} to {longest:.3e} yr.")
low, high = np.array(
    [about["parameter_ranges"][name] for name in about["parameters"]], "f4"
).T
spent, outside = 0.0, 0
for step in range(steps):
    density = np.geomspace(1e5, 1e7, cells) * 1.01**step
    gas = {
        "Density": density,
        "Radfield": np.full(cells, 0.02),
        "Av": 10 * (density / 1e5) ** 0.6,
        "gasTemp": np.full(cells, 15.0),
    }
    p = np.stack([gas[name] for name in about["parameters"]], 1).astype("f4")
    outside += int(((p < low) | (p > high)).any(1).sum())
    began = time.perf_counter()
    (x,) = chemistry.run(None, {"abundances": x, "physical": p, "years": years})
    spent += time.perf_counter() - began
    x = 0.99 * x + 0.01 * np.roll(x, 1, axis=0)  # advection, as crude as can be
for name in ("CO", "#CO", "#H2O"):
    print(f"{name:5}", " ".join(f"{value:.3e}" for value in x[::200, species[name]]))
print(f"{outside} of {steps * cells} states were outside the box")
print(f"{spent / steps / cells * 1e6:.1f} microseconds a cell and step")
