"""Importers, which convert files of other codes to tracer files."""
