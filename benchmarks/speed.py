"""Trainings and rollouts on three backends beside PyTorch without Keras, by turns.

Each framework runs in a process of its own, which waits while the others are measured:
A B C A B C, all at the same number of threads, with the machine's rate of matrix
products taken in every round. Trainings are of the variant `reference`, like for like
with `reference_torch.py`; rollouts are of the surrogate that ships.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

WORK = ("autoencoder", "emulator", "rollout", "few species", "last state")
BACKENDS = ("tensorflow", "jax", "torch")
PEERS = ("eager", "compiled")


def make_ours(work: str, args: Any) -> dict[str, Any]:
    """Return a piece of work of astrokeras: what runs it, its units and operations."""
    from astrokeras.config import compose
    from astrokeras.data.pipeline.training_cache import prepare
    from astrokeras.system.backend import start_keras

    start_keras("cpu")
    import astrokeras
    from astrokeras.benchmarking import workloads

    variants = [f"autoencoder={args.variant}", f"emulator={args.variant}"]
    config = compose([*variants, *args.settings])
    if work in ("autoencoder", "emulator"):
        cache = prepare(args.data, args.scratch, config.dataset.floor)
        make = {
            "autoencoder": workloads.train_autoencoder,
            "emulator": workloads.train_emulator,
        }[work]
        return vars(make(config, cache))
    surrogate = astrokeras.load("grav")
    asked = {
        "rollout": {},
        "few species": {"species": surrogate.species[:10]},
        "last state": {"state_indices": [-1]},
    }[work]
    return vars(workloads.roll_out(surrogate, args.data, args.tracers, **asked))


def make_peer(work: str, framework: str, args: Any) -> dict[str, Any]:
    """Return a training of the PyTorch reference, with its own batches in memory."""
    import reference_torch as reference
    import torch

    from astrokeras.chemistry.stoichiometry import stoichiometric_matrix
    from astrokeras.data.pipeline.training_cache import prepare

    torch.set_num_threads(args.threads)
    cache = prepare(args.data, args.scratch, 1e-20)
    matrix, _ = stoichiometric_matrix(cache.species, cache.elements)
    data = reference.load(cache, matrix)
    model: Any = reference.Autoencoder(data.abundances.shape[-1])
    weight = 100.0
    if work == "emulator":
        model = reference.Emulator(model, data.parameters.shape[-1])
        weight = 500.0
    model.train()
    optimizer = reference.make_optimizer(model)
    called = torch.compile(model) if framework == "compiled" else model

    def loss(prediction: Any, truth: Any) -> Any:
        return reference.reference_loss(prediction, truth, data.matrix, weight)

    def run() -> int:
        """Train for 16 batches and return how many rows or steps they held."""
        done = batches = 0
        while batches < 16:
            if work == "autoencoder":
                epoch = (((x,), x) for x in reference.autoencoder_batches(data, 4096))
            else:
                epoch = (
                    ((x, p), y)
                    for x, p, y in reference.emulator_batches(data, 64, 240, True)
                )
            for inputs, truth in epoch:
                reference.step(called, optimizer, loss, inputs, truth)
                done += truth[..., 0].numel()
                batches += 1
        return done

    return {"run": run, "work": None, "flops": None}


def work_when_told(work: str, framework: str, args: Any) -> None:
    """Be a child: do the work once for each line of stdin, and print units and time."""
    if not args.plain_memory:
        from astrokeras.system.malloc import keep_memory

        keep_memory()
    peer = framework in PEERS
    made = make_peer(work, framework, args) if peer else make_ours(work, args)
    print(json.dumps({"flops": made["flops"]}), flush=True)
    for _ in sys.stdin:
        units: list[Any] = []

        def run(run: Callable = made["run"], units: list = units) -> None:
            units.append(run())

        taken = measure.seconds(run)
        done = made["work"] or units[0]
        print(json.dumps({"units": done, "seconds": taken}), flush=True)


class Child:
    """A framework in a process of its own, at rest unless told to work."""

    def __init__(self, work: str, framework: str, words: list[str], threads: int):
        backend = framework if framework in BACKENDS else "torch"
        script = str(Path(__file__).resolve())
        self.process = subprocess.Popen(
            [sys.executable, script, *words, "--child", work, framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=measure.environment(
                KERAS_BACKEND=backend, NPROC=str(threads), TF_CPP_MIN_LOG_LEVEL="3"
            ),
        )
        self.flops = self._read()["flops"]

    def work(self) -> dict[str, float]:
        """Let it work once, and return units and seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):  # some print what they compile
            line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended; run it by hand to see why.")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(work: str, args: Any, words: list[str]) -> dict[str, Any]:
    """Measure one piece of work in all frameworks by turns."""
    peers = args.peers if work in WORK[:2] else []
    names = [*args.backends, *peers]
    children = {name: Child(work, name, words, args.threads) for name in names}
    first = {name: child.work()["seconds"] for name, child in children.items()}
    rates: dict[str, list[float]] = {name: [] for name in names}
    products = []
    for _ in range(args.repeats):
        products.append(measure.matmul_rate(args.threads, repeats=3) * 1e9)
        for name, child in children.items():
            done = child.work()
            rates[name].append(done["units"] / done["seconds"])
    flops = next(child.flops for child in children.values() if child.flops)
    for child in children.values():
        child.close()
    limits = [rate / flops for rate in products]

    def against(name: str, others: list[float]) -> dict[str, Any]:
        pairs = zip(rates[name], others, strict=True)
        return measure.summarise([own / other for own, other in pairs])

    return {
        "flops": flops,
        "products": measure.summarise(products),
        "first": first,
        "rates": {name: measure.summarise(rates[name]) for name in names},
        "of the limit": {name: against(name, limits) for name in names},
        "against": {
            name: {
                other: against(name, rates[other]) for other in names if other != name
            }
            for name in args.backends
        },
    }


def show(work: str, figures: dict[str, Any]) -> None:
    """Print one piece of work as a table."""
    products = figures["products"]["median"] / 1e9
    print(f"\n{work}: {figures['flops'] / 1e3:.0f} k operations each, ", end="")
    print(f"matrix products {products:.0f} GFLOP/s")
    others = list(figures["rates"])
    rows: list[list[object]] = [
        ["", "k/s", "of the limit", *(f"against {name}" for name in others)]
    ]
    for name, rate in figures["rates"].items():
        ratios = figures["against"].get(name, {})
        rows.append(
            [
                name,
                measure.show({k: _thousand(v) for k, v in rate.items()}),
                measure.show(figures["of the limit"][name], 2),
                *(measure.show(ratios[o], 2) if o in ratios else "" for o in others),
            ]
        )
    measure.table(rows)


def _thousand(value: Any) -> Any:
    return [v / 1e3 for v in value] if isinstance(value, list) else value / 1e3


def parse() -> tuple[argparse.Namespace, list[str]]:
    """Return the options, and the words that a child takes over."""
    parser = measure.options(__doc__)
    parser.add_argument("settings", nargs="*", help="overrides of the configuration")
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["eager"])
    parser.add_argument("--variant", default="reference", help="of both stages")
    parser.add_argument("--tracers", type=int, default=2000, help="of a rollout")
    parser.add_argument("--name", default="speed", help="of the file of figures")
    parser.add_argument(
        "--plain-memory",
        action="store_true",
        help="give freed memory back as the C library does, in all frameworks",
    )
    parser.add_argument("--scratch", type=Path, help="folder for the training cache")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    words = ["--data", str(args.data), "--threads", str(args.threads), *args.settings]
    words += ["--variant", args.variant, "--tracers", str(args.tracers)]
    words += ["--plain-memory"] * args.plain_memory
    return args, words


def main() -> None:
    """Compare, print and write the figures."""
    args, words = parse()
    measure.set_threads(args.threads)
    if args.child:
        work_when_told(*args.child, args)
        return
    with tempfile.TemporaryDirectory() as folder:
        words += ["--scratch", str(args.scratch or folder)]
        figures = {}
        for work in args.work:
            figures[work] = compare(work, args, words)
            show(work, figures[work])
    settings = {key: getattr(args, key) for key in ("threads", "variant", "tracers")}
    settings["data"] = args.data.name
    settings["keep_memory"] = not args.plain_memory
    measure.write(args.name, {"settings": settings} | figures, args.out)


if __name__ == "__main__":
    main()
