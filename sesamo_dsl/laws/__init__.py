"""Laws of group elements before any framework: their weights, and how orientations are drawn in NumPy."""
