"""Flows without a framework: architecture, Gaussian base, index tables and initial weights, in NumPy."""
