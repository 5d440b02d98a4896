"""Registration of flows, bases and laws of u that users write, so that options can name them.

A registered flow, base or law is available under every strategy, on every backend whose arrays it can compute
with. A run records its name and the module that registered it; before the run is loaded, that module has to
be imported again.
"""

from __future__ import annotations

import inspect
from typing import Any

from .. import checks
from ..errors import OptionError
from ..plan.bases import BASES, BaseFactory
from ..plan.extensions import FLOWS, LAWS, FlowFactory
from .laws import GroupLaw, TableLaw


def register_flow(name: str, factory: FlowFactory) -> None:
    """Make ``flow=name`` an option.

    Parameters
    ----------
    factory
        ``factory(arrays, base, dtype)`` returns a :class:`sesamo_dsl.sampler.Flow` for configurations with
        ``base.components`` components on a lattice of shape ``base.shape``. It computes with the arrays of
        one framework (:class:`sesamo_dsl.sampler.Arrays`), in ``"float32"`` or ``"float64"``. With its
        initial weights a good flow is close to the base.

    Raises
    ------
    OptionError
        If the name is taken, or the factory cannot be called.
    """
    _require_factory(factory, 3, f"flow {name}", "a function (arrays, base, dtype) → Flow")
    FLOWS.register(name, factory)


def register_base(name: str, factory: BaseFactory) -> None:
    """Make ``base=name`` an option.

    Parameters
    ----------
    factory
        ``factory(program, parameters)`` returns a :class:`sesamo_dsl.flows.base.GaussianBase` of
        ``len(program.components)`` components on a lattice of shape ``program.shape``; ``parameters`` are the
        couplings by name. Its mean should lie in the fundamental domain.

    Raises
    ------
    OptionError
        If the name is taken, or the factory cannot be called.
    """
    _require_factory(factory, 2, f"base {name}", "a function (program, parameters) → GaussianBase")
    BASES.register(name, factory)


def register_law(name: str, law: type[GroupLaw]) -> None:
    """Make ``law=name`` an option.

    Parameters
    ----------
    law
        A subclass of :class:`sesamo_dsl.sampler.TableLaw` or :class:`sesamo_dsl.sampler.GroupLaw`. Its
        constructor takes a :class:`sesamo_dsl.sampler.GroupAction`, which also holds the couplings.

    Raises
    ------
    OptionError
        If the name is taken, or ``law`` is no subclass with all abstract methods.
    """
    if not (isinstance(law, type) and issubclass(law, GroupLaw) and not inspect.isabstract(law)):
        expected = "a subclass of GroupLaw or TableLaw with all of its abstract methods"
        raise _wrong(f"law {name}", expected, checks.shown(law))
    if law.has_table != issubclass(law, TableLaw):
        raise _wrong(f"law {name}", "has_table as the base class has it", f"has_table = {law.has_table}")
    LAWS.register(name, law)


def _require_factory(factory: Any, arguments: int, subject: str, expected: str) -> None:
    wrong = checks.mismatch(factory, arguments) if callable(factory) else checks.shown(factory)
    if wrong is not None:
        raise _wrong(subject, expected, wrong)


def _wrong(subject: str, expected: str, found: str) -> OptionError:
    return OptionError(subject, expected=expected, found=found, remedy="see docs/extending.md")
