"""Metrics of an evaluation: their names, units and descriptions.

The model card, the report and the terminal table use this one table;
`evaluation.error_metrics` defines and computes the values.
"""

from typing import Any, NamedTuple


class Metric(NamedTuple):
    """Unit and description of a metric; the unit of a pure number or name is empty."""

    unit: str
    description: str

    def __str__(self) -> str:
        return f"{self.description}, {self.unit}" if self.unit else self.description


METRICS = {
    "dex": Metric("dex", "mean error of log10 abundances, floored at 1e-20"),
    "dex_seen": Metric("dex", "the same over abundances of 1e-12 and more"),
    "dex_final": Metric("dex", "the same at the last state of each tracer"),
    "dex_species99": Metric("dex", "99th percentile over species of their mean error"),
    "dex_worst": Metric("dex", "mean error of the worst species"),
    "worst_species": Metric("", "name of the worst species"),
    "mre": Metric(
        "",
        "mean relative error, abundances within 1e-20 and 1; dominated by species near "
        "the floor",
    ),
    "conservation": Metric("", "mean relative error of the element totals"),
    "conservation_max": Metric("", "largest relative error of an element total"),
    "nonfinite": Metric("", "number of abundances that are NaN, infinite or negative"),
}
SOLVER_STEPS = 23.0
"""Steps per second of UCLCHEM 3.5 on one core: 297 in 13 s, the median of `grav`."""


def format_value(value: Any) -> str:
    """Return a value as tables show it: four digits, or "-" if there is none."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
