"""NumPy format: a file of weights, and a package that runs it with NumPy only."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from astrokeras.data.tracers.abundance_scaling import MARGIN_DEX
from astrokeras.data.tracers.file_format import HIGHEST, LOWEST
from astrokeras.errors import InputError
from astrokeras.export import numpy_runtime
from astrokeras.export.checked_rollout import CheckedRollout
from astrokeras.export.export import Functions, describe
from astrokeras.export.functions import NAMES, ExportedFunction
from astrokeras.layers import exposure_features, rate_features
from astrokeras.layers.exposure_features import ExposureFeatures
from astrokeras.layers.rate_features import RateFeatures
from astrokeras.layers.residual_cell import REACH, SLOPE, ResidualCell
from astrokeras.layers.trust_model import SMALL
from astrokeras.models.projection_autoencoder import ProjectionAutoencoder
from astrokeras.models.trust_assessment import TOTALS_DEX, UNREPAIRED

FILE = "surrogate.npz"
READER = "numpy_reader"  # name of the copy of `numpy_runtime`


def write(surrogate: Any, functions: dict[str, ExportedFunction], folder: Path) -> None:
    """Write the weights, and a copy of the runtime."""
    emulator = surrogate.emulator
    weights = {"atoms": surrogate.stoichiometry.astype("f4")}
    weights["low"], weights["high"] = surrogate.decoded_range
    weights |= _named("parameters", surrogate.parameter_scaler)
    weights |= _named("latents", emulator.latent_scaler)
    weights |= _autoencoder_weights(emulator.autoencoder)
    weights |= _named("drive", emulator.recurrence.drive)
    if emulator.exposures:
        weights["exposures/matrix"] = emulator.exposures.matrix
        weights["exposures/constant"] = emulator.exposures.constant
    for number, cell in enumerate(emulator.recurrence.members):
        weights |= _cell_weights(f"cell_{number}", cell)
    checked = CheckedRollout(surrogate)
    for name in ("parameter_bounds", "species_bounds", "typical", "typical_state"):
        weights[name] = getattr(checked, name)
    if surrogate.trust is not None:
        weights |= _named("trust", surrogate.trust)
    architecture = _architecture(emulator) | {
        "limits": {
            "abundances": [LOWEST, HIGHEST],
            "shortest": float(checked.shortest),
            "longest": float(checked.longest),
            "last": float(checked.last),
            "totals": TOTALS_DEX,
            "unrepaired": UNREPAIRED,
        },
        "trust": {"small": SMALL},
        "residual_decay_length": surrogate.residual_decay_length,
        "margin": MARGIN_DEX,
        "conservation": {
            name: getattr(surrogate.conservation, name)
            for name in ("steps", "power", "limit")
        },
    }
    described = {"about": describe(surrogate), "facts": architecture}
    texts = {name: np.array(json.dumps(value)) for name, value in described.items()}
    np.savez(folder / FILE, **weights, **texts)  # type: ignore[arg-type]
    source = Path(numpy_runtime.__file__).parent
    (folder / READER).mkdir()
    for module in source.glob("*.py"):
        shutil.copy(module, folder / READER)


def read(folder: Path) -> Functions:
    """Return the functions of the runtime in the folder."""
    start = folder / READER / "__init__.py"
    within = [str(start.parent)]
    name = "exported_numpy_reader"
    spec = importlib.util.spec_from_file_location(
        name, start, submodule_search_locations=within
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    known = [key for key in sys.modules if key.split(".")[0] == name]
    for key in known:  # of another folder
        del sys.modules[key]
    sys.modules[name] = module
    spec.loader.exec_module(module)
    model = module.Surrogate(folder / FILE)
    single = {name: getattr(model, name) for name in ("encode", "decode")}
    functions: Functions = {name: getattr(model, name) for name in NAMES}
    return functions | {
        name: lambda given, one=function: (one(given),)
        for name, function in single.items()
    }


def _named(name: str, layer: Any) -> dict[str, np.ndarray]:
    """Return the weights of a layer, named by the last part of their paths."""
    return {
        f"{name}/{weight.path.split('/')[-1]}": ops.convert_to_numpy(weight.value)
        for weight in layer.weights
    }


def _autoencoder_weights(model: Any) -> dict[str, np.ndarray]:
    weights = _named("species", model.species_scaler)
    for i, layer in enumerate(model.dense):
        weights |= _named(f"dense_{i}", layer)
    if isinstance(model, ProjectionAutoencoder):
        weights["kernel"] = ops.convert_to_numpy(model.kernel.value)
        return weights | _named("last", model.last)
    for kind in ("encoder", "decoder"):
        for i, layer in enumerate(getattr(model, f"{kind}_norms")):
            weights |= _named(f"{kind}_norm_{i}", layer)
    return weights


def _cell_weights(name: str, cell: ResidualCell) -> dict[str, np.ndarray]:
    weights = _named(f"{name}/first", cell.first)
    for i, layer in enumerate(cell.inner):
        weights |= _named(f"{name}/inner_{i}", layer)
    weights |= _named(f"{name}/last", cell.last)
    if cell.relaxing:
        weights |= _named(f"{name}/rate", cell.rate)
    if cell.bounds is not None:
        weights["bounds"] = cell.bounds  # the same for all cells
    return weights


def _architecture(emulator: Any) -> dict[str, Any]:
    """Return the settings of the architecture that the runtime module needs."""
    coder, cells = emulator.autoencoder, emulator.recurrence.members
    cell = cells[0]
    for activation in (coder.activation, cell.activation):
        if activation not in numpy_runtime.ACTIVATIONS:
            raise InputError(
                f"the NumPy format has no activation {activation!r}; use "
                f"{', '.join(numpy_runtime.ACTIVATIONS)}, or export to another format."
            )
    projection = isinstance(coder, ProjectionAutoencoder)
    return {
        "kind": "projection" if projection else "dense",
        "depth": len(coder.dense) + projection,
        "latent_activation": not projection and coder.latent_activation,
        "output": "linear" if projection else coder.output_activation,
        "coder": coder.activation,
        "cell": cell.activation,
        "cells": len(cells),
        "inner": len(cell.inner),
        "relaxing": [REACH, SLOPE] if cell.relaxing else None,
        "use_timestep": emulator.use_timestep,
        "rates": emulator.rates and _rate_settings(emulator.rates),
        "exposures": emulator.exposures and _exposure_settings(emulator.exposures),
    }


def _rate_settings(layer: RateFeatures) -> dict[str, Any]:
    """Return the constants of the rate features."""
    names = (
        "SWITCHES",
        "WIDTH",
        "COOL",
        "LARGEST",
        "SHIELDS",
        "DARK",
        "OPAQUE",
        "BLACK",
    )
    constants = {name.lower(): getattr(rate_features, name) for name in names}
    return constants | {"units": layer.units}


def _exposure_settings(layer: ExposureFeatures) -> dict[str, Any]:
    """Return the constants of the exposure features."""
    names = ("BLACK", "LARGEST_COLUMN", "H2_COLUMN", "H2_WIDTH", "LEVELS", "WIDTH")
    constants = {name.lower(): getattr(exposure_features, name) for name in names}
    return constants | {"curves": layer.curves}
