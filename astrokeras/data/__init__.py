"""Tracer files: their format, their import, and the pipelines that stream them."""
