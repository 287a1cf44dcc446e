"""Solvers, which integrate the chemistry along trajectories."""
