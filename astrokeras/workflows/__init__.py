"""What the commands do: train, evaluate, predict."""
