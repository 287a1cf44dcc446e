"""Keras layers of the surrogate."""
