"""The typed intermediate program between symbolic analysis and emitted source."""
