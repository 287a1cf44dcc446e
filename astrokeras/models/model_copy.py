"""Copies of models that hold the same numbers and have arguments of their own."""

from typing import Any

from astrokeras.models.emulator import AnyAutoencoder, Emulator
from astrokeras.models.ensemble import Ensemble


def copy_model(
    model: AnyAutoencoder | Emulator | Ensemble,
    precision: str = "float32",
    **settings: Any,
) -> Any:
    """Return a copy without optimiser and loss, which a model file need not carry.

    Args:
        model: The model.
        precision: That of the copy; a file is in float32, whatever trained it.
        **settings: Arguments that the copy has of its own.
    """
    if isinstance(model, Ensemble):
        members = [copy_model(one, precision) for one in model.members]
        copy = Ensemble(members, name=model.name)
        copy.build()
        return copy
    config = model.get_config() | {"precision": precision} | settings
    if isinstance(model, Emulator):
        config["autoencoder"] = copy_model(model.autoencoder, precision)
    copy = type(model).from_config(config)
    copy.build()
    copy.set_weights(model.get_weights())
    return copy
