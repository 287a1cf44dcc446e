"""Trajectories of gas to solve the chemistry along: what happens to it, made up."""
