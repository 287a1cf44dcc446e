"""Solvers of the chemistry: what makes abundances out of trajectories."""
