"""What a plan knows of the laws of the package, and where each of them is explained."""

from __future__ import annotations

from typing import get_args

import pytest

import sesamo_dsl as sd
from sesamo_dsl.plan.decide import possible_laws
from sesamo_dsl.plan.extensions import LAWS, Law
from sesamo_dsl.sampler import LAW_CLASSES, laws
from sesamo_dsl.stages.analyse import analyse
from sesamo_dsl.testing.subject import Subject
from sesamo_theories.gaussian_mixture import gaussian_mixture
from support import ROOT

CLASSES = {**LAW_CLASSES, "conditional": laws.Conditional}


@pytest.mark.parametrize("name", get_args(Law))
def test_a_plan_and_the_class_say_the_same_of_a_law(name: Law) -> None:
    for trait in ("has_table", "depends_on_y", "equivariant"):
        assert getattr(LAWS[name], trait) == getattr(CLASSES[name], trait), trait


@pytest.mark.parametrize("name", get_args(Law))
def test_a_law_is_explained_where_it_is_looked_for(name: Law) -> None:
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/choices.md")]
    for text in (sd.TrainingOptions.__doc__, *pages):
        assert f'"{name}"' in str(text)
    assert f"\n{name} " in str(laws.__doc__)


def test_the_suite_tests_every_law() -> None:
    assert LAWS.names[: len(CLASSES)] == get_args(Law)
    assert set(CLASSES) == set(get_args(Law))
    theory = gaussian_mixture(4, 3)
    assert possible_laws(analyse(theory)) == get_args(Law)
    assert Subject.of(theory, ["torch"]).laws == get_args(Law)
