"""The symbols of formulas: lattices, field components, couplings, sums, determinants, exact numbers."""
