"""Draw the figures of `results/` as docs/performance.png."""

import json
from pathlib import Path
from typing import Any

import measure

PICTURE = measure.ROOT / "docs" / "performance.png"
SHOWN = {
    "autoencoder": "autoencoder training",
    "emulator": "emulator training",
    "rollout": "rollout",
}
COLOURS = {
    "tensorflow": "tab:orange",
    "jax": "tab:blue",
    "torch": "tab:red",
    "eager": "0.6",
}
NAMES = {
    "tensorflow": "TensorFlow",
    "jax": "JAX",
    "torch": "PyTorch",
    "eager": "peer: PyTorch, eager",
}


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the figures of a benchmark, if it was run."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def draw_shares(axes: Any, speed: dict[str, Any]) -> None:
    """Draw each framework's share of what the machine's products allow."""
    width = 0.2
    for i, (framework, colour) in enumerate(COLOURS.items()):
        known = [
            (j, speed[work]["of the limit"][framework])
            for j, work in enumerate(SHOWN)
            if work in speed and framework in speed[work]["of the limit"]
        ]
        if not known:
            continue
        places = [j + (i - 1.5) * width for j, _ in known]
        median = [share["median"] for _, share in known]
        spread = [
            [share["median"] - share["low"] for _, share in known],
            [share["high"] - share["median"] for _, share in known],
        ]
        axes.bar(places, median, width, color=colour, label=NAMES[framework])
        axes.errorbar(places, median, spread, fmt="none", ecolor="k", capsize=2)
    axes.axhline(1, color="k", linewidth=0.8)
    axes.set_xticks(range(len(SHOWN)), SHOWN.values())
    axes.set_ylabel("share of the rate of matrix products")
    axes.set_title("Speed beside the machine's own arithmetic")
    axes.legend(frameon=False)


def draw_growth(axes: Any, growth: dict[str, Any]) -> None:
    """Draw seconds per epoch against the number of tracers."""
    for stage in ("autoencoder", "emulator"):
        points = dict(growth[stage]["tracers"])
        power = points.pop("fit")["exponent"]
        sizes = [int(size) for size in points]
        seconds = [point["median"] for point in points.values()]
        axes.loglog(sizes, seconds, "o-", label=f"{stage}: power {power:.2f}")
    axes.set_xlabel("tracers, relative")
    axes.set_ylabel("seconds per epoch")
    axes.set_title("An epoch grows with its tracers")
    axes.legend(frameon=False)


def main() -> None:
    """Draw what was measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = measure.options(__doc__)
    parser.add_argument("--names", nargs="+", default=["speed"], help="files of speed")
    args = parser.parse_args()
    speed: dict[str, Any] = {}
    for name in args.names:
        speed |= read(args.out, name) or {}
    growth = read(args.out, "growth")
    panels = 2 if growth else 1
    figure, axes = pyplot.subplots(1, panels, figsize=(7 * panels, 4.2), squeeze=False)
    draw_shares(axes[0, 0], speed)
    if growth:
        draw_growth(axes[0, 1], growth)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
