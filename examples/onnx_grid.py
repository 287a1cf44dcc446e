"""A toy grid code that evolves its cells by ONNX: NumPy and onnxruntime, nothing else.

    astrokeras export grav --to onnx && python examples/onnx_grid.py exports/grav-onnx

A row of cells collapses; gas is advected from each to the next. `step.onnx` takes the
abundances after advection, so element totals are those that the mixing left.
"""

import json
import sys
import time

import numpy as np
import onnxruntime

folder = sys.argv[1] if len(sys.argv) > 1 else "exports/grav-onnx"
with open(f"{folder}/about.json") as file:
    about = json.load(file)
chemistry = onnxruntime.InferenceSession(f"{folder}/step.onnx")
cells, years = 1000, np.full(1000, 500.0, "f4")
species = {name: i for i, name in enumerate(about["species"])}
x = np.tile(np.array(about["start"], "f4"), (cells, 1))
spent = 0.0
for step in range(100):
    density = np.geomspace(1e5, 1e7, cells) * 1.01**step
    extinction = 10 * (density / 1e5) ** 0.6
    p = np.stack([density, 1e-3 + 0 * density, extinction, 15 + 0 * density], 1)
    began = time.perf_counter()
    (x,) = chemistry.run(
        None, {"abundances": x, "physical": p.astype("f4"), "years": years}
    )
    spent += time.perf_counter() - began
    x = 0.99 * x + 0.01 * np.roll(x, 1, axis=0)  # advection, as crude as can be
for name in ("CO", "#CO", "#H2O"):
    print(f"{name:5}", " ".join(f"{value:.1e}" for value in x[::200, species[name]]))
print(f"{spent / 100 / cells * 1e6:.1f} microseconds a cell and step")
