"""Errors by family of the tracers, by length of the intervals and by age."""

from __future__ import annotations

import numpy as np

from astrokeras.data.tracers.reader import Tracers
from astrokeras.evaluation.context import Prediction
from astrokeras.evaluation.error_metrics import SEEN
from astrokeras.evaluation.result import ErrorGroup
from astrokeras.prediction.tracer_rollout import log10


class ErrorGroupTest:
    """Collects the error of every state with its family, interval and age.

    Groups are the families of the file if it has any, and decades of the interval that
    led to a state and of the years since state 0.

    Args:
        families: Family of each tracer of the file, `None` if it has none.
        calibrated: Whether predictions tell which states are reliable.
    """

    def __init__(self, families: list[str] | None, calibrated: bool):
        self.families = None if families is None else np.array(families)
        self.calibrated = calibrated
        self.keys: list[dict[str, np.ndarray]] = []
        self.figures: list[np.ndarray] = []

    def update(self, block: Tracers, prediction: Prediction) -> None:
        """Add solved tracers and their prediction."""
        valid = np.arange(1, block.time.shape[1]) < block.length[:, None]
        truth = block.abundances[:, 1:][valid]
        error = np.abs(log10(prediction.abundances[:, 1:][valid]) - log10(truth))
        seen = truth >= SEEN
        told = prediction.reliable
        reliable = valid if told is None else told[:, 1:]
        # Of each state: mean error, sum over seen species, their number, reliability.
        self.figures.append(
            np.stack(
                [error.mean(1), (error * seen).sum(1), seen.sum(1), reliable[valid]]
            )
        )
        keys = {
            "interval": _decade(np.diff(block.time)[valid]),
            "age": _decade((block.time[:, 1:] - block.time[:, :1])[valid]),
        }
        if self.families is not None:
            of_tracer = self.families[block.rows][:, None]
            keys = {"family": np.broadcast_to(of_tracer, valid.shape)[valid]} | keys
        self.keys.append(keys)

    def result(self) -> dict[str, dict[str, ErrorGroup]]:
        """Return the errors of all groups, by kind of group and by name."""
        figures = np.concatenate(self.figures, axis=1)
        found = {}
        for kind in self.keys[0]:
            key = np.concatenate([keys[kind] for keys in self.keys])
            found[kind] = {
                _name(value): self._group(figures[:, key == value])
                for value in np.unique(key)
            }
        return found

    def _group(self, figures: np.ndarray) -> ErrorGroup:
        dex, seen_sum, seen_count, reliable = figures
        kept = dex[reliable > 0] if self.calibrated else dex[:0]
        return ErrorGroup(
            states=len(dex),
            dex=float(dex.mean()),
            dex_seen=float(seen_sum.sum() / max(seen_count.sum(), 1)),
            reliable=float(reliable.mean()) if self.calibrated else None,
            reliable_dex=float(kept.mean()) if len(kept) else None,
        )


def _decade(years: np.ndarray) -> np.ndarray:
    return np.floor(np.log10(np.maximum(years, 1e-9)) + 1e-6).astype(int)


def _name(value: np.generic) -> str:
    if value.dtype.kind == "U":
        return str(value)
    return f"{10.0 ** int(value):g} to {10.0 ** (int(value) + 1):g} yr"
