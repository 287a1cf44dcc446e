"""NumPy runtime of an exported surrogate: this file and `surrogate.npz` suffice.

    import numpy_reader
    model = numpy_reader.Surrogate("surrogate.npz")
    evolved = model.step(abundances, physical, years)

Abundances are relative to H nuclei, (N, S). Parameters, (N, P) in `about["units"]`, are
constant during a time step of `years`, (N,). `rollout` takes (N, T, P) and (N, T) and
returns the states after each step, (N, T, S). Other shapes, and values that are not
finite or not positive, raise ValueError. `about` holds the training ranges, which are
not checked here.
"""

import json
import math
import zipfile

import numpy as np

TINY, RIDGE = 1e-30, 1e-6
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


def _read(file, member):
    """Return an array, after a check that its size is that of its file."""
    with file.open(member) as array:
        np.lib.format.read_magic(array)
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(array)
        size = math.prod(shape) * kind.itemsize
        if member.compress_type or size != member.file_size - array.tell():
            raise ValueError(f"{file.filename}: {member.filename} claims {size} bytes")
        values = np.frombuffer(array.read(), kind)
    return values.reshape(shape, order="F" if by_columns else "C")


def _take(name, values, shape, least=-math.inf):
    """Return an array of finite numbers; `None` in `shape` is any length."""
    try:
        array = np.asarray(values).astype("f4")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} are no numbers ({error}); give an array.") from error
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} have shape {array.shape}; give ({wanted}).")
    if not (np.isfinite(array) & (array > least)).all():
        lowest = "finite" if least < 0 else "finite and positive"
        raise ValueError(f"{name} must be {lowest}; correct them.")
    return array


class Surrogate:
    """Exported surrogate with encode, decode, step and rollout.

    Args:
        path: The file `surrogate.npz` that `astrokeras export --to numpy` writes.
    """

    def __init__(self, path):
        with zipfile.ZipFile(path) as file:
            self.weights = {
                member.filename.removesuffix(".npy"): _read(file, member)
                for member in file.infolist()
            }
        self.about = json.loads(str(self.weights.pop("about")))
        self.settings = json.loads(str(self.weights.pop("facts")))

    def encode(self, abundances):
        """Return the latents, (N, L), of abundances, (N, S)."""
        given = _take("abundances", abundances, (None, self.species), -1e-12)
        return self._encode(self._scale(given))

    def decode(self, latents):
        """Return the abundances, (N, S), of latents, (N, L)."""
        known = len(self.weights["latents/scale"])
        return self._finish(self._decode(_take("latents", latents, (None, known))))

    def step(self, abundances, physical, years):
        """Return the abundances after one time step, (N, S)."""
        physical = _take("physical", physical, (None, None), 0)
        years = _take("years", years, (None,), 0)
        return self.rollout(abundances, physical[:, None], years[:, None])[:, 0]

    def rollout(self, abundances, physical, years):
        """Return the abundances after each time step, (N, T, S)."""
        initial = _take("abundances", abundances, (None, self.species), -1e-12)
        count = len(self.about["parameters"])
        physical = _take("physical", physical, (len(initial), None, count), 0)
        years = _take("years", years, physical.shape[:2], 0)
        scaled = self._scale(initial)
        latents = self._encode(scaled)
        features = self._features(physical, years)
        residual = scaled - self._decode(latents)
        totals = np.maximum(initial @ self.weights["atoms"], TINY)
        path = np.zeros((len(initial), 1), "f4")
        states = np.full((*years.shape, self.species), np.nan, "f4")
        for t in range(years.shape[1]):
            before, latents = latents, self._step(latents, features[:, t])
            path += np.sqrt(np.square(latents - before).mean(-1, keepdims=True))
            state = self._decode(latents)
            if self.settings["residual_decay_length"]:
                state = state + residual * np.exp(
                    -path / self.settings["residual_decay_length"]
                )
            state = self._finish(state)
            states[:, t] = self._conserve(state, totals) if self.conserves else state
        return states

    @property
    def species(self):
        """Number of species."""
        return len(self.about["species"])

    @property
    def conserves(self):
        """Whether rollouts conserve the element totals of state 0."""
        return self.about["conserve"]

    def _scale(self, abundances):
        floor = self.about["floor"]
        # Predicted abundances within a margin below the floor are not changed.
        least = floor * 10 ** -(self.settings["margin"] + 0.01)
        logs = np.log10(np.where(abundances < least, floor, abundances))
        return (1 - logs / np.log10(floor)).astype("f4")

    def _finish(self, scaled):
        """Return abundances within the trained ranges."""
        decades = -np.log10(self.about["floor"])
        inside = np.clip(scaled, self.weights["low"], self.weights["high"])
        return np.power(10.0, (inside - 1) * decades).astype("f4")

    def _affine(self, name, x, reverse=False):
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

    def _encode(self, scaled):
        x = self._affine("species", scaled)
        if self.settings["kind"] == "projection":
            x = x @ self.weights["kernel"]
        else:
            depth = self.settings["depth"]
            for i in range(depth):
                x = self._dense(f"dense_{i}", x)
                if i < depth - 1 or self.settings["latent_activation"]:
                    x = self._activate(self._norm(f"encoder_norm_{i}", x))
        return self._affine("latents", x).astype("f4")

    def _decode(self, latents):
        x = z = self._affine("latents", latents, reverse=True)
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
        return self._affine("species", x, reverse=True)

    def _features(self, physical, years):
        """Return the input of the emulator beside the latents, (N, T, F)."""
        logs = np.log10(physical)
        p = self._affine("parameters", logs)
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

    def _step(self, latents, features):
        """Return the mean of the cells' next latents, (N, L)."""
        drives = np.split(self._dense("drive", features), self.settings["cells"], -1)
        return np.mean([self._next(k, latents, d) for k, d in enumerate(drives)], 0)

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

    def _conserve(self, x, wanted):
        """Return abundances with element totals `wanted`, scaled by exp(c A mu)."""
        atoms, settings = self.weights["atoms"], self.settings["conservation"]
        with np.errstate(divide="ignore"):  # electrons contain no element
            x = np.minimum(x, 1 / (atoms / wanted[:, None]).max(-1))
        present = np.maximum(x @ atoms, TINY)
        share = np.clip(x * (atoms / present[:, None]).max(-1), 1e-30, 1)
        weight, mu = share ** settings["power"], np.zeros_like(wanted)
        products = atoms[:, :, None] * atoms[:, None]
        for _ in range(settings["steps"]):
            moved = x * np.exp(np.clip(weight * (mu @ atoms.T), -60, 60))
            totals = np.maximum(moved @ atoms, TINY)
            jacobian = np.tensordot(moved * weight, products, 1)
            diagonal = np.einsum("nii->ni", jacobian)
            scale = 1 / np.sqrt(diagonal + TINY)
            jacobian = jacobian * scale[:, :, None] * scale[:, None]
            jacobian += RIDGE * np.eye(len(scale.T), dtype="f4")
            right = scale * totals * np.log(wanted / totals)
            change = np.linalg.solve(jacobian, right[..., None])[..., 0] * scale
            largest = np.abs(change).max(-1, keepdims=True)
            mu = mu + change / np.maximum(largest / settings["limit"], 1)
        moved = x * np.exp(np.clip(weight * (mu @ atoms.T), -60, 60))
        return moved.astype("f4")
