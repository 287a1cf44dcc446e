"""Decorator that registers a class for Keras' serialisation."""

from collections.abc import Callable
from typing import TypeVar

import keras

T = TypeVar("T", bound=type)

# The package name does not depend on the module of a class, so that model files stay
# readable when a class moves to another module.
register: Callable[[T], T] = keras.saving.register_keras_serializable(
    package="astrokeras"
)
