"""Services of the operating system: memory limits, signals, atomic writes of files, timing."""
