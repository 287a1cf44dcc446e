"""The exported ONNX graphs against Keras: one step of many cells, and rollouts.

    python benchmarks/exported.py --threads 1

Both get the same arrays and threads, by turns in one process. Keras is the surrogate's
own call, with its checks.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import measure

CELLS, TRACERS = 4096, 256


def main() -> None:
    """Measure and save the figures."""
    parser = measure.options(__doc__)
    parser.add_argument("--run", default="grav", help="a surrogate")
    given = parser.parse_args()
    measure.set_threads(given.threads)
    import numpy as np

    import astrokeras
    from astrokeras.export.export import export

    surrogate = astrokeras.load(given.run)
    with astrokeras.TracerStore(given.data) as store:
        tracers = store.read(np.resize(store.rows("test"), TRACERS))
    start, physical = tracers.abundances[:, 0], tracers.physical
    years = np.diff(tracers.time).astype("f4")
    cells = np.resize(np.arange(TRACERS), CELLS)
    tasks = {
        "step": (start[cells], physical[cells, :1], years[cells, :1]),
        "rollout": (start, physical, years),
    }
    rows: list[Any] = [("graph", "states/s, ONNX", "states/s, Keras", "ratio")]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        made = export(given.run, "onnx", out=Path(folder) / "onnx")
        for name, (x, p, t) in tasks.items():
            graph = session(made.folder / f"{name}.onnx", given.threads)
            one = {"physical": p[:, 0], "years": t[:, 0]}
            many = {"physical": p, "years": t}
            feed = {"abundances": x} | (one if name == "step" else many)
            time = np.concatenate([np.zeros_like(t[:, :1]), np.cumsum(t, 1)], 1)
            taken = measure.alternate(
                {
                    "onnx": lambda graph=graph, feed=feed: graph.run(None, feed),
                    "keras": lambda x=x, p=p, time=time: surrogate.emulate(x, p, time),
                },
                given.repeats,
                warm_up=2,
            )
            figures[name] = {"states": t.size} | taken
            rates = [measure.rate(t.size, taken[side]) for side in ("onnx", "keras")]
            shown = [measure.show(one) for one in rates]
            ratio = measure.show(taken["ratios"]["keras"])
            rows.append((name, *shown, ratio))
    measure.table(rows)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    measure.write(f"exported_{backend}", figures, given.out)


def session(path: Path, threads: int) -> Any:
    """Return an onnxruntime session with so many threads."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), chosen)


if __name__ == "__main__":
    main()
