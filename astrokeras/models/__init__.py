"""Keras models: the autoencoders, the emulator and the surrogate."""
