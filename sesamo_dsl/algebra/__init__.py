"""Normal forms: expressions are brought to one spelling, modulo translations of the lattice."""
