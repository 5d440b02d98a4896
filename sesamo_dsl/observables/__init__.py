"""Measurements that no sum over sites can declare: two-point functions and correlators of fermions."""
