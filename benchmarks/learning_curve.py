"""Error against the number of training simulations: is it data or model that limits?

    python benchmarks/learning_curve.py --data data/grav_full.h5 --out curve.json

Trains both stages on an eighth, a quarter, a half and all of the training simulations,
drawn at random, with the same number of updates each and the file's own validation
simulations, and reports the error of the rollouts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.subset import write_rows

TRAIN = 0  # the number of the split
SHARES = [0.125, 0.25, 0.5, 1.0]


def write_share(data: Path, out: Path, share: float, seed: int) -> int:
    """Write the file without some of its training simulations; return how many stay."""
    with TracerStore(data) as store:
        training = np.unique(store.simulation[store.split == TRAIN])
        count = max(1, round(share * len(training)))
        chosen = np.random.default_rng(seed).permutation(training)[:count]
        kept = (store.split != TRAIN) | np.isin(store.simulation, chosen)
        write_rows(store, np.flatnonzero(kept), out, {"training_share": share})
    return count


def train(data: Path, folder: Path, epochs: tuple[float, float], words: list[str]):
    """Train on a file and return the best validation dex of both stages."""
    stages = [max(1, round(number)) for number in epochs]
    fits = [
        f"{stage}.fit.{field}={number}"
        for stage, number in zip(("autoencoder", "emulator"), stages, strict=True)
        for field in ("epochs", "patience")
    ]
    astrokeras = str(Path(sys.executable).with_name("astrokeras"))
    command = [astrokeras, "--threads", "1", "train", "name=run", *fits, *words]
    command += [f"dataset.path={data}", f"runs_dir={folder}", f"cache_dir={folder}"]
    subprocess.run(command, check=True)
    history = json.loads((folder / "run" / "history.json").read_text())
    return {
        stage: {
            "epochs": len(rows),
            "dex": min(row["val_dex"] for row in rows),
            "dex_training_loss": rows[-1]["loss"],
        }
        for stage, rows in history.items()
    }


def main() -> None:
    """Train on every share and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[0.125, 0.25, 0.5, 1]
    )
    parser.add_argument("--epochs", type=float, nargs=2, default=[20, 60])
    parser.add_argument("--seed", type=int, default=0)
    arguments, words = parser.parse_known_args()
    results = []
    for share in arguments.shares:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            data = folder / "share.h5"
            count = write_share(arguments.data, data, share, arguments.seed)
            epochs = tuple(number / share for number in arguments.epochs)
            results.append({"simulations": count} | train(data, folder, epochs, words))
            print(json.dumps(results[-1]), flush=True)
        arguments.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
