"""Expectation values with errors: from samples, chains and quadrature, and checks of their reliability."""
