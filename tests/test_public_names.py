"""What ``import sesamo_dsl`` offers, and what it leaves to be imported later."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sesamo_dsl as sd

HEAVY = ("networkx", "scipy", "matplotlib", "rich", "hypothesis", "typer", "torch", "jax", "sesamo_torch")
DECLARE = """
import sys, sesamo_dsl as sd
phi = sd.ScalarField("phi", lattice := sd.Lattice(4, 4))
sd.Theory("t", fields=[phi], action=lattice.sum(phi**2), symmetries=[sd.Z2(phi)])
print(*sys.modules)
"""


def _declared_for_type_checkers() -> dict[str, str]:
    """name → module, as the block ``if TYPE_CHECKING`` imports it."""
    tree = ast.parse(Path(sd.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def test_import_leaves_the_heavy_packages_alone() -> None:
    """Even a theory is declared without them."""
    done = subprocess.run([sys.executable, "-c", DECLARE], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sympy" in loaded
    assert not loaded & set(HEAVY)


def test_names_that_come_later_are_those_of_type_checkers() -> None:
    declared = _declared_for_type_checkers()
    assert len(declared) > 15
    assert declared == sd._LATER


def test_dir_is_what_is_public_and_every_name_can_be_imported() -> None:
    """Rooms of the package are none of it, whatever has been imported."""
    assert set(_declared_for_type_checkers()) <= set(sd.__all__)
    assert {"Lattice", "Theory", "errors", "groups", "correlators"} <= set(sd.__all__)
    for name in sd.__all__:
        assert getattr(sd, name) is getattr(sd, name), name
    assert dir(sd) == sorted(sd.__all__)
    modules = {name for name in dir(sd) if isinstance(getattr(sd, name), ModuleType)}
    assert modules == {"correlators", "errors", "groups"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="compyle"):
        sd.compyle  # noqa: B018
