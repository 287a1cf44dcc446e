"""Importers: files of other codes become tracer files."""
