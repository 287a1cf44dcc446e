"""Keras models: the autoencoders, the emulator, the ensemble and the surrogate."""
