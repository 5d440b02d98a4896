"""Conditional laws of group elements for any framework: their initial weights, and orbit laws in NumPy."""
