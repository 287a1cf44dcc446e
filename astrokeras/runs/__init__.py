"""Runs: the directories of trained surrogates, and how to find and load them."""
