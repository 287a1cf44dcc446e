"""Rollouts of tracer files by a trained surrogate."""
