"""Copies of models with the same weights and other arguments."""

from typing import Any

from astrokeras.models.emulator import AnyAutoencoder, Emulator


def copy_model(
    model: AnyAutoencoder | Emulator,
    precision: str = "float32",
    **settings: Any,
) -> Any:
    """Return a copy without optimizer and loss, which a model file does not need.

    Args:
        model: The model.
        precision: Precision of the copy; files use float32, whatever trained the model.
        **settings: Other arguments of the copy.
    """
    config = model.get_config() | {"precision": precision} | settings
    if isinstance(model, Emulator):
        config["autoencoder"] = copy_model(model.autoencoder, precision)
    copy = type(model).from_config(config)
    copy.build()
    copy.set_weights(model.get_weights())
    return copy
