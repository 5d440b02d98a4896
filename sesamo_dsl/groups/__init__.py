"""Finite groups from generators, and how they act on fields."""
