"""Value types that all rooms share: couplings, precision, arrays, order of nodes, registered names."""
