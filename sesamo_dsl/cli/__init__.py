"""The command line, ``sesamo-dsl``: declarations, runs, scans, and what samples without a model."""

# in the order in which commands are listed
from . import new, declarations, derived, training, scans, runs, untrained, doctor  # noqa: I001
from .application import app, main

__all__ = [
    "app",
    "declarations",
    "derived",
    "doctor",
    "main",
    "new",
    "runs",
    "scans",
    "training",
    "untrained",
]
