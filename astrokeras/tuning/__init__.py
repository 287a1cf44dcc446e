"""Hyperparameter searches with keras-tuner."""
