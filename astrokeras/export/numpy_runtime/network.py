"""Networks of an exported surrogate: autoencoder, features and cells, in NumPy."""

import math

import numpy as np

_erf = np.vectorize(math.erf, otypes=["f8"])


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


ACTIVATIONS: dict = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))).astype(x.dtype),
}


class Network:
    """Autoencoder and emulator of an exported surrogate.

    Args:
        weights: Arrays by name.
        settings: Settings of the architecture.
        about: What the surrogate is: floor, interval and parameters.
    """

    def __init__(self, weights, settings, about):
        self.weights, self.settings, self.about = weights, settings, about

    def scale(self, abundances):
        floor = self.about["floor"]
        # Predicted abundances within a margin below the floor are not changed.
        least = floor * 10 ** -(self.settings["margin"] + 0.01)
        logs = np.log10(np.where(abundances < least, floor, abundances))
        return (1 - logs / np.log10(floor)).astype("f4")

    def finish(self, scaled):
        """Return abundances within the trained ranges."""
        decades = -np.log10(self.about["floor"])
        inside = np.clip(scaled, self.weights["low"], self.weights["high"])
        return np.power(10.0, (inside - 1) * decades).astype("f4")

    def affine(self, name, x, reverse=False):
        offset, scale = self.weights[f"{name}/offset"], self.weights[f"{name}/scale"]
        return x * scale + offset if reverse else (x - offset) / scale

    def _dense(self, name, x):
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]

    def _activate(self, x, kind="coder"):
        return ACTIVATIONS[self.settings[kind]](x)

    def _norm(self, name, x):
        if f"{name}/gamma" not in self.weights:
            return x
        gamma, beta, mean, variance = (
            self.weights[f"{name}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def encode(self, scaled):
        x = self.affine("species", scaled)
        if self.settings["kind"] == "projection":
            x = x @ self.weights["kernel"]
        else:
            depth = self.settings["depth"]
            for i in range(depth):
                x = self._dense(f"dense_{i}", x)
                if i < depth - 1 or self.settings["latent_activation"]:
                    x = self._activate(self._norm(f"encoder_norm_{i}", x))
        return self.affine("latents", x).astype("f4")

    def decode(self, latents):
        x = z = self.affine("latents", latents, reverse=True)
        depth = self.settings["depth"]
        if self.settings["kind"] == "projection":
            for i in range(depth - 1):
                x = self._activate(self._dense(f"dense_{i}", x))
            x, kernel = self._dense("last", x), self.weights["kernel"]
            x = x + (z - x @ kernel) @ kernel.T
        else:
            for i in reversed(range(depth)):
                kernel = self.weights[f"dense_{i}/kernel"]
                x = x @ kernel.T + self.weights[f"dense_{i}/reverse_bias"]
                if i:
                    norm = f"decoder_norm_{depth - 1 - i}"
                    x = self._activate(self._norm(norm, x))
            if self.settings["output"] == "sigmoid":
                return _sigmoid(x)
        return self.affine("species", x, reverse=True)

    def features(self, physical, years):
        """Return the input of the emulator beside the latents, (N, T, F)."""
        logs = np.log10(physical)
        p = self.affine("parameters", logs)
        features = [p]
        if self.settings["use_timestep"]:
            length = np.log10(years / self.about["dt_range"][0])[..., None]
            features += [0 * p, 0 * p, length]
        if self.settings["exposures"]:
            features += self._exposures(logs, years, self.settings["exposures"])
        if self.settings["rates"]:
            features += self._rates(logs, **self.settings["rates"])
        return np.concatenate(features, -1).astype("f4")

    def _exposures(self, logs, years, of):
        """Return the features of rates times intervals."""
        columns = [logs, np.log10(years)[..., None]]
        for name, i in of["curves"]:
            log = logs[..., [i]]
            if name == "extinction":
                columns.append(np.minimum(10**log, of["black"]))
            elif name == "inverse":
                columns.append(10 ** -np.maximum(log, 0))
            else:
                x = 10 ** np.minimum(log, of["largest_column"]) / of["h2_column"]
                wings = 0.035 / np.sqrt(1 + x) * np.exp(-8.5e-4 * np.sqrt(1 + x))
                columns.append(np.log10(0.965 / (1 + x / of["h2_width"]) ** 2 + wings))
        found = np.concatenate(columns, -1) @ self.weights["exposures/matrix"]
        found = found + self.weights["exposures/constant"]
        return [np.tanh((found - level) / of["width"]) for level in of["levels"]]

    @staticmethod
    def _rates(
        logs, units, switches, width, cool, largest, shields, dark, opaque, black
    ):
        """Return the rate features of log10 parameters."""

        def having(unit):
            return [logs[..., [i]] for i, name in enumerate(units) if name == unit]

        features = []
        for log in having("K"):
            features.append(np.minimum(cool * 10**-log, largest) - 1)
            features += [np.tanh((log - np.log10(x)) / width) for x in switches]
        field = (having("Habing") or [0])[0]
        for log in having("mag"):
            extinction = np.minimum(10**log, black)
            features.append(2 * np.minimum(extinction, opaque) / opaque - 0.5)
            for shield in shields:
                light = 10 ** (field - shield / np.log(10) * extinction)
                features.append(np.log10(light + dark) / 2)
        return features

    def step(self, latents, features):
        """Return the mean of the cells' next latents, (N, L), and their spread."""
        drives = np.split(self._dense("drive", features), self.settings["cells"], -1)
        nexts = [self._next(k, latents, drive) for k, drive in enumerate(drives)]
        mean = np.mean(nexts, 0)
        return mean, np.sqrt(np.square(nexts - mean).mean((0, 2)))[:, None]

    def _next(self, k, z, drive):
        x = self._activate(drive + z @ self.weights[f"cell_{k}/first/kernel"], "cell")
        for i in range(self.settings["inner"]):
            x = self._activate(self._dense(f"cell_{k}/inner_{i}", x), "cell")
        change = self._dense(f"cell_{k}/last", x)
        if self.settings["relaxing"]:
            reach, slope = self.settings["relaxing"]
            equilibrium = reach * np.tanh(change * (slope / reach))
            change = _sigmoid(self._dense(f"cell_{k}/rate", x)) * (equilibrium - z)
        z = z + change
        if "bounds" in self.weights:
            z = np.clip(z, *self.weights["bounds"])
        return z.astype("f4")
