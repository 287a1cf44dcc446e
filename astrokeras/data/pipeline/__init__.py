"""Training pipeline: from a tracer file to batches on the device."""
