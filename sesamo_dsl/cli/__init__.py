"""The command line, ``sesamo-dsl``: declarations, runs, and what samples without a model."""

from . import declarations, runs, scans, untrained  # in the order in which commands are listed
from .application import app, main

__all__ = ["app", "declarations", "main", "runs", "scans", "untrained"]
