"""Evaluation: how good a surrogate is on tracers it was not trained on."""
