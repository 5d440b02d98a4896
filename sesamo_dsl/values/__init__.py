"""Plain values that all rooms hand on: couplings, precision, order of nodes, names that users add."""
