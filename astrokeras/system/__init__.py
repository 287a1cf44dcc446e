"""Interface to the operating system: backends, files, locks, signals and memory."""
