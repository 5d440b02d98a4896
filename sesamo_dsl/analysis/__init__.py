"""What the compiler finds out about a theory; every result is a frozen dataclass."""
