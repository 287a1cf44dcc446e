"""The autoencoder, the emulator and the surrogate made of both."""
