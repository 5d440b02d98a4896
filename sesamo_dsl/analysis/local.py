"""Invariance under a finite group that acts at every block of sites independently, and the split under it.

The action is invariant exactly when it does not change if the group acts at one block and nowhere else. In a
monomial with fields of several blocks, the fields of one block are transformed, for each of its blocks in
turn, and are renamed to mark this block. After translation to canonical positions the marked monomials are
linearly independent functions, so that the change vanishes exactly when every coefficient does.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ..algebra.identity_form import IdentityForm
from ..algebra.normal_form import NormalForm
from ..groups.element import Element
from ..groups.finite import FiniteGroup
from ..language.theory import Theory
from ..symbols.fields import FieldComponent
from ..symbols.lattice import Functional, SiteSum
from .counterexamples import refuse_contradiction
from .invariance import Verdict, find_counterexample

_Class = tuple[tuple[int, ...], object]


class LocalAction:
    """The terms of an action, and their change when a group element acts at one block.

    Parameters
    ----------
    axes
        The block axes.
    """

    def __init__(self, theory: Theory, axes: tuple[int, ...], normal_form: NormalForm) -> None:
        self.theory, self.axes = theory, axes
        self._normal_form = normal_form
        self._position = {(c.field, c.component): a for a, c in enumerate(theory.components)}
        self._hops_reach_other_blocks = theory.lattice.graph_axis in axes
        self.terms = list(sp.Add.make_args(normal_form(theory.action)))

    def change(self, terms: Sequence[sp.Expr], element: Element) -> sp.Expr:
        """The change of some terms in normal form, 0 if it vanishes.

        Determinants and products of sums have no such form; they count as changed if one of their fields is.
        """
        pieces = []
        for term in terms:
            parts = coefficient_and_sum(term)
            if parts is None:  # a determinant or product of sums, which couples all blocks
                if any(self._image(f, element, f) != f for f in _sorted(term.atoms(FieldComponent))):
                    pieces.append(term)
                continue
            factor, node = parts
            for members in self._classes(node.density).values():
                before, after = (self._marked(node.density, members, g) for g in (None, element))
                pieces += [factor * SiteSum(node.args[0], after), -factor * SiteSum(node.args[0], before)]
        return self._normal_form(sp.Add(*pieces))

    def leaves_alone(self, terms: Sequence[sp.Expr], element: Element) -> bool:
        """Whether the change of these terms is proved to vanish."""
        change = self.change(terms, element)
        return change == 0 or IdentityForm.vanish(self._normal_form, change)

    def breaking(self, elements: Sequence[Element]) -> sp.Expr:
        """S₁: the terms that an element changes, minus their average over copies of the group at every block.

        If the difference has more terms, S₁ is these terms as they are.
        """
        moved = [t for t in self.terms if any(self.change([t], g) != 0 for g in elements)]
        invariant = sp.Add(*(self._invariant_part(term, elements) for term in moved))
        everything = sp.Add(*moved)
        smaller = self._normal_form(everything - invariant)
        return smaller if len(sp.Add.make_args(smaller)) <= len(moved) else everything

    def touches_one_block(self, term: sp.Expr) -> bool:
        """Whether a term is a sum over sites whose summand has fields of one block only."""
        parts = coefficient_and_sum(term)
        if parts is None:
            return not term.atoms(FieldComponent)
        classes = self._classes(parts[1].density)
        return len(classes) <= 1 and all(hops is None for _, hops in classes)

    def _invariant_part(self, term: sp.Expr, elements: Sequence[Element]) -> sp.Expr:
        """The average of a term over all copies of the group, 0 where it is not computed.

        The average is taken at one block of the term after the other, so that the product of the copies is
        never enumerated.
        """
        parts = coefficient_and_sum(term)
        if parts is None:
            return sp.S.Zero
        factor, node = parts
        density = node.density
        for (_, hops), members in self._classes(density).items():
            if hops is not None:
                return sp.S.Zero
            images = [density.xreplace({f: self._image(f, g, f) for f in members}) for g in elements]
            density = self._normal_form(sp.Add(*images) / len(elements))
        return factor * SiteSum(node.args[0], density)

    def _classes(self, density: sp.Expr) -> dict[_Class, list[FieldComponent]]:
        """The fields of a density grouped by their block; sums over neighbours have classes of their own."""
        classes: dict[_Class, list[FieldComponent]] = {}
        for field in _sorted(density.atoms(FieldComponent)):
            hops = field.hops if self._hops_reach_other_blocks else None
            end = field.end if self._hops_reach_other_blocks else 0
            place = (*(field.offset[mu] for mu in self.axes), end)
            classes.setdefault((place, hops), []).append(field)
        return classes

    def _marked(self, density: sp.Expr, members: list[FieldComponent], element: Element | None) -> sp.Expr:
        """The density with the fields of one block renamed, after the element has acted on them.

        A sum over neighbours (Aφ)(x) has one summand in the block, which is split off as a field of its own.
        """
        images: dict[sp.Basic, sp.Basic] = {}
        for field in members:
            hops = field.hops if self._hops_reach_other_blocks else None
            mark = _renamed(field, "°") if hops is None else _renamed(field.with_hops(None), f"°{hops.steps}")
            image = mark if element is None else self._image(field, element, mark)
            images[field] = image if hops is None else field + image
        return density.xreplace(images)

    def _image(self, field: FieldComponent, element: Element, place: FieldComponent) -> sp.Expr:
        """Σ_b R_ab φ_b, every φ_b at the site of ``place`` and with the mark of its name."""
        row = element.matrix.row(self._position[field.field, field.component])
        mark = place.field[len(field.field) :]
        terms = (
            entry * _renamed(c.placed_like(place), mark)
            for entry, c in zip(row, self.theory.components, strict=True)
            if entry != 0
        )
        return sp.Add(*terms)


def judge_local(
    theory: Theory,
    group: FiniteGroup[Element],
    generator: int,
    axes: tuple[int, ...],
    normal_form: NormalForm,
) -> Verdict:
    """Decide invariance of the action under an element that acts at any one block alone.

    Parameters
    ----------
    generator
        Index of the element in the group.

    Returns
    -------
    Verdict
        The verdict; its residual is the part of S that the element changes.
    """
    local, element = LocalAction(theory, axes, normal_form), group.elements[generator]
    found = find_counterexample(theory, element, axes)
    if local.leaves_alone(local.terms, element):
        refuse_contradiction(theory, f"{element} at one block", found)
        return Verdict(element, "exact", sp.S.Zero, "proved: nothing changes when it acts at one block only")
    residual = local.breaking([group.elements[g] for g in group.subgroup([generator])])
    if found is None:
        return Verdict(
            element, "undecided", residual, "no configuration tells its action at one block, not proved"
        )
    evidence = f"refuted: acting at block {found.block} it changes the action by {found.difference:.6g}"
    return Verdict(element, "broken", residual, evidence, found)


def split_local(
    theory: Theory, group: FiniteGroup[Element], axes: tuple[int, ...], normal_form: NormalForm
) -> tuple[sp.Expr, bool]:
    """(S₁, whether S₁ is a sum of functions of one block each), S = S₀ + S₁ with S₀ invariant."""
    local = LocalAction(theory, axes, normal_form)
    if all(local.leaves_alone(local.terms, g) for g in group.generators):
        return sp.S.Zero, True
    breaking = local.breaking(group.elements)
    return breaking, all(local.touches_one_block(t) for t in sp.Add.make_args(breaking))


def coefficient_and_sum(term: sp.Expr) -> tuple[sp.Expr, SiteSum] | None:
    """(factor, sum) of factor·Σ_x density, None for anything that is no multiple of one sum."""
    nodes = term.atoms(Functional)
    if len(nodes) != 1:
        return None
    factor, rest = term.as_independent(*nodes, as_Add=False)
    return (factor, rest) if isinstance(rest, SiteSum) else None


def _sorted(fields: set[FieldComponent]) -> list[FieldComponent]:
    return sorted(fields, key=str)


def _renamed(field: FieldComponent, mark: str) -> FieldComponent:
    if not mark:
        return field
    name, label = field.field + mark, field.label + mark
    return FieldComponent(
        name, field.component, label, field.lattice, field.offset, field.hops, end=field.end
    )
