"""Invariance under rotations of angles, θ_a → θ_a + q_a α, proved with the symbol α for all at once."""

from __future__ import annotations

import numpy as np
import sympy as sp

from ..algebra.identity_form import IdentityForm
from ..algebra.normal_form import NormalForm, transformed
from ..groups.rotations import AngleRotation
from ..language.theory import Theory
from ..symbols.exact import NumberTable, numbers
from .counterexamples import Move, refuse_contradiction, search_counterexample
from .invariance import Verdict, generic_parameters

ALPHA = sp.Symbol("α", real=True)
"""The angle of a rotation."""
_ANGLES = (0.7, 2.0, -3.9)


def judge_rotation(theory: Theory, rotation: AngleRotation, normal_form: NormalForm) -> Verdict:
    """Decide invariance of the action under rotations of angles.

    In normal form the action is a sum of waves, whose phases are whole multiples of angles. It is invariant
    exactly if the charges in the phase of every wave add up to zero; the residual of the verdict has the
    other waves, the part of S that changes.
    """
    element = rotation.element(theory.components, ALPHA)
    action = normal_form(theory.action)
    image = transformed(action, element, theory.components)
    change = normal_form(normal_form(image) - action)
    found = search_counterexample(
        theory, generic_parameters(theory), [_turned(rotation, theory, alpha) for alpha in _ANGLES]
    )
    if change == 0:
        refuse_contradiction(theory, str(element), None if found is None else found[0])
        return Verdict(element, "exact", sp.S.Zero, "proved: every wave of the action has charge zero")
    charged = sp.Add(
        *(term for term in sp.Add.make_args(action) if _changes(term, rotation, theory, normal_form))
    )
    if found is not None:
        size = found[0].difference
        evidence = f"refuted: a rotation changes the action by {size:.6g} at a configuration"
        return Verdict(element, "broken", charged, evidence, found[0])
    if IdentityForm.vanish(normal_form, change):
        return Verdict(element, "exact", sp.S.Zero, "proved: the change vanishes by identities of functions")
    return Verdict(
        element, "undecided", charged, "no configuration tells the rotated action from it, not proved"
    )


def turns_together(theory: Theory) -> bool:
    """Whether the action is proved to be invariant if all angles turn by one α, and real fields stay."""
    if not theory.angles:
        return False
    rotation = AngleRotation("all angles", dict.fromkeys(theory.angles, 1))
    return judge_rotation(theory, rotation, NormalForm(NumberTable())).status == "exact"


def _changes(term: sp.Expr, rotation: AngleRotation, theory: Theory, normal_form: NormalForm) -> bool:
    image = transformed(term, rotation.element(theory.components, ALPHA), theory.components)
    return normal_form(image - term) != 0


def _turned(rotation: AngleRotation, theory: Theory, alpha: float) -> Move:
    """The rotation by one angle, of configurations (components, *lattice)."""
    shift = rotation.element(theory.components, sp.Rational(str(alpha))).shift_vector

    def move(configuration: np.ndarray, digits: int | None) -> np.ndarray:
        column = numbers(shift, digits).reshape(-1, *(1,) * (configuration.ndim - 1))
        return configuration + column

    return move
