"""Seconds per epoch against the number of tracers and the length of their windows.

The training that users run, from a tracer file to a run directory, on files whose
tracers are repeated, or cut to one window each, so that the number of windows stays
the same while they get longer. An epoch's time is that between the ends of two epochs,
validation and checkpoint included; the first epoch compiles and does not count.
"""

import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import measure

TIMES = (1, 2, 4, 8, 16)
LENGTHS = (30, 60, 120, 240, 297)
STAGES = ("autoencoder", "emulator")


def epochs(
    folder: Path, file: Path, window: int, count: int, overrides: list[str]
) -> dict[str, Any]:
    """Train both stages in this process; return the seconds of their epochs."""
    from astrokeras import compose
    from astrokeras.training.train import train

    settings = [
        f"name={file.stem}",
        f"dataset.path={file}",
        f"runs_dir={folder / 'runs'}",
        f"emulator.window=[{window}]",
        "emulator.states_per_window=0",
        # So small that what an epoch leaves over of its states is little.
        "autoencoder.fit.batch_size=1024",
        "emulator.fit.batch_size=16",
        *(f"{stage}.fit.epochs={count + 1}" for stage in STAGES),
        *overrides,
    ]
    run = train(compose(settings))
    return {stage: measure.summarise(ends(run.tensorboard / stage)) for stage in STAGES}


def ends(folder: Path) -> list[float]:
    """Return the seconds of all epochs but the first, by TensorBoard's clock."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    times = [
        event.wall_time
        for path in sorted(folder.glob("events.*"))
        for event in EventFileLoader(str(path)).Load()
        if any(value.tag == "loss" for value in event.summary.value)
    ]
    return [after - before for before, after in pairwise(times)]


def fit(sizes: list[int], seconds: list[float]) -> dict[str, float]:
    """Fit a line and a power law to seconds over sizes."""
    import numpy as np

    slope, start = np.polyfit(sizes, seconds, 1)
    line = start + slope * np.array(sizes)
    return {
        "exponent": float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]),
        "seconds_at_0": float(start),
        "seconds_each": float(slope),
        "largest_deviation": float(np.max(np.abs(seconds / line - 1))),
    }


def main() -> None:
    """Measure, print and write the figures."""
    parser = measure.options(__doc__)
    parser.add_argument("--times", type=int, nargs="+", default=TIMES)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--window", type=int, default=240, help="while tracers grow")
    parser.add_argument("--scratch", type=Path, help="folder of temporary files")
    parser.add_argument("overrides", nargs="*", help="of the configuration")
    args = parser.parse_args()
    measure.set_threads(args.threads)

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=args.scratch) as name:
        folder = Path(name).resolve()
        cases = [("tracers", times, args.window) for times in args.times]
        cases += [("window", length, length) for length in args.lengths]
        for axis, size, window in cases:
            file = folder / f"{axis}-{size}.h5"
            cut = axis == "window"
            times, states = (1, size + 1) if cut else (size, None)
            measure.write_repeated(args.data, file, times, states)
            taken = epochs(folder, file, window, args.repeats, args.overrides)
            for stage in STAGES:
                figures.setdefault(stage, {}).setdefault(axis, {})[size] = taken[stage]
            file.unlink()
            for cache in (folder / "runs" / ".cache").iterdir():
                os.unlink(cache)
    for stage in STAGES:
        for axis, points in figures[stage].items():
            print(f"\n{stage}, seconds per epoch")
            measure.table(
                [[axis, "seconds"], *((n, measure.show(s)) for n, s in points.items())]
            )
            if len(points) > 1:
                law = fit(list(points), [s["median"] for s in points.values()])
                figures[stage][axis] = points | {"fit": law}
                print(
                    f"grows with the power {law['exponent']:.2f}; on a line within "
                    f"{law['largest_deviation']:.0%}, {law['seconds_at_0']:.2g} s at 0"
                )
    figures |= {"data": args.data.name, "window": args.window}
    measure.write("growth", figures | {"overrides": args.overrides}, args.out)


if __name__ == "__main__":
    main()
