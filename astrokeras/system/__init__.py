"""What the package needs of the machine: backends, files, locks, signals, memory."""
