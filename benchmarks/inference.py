"""How often the truth lies within the 90 % interval of inferred density and zeta.

    python benchmarks/inference.py --run ism --data static.h5
    python benchmarks/inference.py --truth surrogate --cases 100

The observed abundances are those at the last state of static gas: of the tracers of a
file whose parameters are constant, or of the surrogate itself, off by its error bars.
Both have the error of an observation. The posterior is that of `docs/inference.md`
with a prior that is uniform in both logarithms; it is integrated on a grid, twice,
the second time where nearly all of it lies, so that no chain has to converge.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import measure

FREE = ("Density", "zeta")
KNOWN = {"gasTemp": 12.0, "Av": 10.0, "Radfield": 1.0}
SIZE = 40
NEGLIGIBLE = 1e-4


def interval(places: Any, mass: Any, share: float = 0.9) -> tuple[float, float]:
    """Return the central interval that holds a share of a mass on ascending places."""
    import numpy as np

    edges = np.concatenate([[0.0], np.cumsum(mass / mass.sum())])
    half = np.diff(places).mean() / 2
    borders = np.concatenate([places - half, [places[-1] + half]])
    low, high = np.interp([(1 - share) / 2, (1 + share) / 2], edges, borders)
    return float(low), float(high)


def infer(log_likelihood: Any, ranges: Any) -> list[tuple[float, float]]:
    """Return the 90 % interval of each parameter.

    Args:
        log_likelihood: Of points, `(N, D)` to `(N,)`.
        ranges: Lowest and highest value of each parameter, `(D, 2)`.
    """
    import numpy as np

    ranges = np.array(ranges, "float64")
    for _ in range(2):
        axes = [np.linspace(low, high, SIZE) for low, high in ranges]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        values = log_likelihood(grid.reshape(-1, len(axes))).reshape(grid.shape[:-1])
        mass = np.exp(values - values.max())
        of_each = [
            mass.sum(tuple(j for j in range(len(axes)) if j != i))
            for i in range(len(axes))
        ]
        intervals = [interval(*pair) for pair in zip(axes, of_each, strict=True)]
        for i, (axis, one) in enumerate(zip(axes, of_each, strict=True)):
            kept = np.flatnonzero(one > NEGLIGIBLE * one.max())
            last = len(axis) - 1
            ranges[i] = axis[max(kept[0] - 1, 0)], axis[min(kept[-1] + 1, last)]
    return intervals


def solved(path: Path, surrogate: Any, names: Sequence[str]) -> Iterator[Any]:
    """Yield truth, known parameters, age, state 0 and log10 abundances of tracers."""
    import numpy as np

    import astrokeras

    with astrokeras.TracerStore(path) as store:
        columns = [store.species.index(name) for name in surrogate.species]
        wanted = [store.species.index(name) for name in names]
        tracers = store.read(slice(None))
        parameters = list(store.parameters)
    for i, length in enumerate(tracers.length):
        physical = tracers.physical[i, : length - 1].astype("float64")
        if np.ptp(np.log10(physical), axis=0).max() > 0.01:
            continue
        held = dict(zip(parameters, physical[0], strict=True))
        known = {k: v for k, v in held.items() if k in surrogate.parameter_names}
        truth = np.log10([known.pop(name) for name in FREE])
        observed = np.log10(
            np.maximum(tracers.abundances[i, length - 1, wanted], 1e-20)
        )
        start = tracers.abundances[i, 0, columns]
        yield truth, known, tracers.time[i, length - 1], start, observed


def drawn(surrogate: Any, given: Any, ranges: Any, rng: Any) -> Iterator[Any]:
    """Yield such cases of the surrogate itself, with errors drawn from its bars."""
    import numpy as np

    for _ in range(given.cases):
        truth = rng.uniform(*np.transpose(ranges))
        case = truth, KNOWN, given.age, None
        logs, sigma = predict(surrogate, given.species, case, truth[None])
        yield *case, logs[0] + rng.normal(0, sigma[0])


def predict(surrogate: Any, species: Sequence[str], case: Any, theta: Any) -> Any:
    """Return log10 abundances and error bars of points, `(N, 2)`, each `(N, S)`."""
    import numpy as np

    _, known, age, start, *_ = case
    free = dict(zip(FREE, 10.0 ** np.transpose(theta), strict=True))
    options = {"species": species, "return_sigma": True}
    x, sigma = surrogate.static(time=age, initial=start, **known, **free, **options)
    return np.log10(x[:, 0].astype("float64")), sigma[:, 0].astype("float64")


def main() -> None:
    """Infer, print one line and write the figures."""
    parser = measure.options(__doc__)
    parser.add_argument("--run", default="turbulent", help="a surrogate with zeta")
    parser.add_argument("--truth", choices=("solver", "surrogate"), default="solver")
    parser.add_argument("--cases", type=int, default=100, help="at most")
    parser.add_argument("--age", type=float, default=5e4, help="of drawn gas, years")
    parser.add_argument("--error", type=float, default=0.1, help="of observations, dex")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--species", nargs="+", default=["CO", "HCO+", "N2H+"])
    parser.add_argument("--density", type=float, nargs=2, default=[1e4, 1e6])
    parser.add_argument("--zeta", type=float, nargs=2, default=[0.5, 20.0])
    given = parser.parse_args()
    measure.set_threads(given.threads)
    import numpy as np

    import astrokeras

    warnings.simplefilter("ignore", UserWarning)
    surrogate = astrokeras.load(given.run)
    rng = np.random.default_rng(given.seed)
    ranges = np.log10([given.density, given.zeta])
    if given.truth == "solver":
        cases = solved(given.data, surrogate, given.species)
    else:
        cases = drawn(surrogate, given, ranges, rng)
    inside, widths, skipped = [], [], 0
    for case in cases:
        truth, observed = case[0], case[-1]
        if len(inside) == given.cases:
            break
        if ((truth < ranges[:, 0]) | (truth > ranges[:, 1])).any():
            skipped += 1
            continue
        observed = observed + rng.normal(0, given.error, observed.shape)

        def log_likelihood(
            theta: Any, case: Any = case, observed: Any = observed
        ) -> Any:
            logs, sigma = predict(surrogate, given.species, case, theta)
            variance = given.error**2 + sigma**2
            terms = (observed - logs) ** 2 / variance + np.log(variance)
            return -0.5 * terms.sum(-1)

        low, high = np.transpose(infer(log_likelihood, ranges))
        inside.append((truth >= low) & (truth <= high))
        widths.append(high - low)
    if not inside:
        parser.error(
            f"{given.data} holds no static gas with density and zeta in these ranges"
        )
    parts, figures = [], {}
    for i, name in enumerate(FREE):
        share = float(np.mean(inside, axis=0)[i])
        spread = float(np.sqrt(max(share * (1 - share), 1e-4) / len(inside)))
        few, middle, many = np.quantile(widths, [0.05, 0.5, 0.95], axis=0)[:, i]
        shown = f"{middle:.2f} dex, {few:.2f} to {many:.2f}"
        parts.append(f"{name} {share:.0%} +- {spread:.0%} (widths {shown})")
        width = {"p05": few, "median": middle, "p95": many}
        figures[name] = {"within": share, "spread": spread, "width_dex": width}
    print(
        f"truth within the 90 % interval: {', '.join(parts)}; {len(inside)} cases, "
        f"{skipped} outside the prior"
    )
    settings = {"run": given.run, "truth": given.truth, "cases": len(inside)}
    settings |= {"error_dex": given.error, "species": given.species}
    measure.write("inference", settings | figures, given.out)


if __name__ == "__main__":
    main()
