"""Synthetic trajectories of gas, without chemistry."""
