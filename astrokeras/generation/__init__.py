"""Generated tracer data: solvers, workers, verification, proposals."""
