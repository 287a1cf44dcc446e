"""Exports of a surrogate to other frameworks and languages."""
