"""What is asked of a model, and what is decided: options, methods by name, the base, memory."""
