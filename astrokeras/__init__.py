"""Neural surrogates of gas-grain astrochemistry, on Keras 3.

The names below are the whole public interface, with the figures of
`astrokeras.plotting`. They load on first use: importing the package imports no backend,
so that the command line can answer before Keras starts.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from astrokeras.chemistry.species import parse_species as parse_species
    from astrokeras.chemistry.stoichiometry import (
        stoichiometric_matrix as stoichiometric_matrix,
    )
    from astrokeras.config import Config as Config
    from astrokeras.config import compose as compose
    from astrokeras.data.importers.array_tracers import read_tracers as read_tracers
    from astrokeras.data.importers.array_tracers import write_tracers as write_tracers
    from astrokeras.data.tracers.block import Tracers as Tracers
    from astrokeras.data.tracers.reader import TracerStore as TracerStore
    from astrokeras.data.tracers.writer import TracerWriter as TracerWriter
    from astrokeras.errors import InputError as InputError
    from astrokeras.errors import OutsideBoxWarning as OutsideBoxWarning
    from astrokeras.errors import UnphysicalWarning as UnphysicalWarning
    from astrokeras.errors import UnreliableWarning as UnreliableWarning
    from astrokeras.errors import WorkError as WorkError
    from astrokeras.models.autoencoder import Autoencoder as Autoencoder
    from astrokeras.models.emulator import Emulator as Emulator
    from astrokeras.models.projection_autoencoder import (
        ProjectionAutoencoder as ProjectionAutoencoder,
    )
    from astrokeras.models.surrogate import Surrogate as Surrogate
    from astrokeras.runs.loading import load as load
    from astrokeras.system.malloc import keep_memory as keep_memory
    from astrokeras.system.package_data import resource as resource

_MODULES = {
    # A trained surrogate, by the name of a preset or the path of a run.
    "load": "runs.loading",
    # Models: these import Keras, and with it a backend.
    "Surrogate": "models.surrogate",
    "Autoencoder": "models.autoencoder",
    "ProjectionAutoencoder": "models.projection_autoencoder",
    "Emulator": "models.emulator",
    # Tracer files.
    "TracerStore": "data.tracers.reader",
    "TracerWriter": "data.tracers.writer",
    "Tracers": "data.tracers.block",
    "read_tracers": "data.importers.array_tracers",
    "write_tracers": "data.importers.array_tracers",
    # What ships: the folders `data`, `configs` and `saved_models`.
    "resource": "system.package_data",
    # Chemistry of species names.
    "parse_species": "chemistry.species",
    "stoichiometric_matrix": "chemistry.stoichiometry",
    # Configuration.
    "compose": "config",
    "Config": "config",
    # Speed: freed memory stays with the process.
    "keep_memory": "system.malloc",
    # Errors, and the warning of what lies outside the training ranges.
    "InputError": "errors",
    "OutsideBoxWarning": "errors",
    "UnreliableWarning": "errors",
    "UnphysicalWarning": "errors",
    "WorkError": "errors",
}
_NEED_KERAS = {"load", "Surrogate", "Autoencoder", "ProjectionAutoencoder", "Emulator"}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        from astrokeras.system.close_names import suggest

        near = suggest(name, __all__, "")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{near}")
    if name in _NEED_KERAS:
        from astrokeras.system.backend import select_backend

        select_backend()
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
