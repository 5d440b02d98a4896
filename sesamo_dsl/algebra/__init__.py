"""Normal forms of expressions, modulo translations of the lattice, and exact linear algebra."""
