"""Plain values that all rooms hand on: couplings, the precision, the order of the nodes of a graph."""
