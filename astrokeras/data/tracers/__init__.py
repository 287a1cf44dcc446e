"""Tracer files: reading, writing, splitting and summarising them."""
