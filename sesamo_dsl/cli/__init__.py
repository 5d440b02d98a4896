"""The command line, ``sesamo-dsl``: theories, check, test, train, sample, check-run, report, compare, hmc,
anneal."""

from . import declarations, runs, untrained  # in the order in which commands are listed
from .application import app, main

__all__ = ["app", "declarations", "main", "runs", "untrained"]
