"""What formulas are written in: lattices, field components, site-dependent couplings, and exact numbers."""
