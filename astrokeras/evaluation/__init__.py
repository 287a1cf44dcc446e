"""Evaluation of a surrogate on tracers it was not trained on."""
