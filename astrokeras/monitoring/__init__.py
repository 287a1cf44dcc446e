"""TensorBoard: what a training writes for it, and its server."""
