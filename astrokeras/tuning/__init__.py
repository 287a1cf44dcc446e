"""Hyperparameter searches by keras-tuner."""
