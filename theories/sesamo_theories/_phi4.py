"""What the φ⁴ family has in common: the action, the source and the observables."""

from collections.abc import Mapping, Sequence

import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.symbols.fields import Field, FieldComponent, Parameter


def density(phi: sd.VectorField, kappa: sp.Expr, lam: sp.Expr) -> sp.Expr:
    """−2κ Σ_μ φ_x·φ_{x+μ} + (1−2λ) φ_x² + λ(φ_x²)²."""
    hopping = sum(phi.dot(phi.shift(mu)) for mu in phi.lattice.directions)
    return -2 * kappa * hopping + (1 - 2 * lam) * phi.squared + lam * phi.squared**2


def phi4_theory(
    name: str,
    field: Field,
    action: sp.Expr,
    *,
    symmetries: Sequence[sd.Symmetry | sd.LieSymmetry],
    defaults: Mapping[Parameter, float],
    observables: Mapping[str, sp.Expr] | None = None,
    notes: Sequence[str] = (),
) -> sd.Theory:
    """A theory of n components with the observables of the family; m = Σ_x φ_x/V is a vector.

    Susceptibility V(⟨m²⟩ − ⟨|m|⟩²); Binder cumulant 1 − n⟨m⁴⟩/((n+2)⟨m²⟩²), which is 0 for Gaussian m and
    2/(n+2) for fixed |m|.
    """
    components: tuple[FieldComponent, ...] = field.components
    lattice, n = components[0].lattice, len(components)
    mean = [lattice.sum(c) / lattice.volume for c in components]
    m_squared = sp.Add(*(m**2 for m in mean))
    m1, m2, m4 = sp.symbols("abs_m m_squared m_fourth")
    return sd.Theory(
        name,
        fields=[field],
        action=action,
        symmetries=symmetries,
        defaults=defaults,
        observables={
            "action_density": action / lattice.volume,
            "abs_m": sp.Abs(mean[0]) if n == 1 else sp.sqrt(m_squared),
            **({"m": mean[0]} if n == 1 else {"sum_of_components_of_m": sp.Add(*mean)}),
            "m_squared": m_squared,
            "m_fourth": m_squared**2,
            "phi_squared": lattice.sum(sp.Add(*(c**2 for c in components))) / lattice.volume,
            **(observables or {}),
        },
        derived={
            "susceptibility": lattice.volume * (m2 - m1**2),
            "binder_cumulant": 1 - sp.Rational(n, n + 2) * m4 / m2**2,
        },
        notes=notes,
    )
