"""Readers of the files in which other codes leave tracers: from a path to a table."""
