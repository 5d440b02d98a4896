"""What the package asks of its machine: memory, signals, files that are written whole or not at all."""
