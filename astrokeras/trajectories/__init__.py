"""Trajectories of gas, without chemistry."""
