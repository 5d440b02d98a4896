"""The normal form in which two lattice actions are equal exactly when they are the same expression.

Sums over a periodic lattice do not change when a summand is translated, so every monomial is moved to a
canonical position. Monomials in different positions modulo translations are linearly independent functions,
which makes the comparison of polynomial actions a proof in both directions.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from typing import cast

import numpy as np
import sympy as sp

from ..errors import GroupError
from ..groups.element import Element
from ..groups.staggering import Axes, sign_at_node, sign_constant, sign_of_step
from ..symbols.bonds import BondWeight, exchanged
from ..symbols.exact import NumberTable
from ..symbols.fermions import FermionLogDet, canonical_species
from ..symbols.fields import FieldComponent, angles_in
from ..symbols.lattice import AdjacencyPower, Bond, Bonds, Lattice, SiteSum
from ..symbols.site_constants import SiteConstant, exact_value
from .bond_sums import in_one_orientation, with_sums_over_bonds_together, without_weights
from .site_sums import site_numbers, sum_of_values, without_cancelling_sums
from .waves import in_waves


class NormalForm:
    """Rewrites expressions into normal form; equal numbers are identified through one ``NumberTable``."""

    def __init__(self, numbers: NumberTable) -> None:
        self.numbers = numbers
        self._seen: dict[sp.Basic, sp.Expr] = {}

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The normal form of an action, density or number."""
        if expr not in self._seen:
            self._seen[expr] = self._normalize(expr)
        return self._seen[expr]

    def _normalize(self, expr: sp.Expr) -> sp.Expr:
        if isinstance(expr, SiteSum):
            return self._site_sum(expr) if expr.bonds is None else self._bond_sum(expr)
        if isinstance(expr, FermionLogDet):
            return self._determinant(expr)
        if isinstance(expr, SiteConstant):
            return expr.canonical
        if not expr.args:
            return expr
        if expr.is_number and not expr.has(sp.I):
            return self.numbers.canonical(sp.expand(expr))
        rebuilt = expr.func(*(self(arg) if isinstance(arg, sp.Expr) else arg for arg in expr.args))
        return self._collect(_expand(rebuilt))

    def _collect(self, expr: sp.Expr) -> sp.Expr:
        """Σ number × symbols, with equal symbolic parts merged and the numbers made canonical."""
        numbers: dict[sp.Expr, list[sp.Expr]] = defaultdict(list)
        for term in sp.Add.make_args(expr):
            number, rest = (
                term.as_independent(*term.free_symbols, as_Add=False) if term.free_symbols else (term, 1)
            )
            symbols = [factor for factor in sp.Mul.make_args(number) if not factor.is_number]
            number = sp.Mul(*(factor for factor in sp.Mul.make_args(number) if factor.is_number))
            numbers[sp.Mul(rest, *symbols)].append(number)
        terms = {rest: self.numbers.canonical(sp.expand(sp.Add(*n))) for rest, n in numbers.items()}
        if expr.has(SiteConstant):
            terms = without_cancelling_sums(terms, self.numbers)
        if expr.has(Bonds):
            terms = with_sums_over_bonds_together(terms, self.numbers)
        return sp.Add(*(number * rest for rest, number in terms.items()))

    def _site_sum(self, expr: SiteSum) -> sp.Expr:
        terms: list[sp.Expr] = []
        for term in sp.Add.make_args(self(in_waves(expr.density))):
            fields = term.atoms(FieldComponent, SiteConstant)
            factor, monomial = term.as_independent(*fields, as_Add=False) if fields else (term, None)
            if isinstance(monomial, FieldComponent) and monomial.hops:
                degrees = _sums_of_weights(expr.lattice, monomial.hops)
                if degrees is not None:  # Σ_x (Aφ)(x) = Σ_x (A·1)(x) φ(x)
                    sign, constant = self(degrees).as_coeff_Mul()
                    factor *= sign
                    monomial = constant * monomial.with_hops(None)
            given = None if monomial is None else sum_of_values(monomial)
            if monomial is None:
                terms.append(factor * expr.lattice.volume)
            elif given is not None:
                terms.append(factor * given)
            else:
                sign, monomial = self._canonical_position(monomial).as_coeff_Mul()
                terms.append(factor * sign * SiteSum(expr.lattice.symbol, monomial))
        return self._collect(sp.Add(*terms))

    def _bond_sum(self, expr: SiteSum) -> sp.Expr:
        """The sum with monomials in canonical position and orientation, and with all factors on the bonds."""
        bonds = cast(Bonds, expr.bonds)
        terms: list[sp.Expr] = []
        for term in sp.Add.make_args(self(in_waves(expr.density))):
            fields = term.atoms(FieldComponent, BondWeight)
            factor, monomial = term.as_independent(*fields, as_Add=False) if fields else (term, sp.S.One)
            for some, summand in without_weights(bonds, monomial):
                if summand != monomial and not summand.has(BondWeight):  # a weight became a number
                    terms.append(factor * self(SiteSum(some, summand)))
                elif not summand.atoms(FieldComponent, BondWeight):
                    terms.append(factor * SiteSum(some, summand).of_one * summand)
                else:
                    positions = map(self._canonical_position, (summand, exchanged(summand)))
                    terms.append(factor * in_one_orientation(some, *positions))
        return self._collect(sp.Add(*terms))

    def _determinant(self, expr: FermionLogDet) -> sp.Expr:
        """The determinant at a canonical time, which does not change it, and with a canonical species."""
        field = self._canonical_position(self(expr.field))
        found = canonical_species(FermionLogDet(expr.hopping, self(expr.beta), field, expr.species))
        return found if isinstance(found, FermionLogDet) else self._collect(_sums_in(found, self))

    def _canonical_position(self, monomial: sp.Expr) -> sp.Expr:
        if any(field.hops for field in monomial.atoms(FieldComponent)):
            monomial = _settled(monomial)
        fields, constants = monomial.atoms(FieldComponent), monomial.atoms(SiteConstant)
        origins = {f.offset for f in fields} or {h.offset for h in constants if h.offset is not None}
        images: list[sp.Expr] = []
        for origin in origins:
            moved: dict[sp.Basic, sp.Expr] = {
                f: f.at(tuple(a - b for a, b in zip(f.offset, origin, strict=True))) for f in fields
            }
            # the coefficients move with the fields, and equal ones get one spelling
            moved |= {h: h.moved(tuple(-b for b in origin)).canonical for h in constants}
            images.append(monomial.xreplace(moved))
        if len(images) > 1 and angles_in(monomial) and any(-image in images for image in images):
            return sp.S.Zero  # a sine that a translation takes to its negative
        if len(images) > 1:  # text takes long to write
            return min(images, key=_alphabetical)
        return images[0] if images else monomial


def _alphabetical(monomial: sp.Expr) -> tuple[str, str]:
    """Sort key: fields first, so that a product has one position whatever its coefficient."""
    constants = monomial.atoms(SiteConstant)
    whole = sp.sstr(monomial.as_coeff_Mul()[::-1])
    if not constants:
        return whole, whole
    fields = monomial.xreplace(dict.fromkeys(constants, sp.S.One))
    return sp.sstr(fields.as_coeff_Mul()[::-1]), whole


def _expand(expr: sp.Expr) -> sp.Expr:
    # exp(a + b) and log(a b) stay whole: a log-sum-exp is recognised by its exponents
    expanded = sp.expand(expr, power_exp=False, power_base=False, log=False)
    # SymPy multiplies numbers into denominators, 1/(2 (x + 2)) = 1/(2 x + 4): back out with them
    inverse = {p: _primitive(p) for p in expanded.atoms(sp.Pow) if p.exp.is_negative and p.base.is_Add}
    changed = {p: image for p, image in inverse.items() if image != p}
    return expanded.xreplace(changed) if changed else expanded


def _primitive(power: sp.Pow) -> sp.Expr:
    """(n b)^−k as n^−k b^−k, n the content of the sum in the denominator."""
    content, base = power.base.primitive()
    return content**power.exp * base**power.exp


def _constant_seen_by(field: FieldComponent, constant: sp.Expr) -> sp.Expr:
    """Aᵏ·constant for the hops of a field; a site constant if the nodes have different degrees."""
    if field.hops is None or constant == 0:
        return constant
    factor = _sums_of_weights(field.lattice, field.hops)
    if factor is None:
        raise GroupError(
            f"shift of {field} by {constant}",
            expected="weights whose sums at every node are decimals, or the same sum at all nodes",
            found=f"different sums on {field.lattice}",
            remedy="declare the group on linear combinations of components alone",
        )
    return factor * constant


def _sums_of_weights(lattice: Lattice, hops: AdjacencyPower) -> sp.Expr | None:
    """Aᵏ·1, a number or a site constant; None where floating-point numbers cannot spell it exactly."""
    if hops.on_constants is not None:
        return hops.on_constants
    values = [float(value) for value in hops.of_ones]
    if any(exact_value(v) != exact for v, exact in zip(values, hops.of_ones, strict=True)):
        return None
    return SiteConstant.given(f"A^{hops.steps}·1", lattice, np.broadcast_to(values, lattice.shape))


def _sums_in(expr: sp.Expr, normal_form: NormalForm) -> sp.Expr:
    return expr.xreplace({node: normal_form(node) for node in expr.atoms(SiteSum)})


def _settled(monomial: sp.Expr) -> sp.Expr:
    """A product of two fields with all hops on one of them: Σ (Aⁱf)(Aʲg) = Σ f (Aⁱ⁺ʲg), A symmetric.

    The hops are on f or on g, whichever product sorts first.
    """
    factors = [f for power in sp.Mul.make_args(monomial) for f in _repeated(power)]
    if len(factors) != 2 or not all(isinstance(f, FieldComponent) for f in factors):
        return monomial
    f, g = cast(list[FieldComponent], factors)
    hops = [h for h in (f.hops, g.hops) if h is not None]
    if len({h.edges for h in hops}) > 1:
        return monomial
    total = replace(hops[0], steps=sum(h.steps for h in hops))
    candidates = [f.with_hops(None) * g.with_hops(total), f.with_hops(total) * g.with_hops(None)]
    return min(candidates, key=sp.sstr)


def _repeated(factor: sp.Basic) -> list[sp.Basic]:
    base, exponent = factor.as_base_exp()
    return [base, base] if exponent == 2 else [factor]


def transformed(expr: sp.Expr, element: Element, components: tuple[FieldComponent, ...]) -> sp.Expr:
    """expr∘T_g: every φ_a(x + o) replaced by Σ_b R_ab φ_b(x + P⁻¹o) + s_a, the sum over x relabelled by g.

    A map of the nodes replaces the adjacency A_xy by A_(gx)(gy), and hopping matrices likewise. Any map of
    the sites replaces h(x) by h(gx). Alternating signs are symbols χ(gx) in the image.
    """
    images: dict[sp.Basic, sp.Basic] = {}
    if element.signs:
        for node in expr.atoms(SiteSum):
            images[node] = (
                node.over(_alternating(node.density, element, components))
                if node.bonds is None
                else _alternating_bonds(node, element, components)
            )
    else:
        images |= _images(expr, element, components, {})
        images |= {bonds: bonds.renamed(element.sites.inverse.nodes) for bonds in expr.atoms(Bonds)}
    for node in expr.atoms(FermionLogDet):
        hopping = node.hopping.renamed(element.sites.nodes)
        field = _alternating(node.field, element, components)
        images[node] = node.func(hopping, node.beta, field, node.species)
    return expr.xreplace(images)


def _alternating(density: sp.Expr, element: Element, components: tuple[FieldComponent, ...]) -> sp.Expr:
    """The image of a density.

    Each sign takes two values, so that the image is Σ_s Π_i (1 + s_i χ_i(x))/2 · d_s, where the density d_s
    has the numbers s_i = ±1 in the place of the signs χ_i(x).
    """
    signs = _signs_in(density, element, components)
    lattice = element.sites.lattice
    symbols = [sign_constant(lattice, axes) for axes in signs]
    if not element.sites.is_identity:
        symbols = [symbol.at_images(site_numbers(element.sites)) for symbol in symbols]
    total: list[sp.Expr] = []
    for values in itertools.product((1, -1), repeat=len(signs)):
        here = sp.Mul(*((1 + s * symbol) / 2 for s, symbol in zip(values, symbols, strict=True)))
        images = _images(
            density, element, components, {(s, 0): v for s, v in zip(signs, values, strict=True)}
        )
        total.append(sp.expand(here) * density.xreplace(images))
    return sp.Add(*total)


def _alternating_bonds(node: SiteSum, element: Element, components: tuple[FieldComponent, ...]) -> sp.Expr:
    """The image of a sum over bonds: one sum for each set of bonds that have equal signs at their ends."""
    bonds = cast(Bonds, node.bonds)
    signs = _signs_in(node.density, element, components)
    groups: dict[tuple[tuple[int, ...], ...], list[Bond]] = {}
    for bond in bonds.bonds:
        at_ends = (tuple(sign_at_node(bonds.lattice, axes, n) for axes in signs) for n in bond[:2])
        groups.setdefault(tuple(at_ends), []).append(bond)
    total: list[sp.Expr] = []
    for at_ends, members in groups.items():
        known = {(s, end): v for end, of in enumerate(at_ends, 1) for s, v in zip(signs, of, strict=True)}
        density = node.density.xreplace(_images(node.density, element, components, known))
        later = {
            key: v * (-1 if any(mu != bonds.lattice.graph_axis for mu in key[0]) else 1)
            for key, v in known.items()
        }
        other = node.density.xreplace(_images(node.density, element, components, later))
        if sp.expand(density - other) != 0:
            raise GroupError(
                f"staggered signs of {element}",
                expected="sums over bonds that are the same at even and at odd times",
                found=f"{node}",
                remedy="leave the time axis out with axes=(…), or use lattice.neighbours(phi)",
            )
        moved = Bonds(bonds.lattice, members).renamed(element.sites.inverse.nodes)
        total.append(SiteSum(moved, density))
    return sp.Add(*total)


def _signs_in(density: sp.Expr, element: Element, components: tuple[FieldComponent, ...]) -> list[Axes]:
    """The distinct alternating signs of the components in a density."""
    if not element.signs:
        return []
    present = {(f.field, f.component) for f in density.atoms(FieldComponent)}
    pairs = zip(components, element.signs, strict=True)
    return sorted({axes for c, axes in pairs if axes and (c.field, c.component) in present})


def _images(
    expr: sp.Expr,
    element: Element,
    components: tuple[FieldComponent, ...],
    signs: dict[tuple[Axes, int], int],
) -> dict[sp.Basic, sp.Basic]:
    """The images of fields and site constants, with numbers in the place of the signs χ(x).

    ``signs`` has a number for each (sign, place): place 0 is the running site, 1 and 2 the ends of a bond.
    """
    images: dict[sp.Basic, sp.Basic] = {}
    back = element.sites.inverse
    position = {(c.field, c.component): a for a, c in enumerate(components)}
    if not element.sites.is_identity:
        forth = site_numbers(element.sites)
        images |= {h: h.at_images(forth) for h in expr.atoms(SiteConstant)}
    for field in expr.atoms(FieldComponent):
        a = position[field.field, field.component]
        place = field.at(back.linear_image(field.offset))
        if field.hops is not None:
            place = place.with_hops(field.hops.renamed(back.nodes))
        sign = 1
        if element.signs and element.signs[a]:
            axes = element.signs[a]
            sign = signs[axes, field.end] * sign_of_step(field.lattice, axes, field.offset, field.hops)
        shift = element.shift[a] if element.shift else sp.S.Zero
        row = zip(element.matrix.row(a), components, strict=True)
        images[field] = sp.Add(
            _constant_seen_by(field, shift),
            *(sign * entry * c.placed_like(place) for entry, c in row if entry != 0),
        )
    return images
