"""How long things take to start: the command line, the import, the first rollout.

Each figure is that of fresh processes, by turns. The rollout is that of the surrogate
that ships; its first call compiles, so what it takes longer than the second one is
called the compilation. Then come the first calls of other shapes and outputs, and one
step of one tracer once it has been asked for often. JAX keeps its programs in a folder,
which is empty in one of its two rows.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

TARGETS = {
    "--help": 0.5,
    "import astrokeras": 0.1,
    "first": 5.0,
    "first, kept programs": 2.0,
    "another shape": 0.2,
    "other outputs": 0.2,
    "one step": 0.002,
}
COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import astrokeras": [sys.executable, "-c", "import astrokeras"],
    "--help": [*measure.COMMAND, "--help"],
}
KEPT = "jax, kept programs"
ROLLOUT = """
import json, sys, time
start = time.perf_counter()
import astrokeras
surrogate = astrokeras.load("grav")
loaded = time.perf_counter()
import numpy as np
with astrokeras.TracerStore(sys.argv[1]) as store:
    block = store.read(np.arange(min(store.tracers, {tracers})))
keep = np.arange({tracers}) % len(block)
given = block.abundances[keep, 0], block.physical[keep], block.time[keep]
import warnings
warnings.simplefilter("ignore")
def call(count, steps, **options):
    begin = time.perf_counter()
    initial, physical, years = given
    surrogate.emulate(
        initial[:count], physical[:count, :steps], years[:count, : steps + 1], **options
    )
    return time.perf_counter() - begin
steps = given[1].shape[1]
calls = [call({tracers}, steps) for _ in range(3)]
options = {{"return_sigma": True, "return_expected_error": True}}
other = call(7, 50)
outputs = call(7, 50, species=["CO"], state_indices=[-1], **options)
single = [call(1, 1) for _ in range(40)]
print(json.dumps({{
    "load": loaded - start,
    "first": calls[0],
    "second": min(calls[1:]),
    "compile": calls[0] - min(calls[1:]),
    "another shape": other,
    "other outputs": outputs,
    "one step": sorted(single[20:])[10],
}}))
"""


def process(words: list[str]) -> Callable[[], None]:
    """Return what runs a command to its end."""

    def run() -> None:
        subprocess.run(
            words, env=measure.environment(), check=True, stdout=subprocess.DEVNULL
        )

    return run


def commands(repeats: int) -> dict[str, Any]:
    """Measure the commands that need no backend, and what they add to Python."""
    taken = measure.alternate(
        {name: process(words) for name, words in COMMANDS.items()}, repeats
    )
    del taken["ratios"]
    bare = taken["python"]["values"]
    for name in list(taken)[1:]:
        more = [a - b for a, b in zip(taken[name]["values"], bare, strict=True)]
        taken[f"{name}, more than python"] = measure.summarise(more)
    return taken


def rollouts(
    data: Path, names: list[str], tracers: int, repeats: int
) -> dict[str, dict[str, Any]]:
    """Measure loading and the first calls of `emulate` on each backend."""
    code = ROLLOUT.format(tracers=tracers)
    rows = [row for name in names for row in (name, *([KEPT] if name == "jax" else []))]
    told: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as programs:
            for row in rows:
                settings = {"KERAS_BACKEND": row.partition(",")[0]}
                settings["JAX_COMPILATION_CACHE_DIR"] = programs
                done = subprocess.run(
                    [sys.executable, "-c", code, str(data.resolve())],
                    env=measure.environment(**settings),
                    check=True,
                    capture_output=True,
                    text=True,
                )
                told[row].append(json.loads(done.stdout))
    return {
        name: {key: measure.summarise([one[key] for one in all_]) for key in all_[0]}
        for name, all_ in told.items()
    }


def judge(group: str, key: str, taken: dict[str, Any]) -> str:
    """Return the target and whether the median meets it."""
    if f"{key}, kept programs" in TARGETS and group == KEPT:
        key = f"{key}, kept programs"
    if key not in TARGETS:
        return ""
    met = "met" if taken["median"] <= TARGETS[key] else "missed"
    return f"<= {TARGETS[key]:g} s: {met}"


def main() -> None:
    """Measure, print and write the figures."""
    from importlib.util import find_spec

    from astrokeras.system.backend import BACKENDS

    parser = measure.options(__doc__)
    parser.add_argument(
        "--backends",
        nargs="*",
        choices=BACKENDS,
        default=[name for name in BACKENDS if find_spec(name)],
        help="for the rollout",
    )
    parser.add_argument("--tracers", type=int, default=256, help="of the rollout")
    args = parser.parse_args()
    measure.set_threads(args.threads)

    figures: dict[str, Any] = {"commands": commands(args.repeats)}
    figures |= rollouts(args.data, args.backends, args.tracers, args.repeats)
    rows = [["", "", "seconds", "target"]]
    rows += [
        [group, key, measure.show(taken), judge(group, key, taken)]
        for group, figure in figures.items()
        for key, taken in figure.items()
    ]
    measure.table(rows)
    measure.write("start", {"data": args.data.name, "figures": figures}, args.out)


if __name__ == "__main__":
    main()
