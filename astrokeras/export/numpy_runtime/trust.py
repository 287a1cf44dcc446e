"""Verdicts on states of an exported surrogate: expected errors and status, in NumPy."""

import math

import numpy as np


def _nearest(points, references):
    """Return the distance to the nearest reference, (N, D) to (N, 1)."""
    square = np.square(references).sum(1)
    found = (square - 2 * points @ references.T).argmin(-1)
    return np.sqrt(np.square(points - references[found]).sum(-1, keepdims=True))


class Trust:
    """Expected errors and status bits of states.

    Args:
        network: The networks of the surrogate.
    """

    def __init__(self, network):
        self.network = network
        self.weights, self.settings = network.weights, network.settings
        self.about = network.about

    @property
    def calibrated(self):
        """Whether the surrogate knows its expected errors."""
        return self.about["reliability_threshold"] is not None

    def rejected(self, abundances, physical, years):
        """Return the status of tracers with invalid input, (N,), 0 for others."""
        limits = self.settings["limits"]
        low, high = limits["abundances"]
        invalid = ~((abundances >= low) & (abundances <= high)).all(-1)
        invalid |= ~(np.isfinite(physical) & (physical > 0)).all((1, 2))
        increasing = (np.isfinite(years) & (years > 0)).all(1)
        trained = (years >= limits["shortest"]) & (years <= limits["longest"])
        untrained = increasing & ~trained.all(1)
        return 32 * (invalid | ~increasing) + 2 * untrained

    def unlike(self, initial, scaled, decoded):
        """Return whether state 0 is unlike training, (N,)."""
        low, high = self.weights["species_bounds"]
        floored = np.maximum(initial, self.about["floor"])
        unlike = ((floored < low) | (floored > high)).any(-1)
        if self.calibrated:
            low, high = self.weights["trust/totals"]
            totals = np.log10(np.maximum(initial @ self.weights["atoms"], 1e-30))
            off = np.maximum(low - totals, totals - high).max(-1)
            inside = np.clip(decoded, self.weights["low"], self.weights["high"])
            error = np.abs(inside - scaled).mean(-1) * -np.log10(self.about["floor"])
            unlike |= off > self.settings["limits"]["totals"]
            unlike |= error > self.weights["trust/largest"][2]
        return unlike

    def violates(self, state, totals):
        """Return whether states are unphysical or lack element totals, (N,)."""
        good = (np.isfinite(state) & (state > 0)).all(-1)
        if not self.about["conserve"]:
            return ~good
        found = state @ self.weights["atoms"] / totals
        largest = np.abs(found - 1).max(-1)
        return ~(good & (largest <= self.settings["limits"]["unrepaired"]))

    def judge(self, carried, latents, physical, years, spread):
        """Return expected errors (N,), what is carried on, and which states are far."""
        years = years[:, None]
        age, far_setting, far_state, mean = np.split(carried, 4, -1)
        elapsed = age + years
        if not self.calibrated:
            after = np.concatenate([elapsed, carried[:, 1:]], -1)
            return np.full(len(carried), np.nan), after, np.zeros(len(carried), bool)
        where, point = self._position(latents, physical)
        setting = _nearest(where, self.weights["trust/settings"])
        distance = _nearest(point, self.weights["trust/states"])
        mean = (age * mean + distance * years) / np.maximum(elapsed, 1e-30)
        far_setting = np.maximum(far_setting, setting)
        far_state = np.maximum(far_state, distance)
        amounts = [setting, far_setting, distance, far_state, mean, spread]
        columns = [np.ones_like(elapsed), np.log(np.maximum(elapsed, 1))]
        columns += [np.log(x + self.settings["trust"]["small"]) for x in amounts]
        columns += [2 * where, np.square(2 * where)]
        if "trust/knots" in self.weights:
            columns += [np.log(np.maximum(years, 1e-6)), point[:, : latents.shape[1]]]
        expected = self._expected(np.concatenate(columns, -1).astype("f4"))
        after = np.concatenate([elapsed, far_setting, far_state, mean], -1)
        largest = self.weights["trust/largest"]
        far = (far_setting > largest[0]) | (far_state > largest[1])
        return expected, after.astype("f4"), far[:, 0]

    def _position(self, latents, physical):
        """Return the positions of states by parameters alone, and by all."""
        named = {key: self.weights[f"trust/{key}"] for key in ("centre", "whitening")}
        scaled = self.network.affine("parameters", np.log10(physical))
        where = (scaled - named["centre"]) @ named["whitening"]
        offset = self.weights["trust/latent_offset"]
        state = (latents - offset) / self.weights["trust/latent_scale"]
        return where.astype("f4"), np.concatenate([state, where], -1).astype("f4")

    def _expected(self, features):
        """Return the expected errors of features, (N, F) to (N,)."""
        weights = self.weights
        if "trust/knots" not in weights:
            low, high = np.log(weights["trust/error_range"])
            return np.exp(np.clip(features @ weights["trust/coefficients"], low, high))
        angles = features @ weights["trust/frequencies"] + weights["trust/phases"]
        waves = math.sqrt(2) * np.cos(angles)
        features = np.concatenate([features, waves], -1)
        logs = features @ weights["trust/coefficients"]
        return np.exp(np.interp(logs, *weights["trust/knots"]))
