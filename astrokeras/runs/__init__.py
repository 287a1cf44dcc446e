"""Run directories: what training leaves behind, and how it is found and loaded."""
