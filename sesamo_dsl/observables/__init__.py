"""Measurements that cannot be declared as sums over sites: two-point functions and fermion correlators."""
