"""Generation of tracer data: solving, verifying and proposing trajectories."""
