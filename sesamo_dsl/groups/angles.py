"""How group elements act on angles: which maps of them are maps of the circle, and what they do to e^(iθ).

An angle is taken to a sum of angles with whole coefficients, plus a number that counts modulo 2π. Where each
angle goes to one angle or its negative, the cosines and sines are taken to linear combinations of each other,
so that they, and not the angles, can tell the sectors of a finite group apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ..errors import GroupError
from ..symbols.fields import FieldComponent
from .element import Element


def angle_numbers(components: Sequence[FieldComponent]) -> tuple[int, ...]:
    """The numbers of the components that are angles."""
    return tuple(a for a, c in enumerate(components) if c.manifold == "circle")


def check_map_of_angles(
    matrix: sp.ImmutableMatrix, components: Sequence[FieldComponent], subject: str
) -> None:
    """Raise GroupError unless a matrix on the components is a map of circles and of real numbers."""
    angles = set(angle_numbers(components))
    for a, c in enumerate(components):
        for b, other in enumerate(components):
            entry = matrix[a, b]
            if entry == 0 or (a not in angles and b not in angles):
                continue
            if not (a in angles and b in angles and entry.is_Integer):
                raise GroupError(
                    subject,
                    expected=f"for the angle {c} a sum of angles with whole coefficients, plus a number"
                    if a in angles
                    else f"for {c}, which is no angle, a combination of components that are none",
                    found=f"{entry} times {other} in the image of {c}",
                    remedy="write for instance {theta: -theta} or {theta: theta + 2*sp.pi/3}",
                )


def features(components: Sequence[FieldComponent]) -> tuple[sp.Expr, ...]:
    """The functions whose means tell sectors apart: the components, and cos θ and sin θ in place of θ."""
    found: list[sp.Expr] = []
    for c in components:
        found += [sp.cos(c), sp.sin(c)] if c.manifold == "circle" else [c]
    return tuple(found)


def feature_matrix(element: Element, components: Sequence[FieldComponent]) -> sp.ImmutableMatrix:
    """The matrix D with f(T_g x) = D f(x) for the features f.

    Raises GroupError if an angle goes to a sum of several, which is no linear map of the features.
    """
    angles = angle_numbers(components)
    if not angles:
        return element.matrix
    first, size = [], 0
    for a in range(len(components)):
        first.append(size)
        size += 2 if a in angles else 1
    image = sp.zeros(size, size)
    for a, c in enumerate(components):
        row = [(b, element.matrix[a, b]) for b in range(len(components)) if element.matrix[a, b] != 0]
        if a not in angles:
            for b, entry in row:
                image[first[a], first[b]] = entry
            continue
        if len(row) != 1 or abs(row[0][1]) != 1:
            raise GroupError(
                f"modulating with {element}",
                expected=f"elements that take the angle {c} to one angle or its negative, plus a number",
                found=" + ".join(f"{entry}*{components[b]}" for b, entry in row),
                remedy="declare the symmetry with use='equivariant' (it is verified and not modulated)",
            )
        b, sign = row[0]
        shift = element.shift_vector[a]
        cosine, sine = sp.cos(shift), sp.sin(shift)
        image[first[a], first[b]], image[first[a], first[b] + 1] = cosine, -sign * sine
        image[first[a] + 1, first[b]], image[first[a] + 1, first[b] + 1] = sine, sign * cosine
    return sp.ImmutableMatrix(image)
