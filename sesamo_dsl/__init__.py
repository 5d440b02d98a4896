"""Declare a field theory in SymPy, compile symmetry-aware samplers, property-test their invariances.

The language is imported at once. Names that analyse, compile, sample or measure are imported when they are
first asked for: with SciPy and networkx they take longer to import than SymPy.
"""

from typing import TYPE_CHECKING, Any

from . import errors, groups
from .errors import NotInvariantError, SesamoError
from .groups.catalogue import Z2, Cyclic
from .groups.lie import SO, SU, SU2, U1, LieSymmetry
from .groups.sitewise import Sitewise
from .groups.symmetry import Symmetry
from .language.theory import Theory
from .language.theory_files import load_theory, shipped_theories
from .symbols.fermions import FermionLogDet
from .symbols.fields import AngleField, ComplexField, ScalarField, VectorField, parameters
from .symbols.lattice import GraphLattice, Lattice
from .symbols.site_constants import SiteConstant

if TYPE_CHECKING:
    from .analysis.discovery import find_symmetries
    from .analysis.result import Analysis
    from .annealing import Annealed, anneal
    from .backend import backend_names
    from .comparison import Comparison, compare
    from .compiled import CompiledTheory, compile
    from .estimates.chains import Chain
    from .estimates.estimate import Estimate, propagate
    from .estimates.metropolis import independence_metropolis
    from .estimates.samples import Samples
    from .flows.bisection import BisectionSpec
    from .flows.circular import CircularSpec
    from .flows.spec import FlowSpec
    from .hamiltonian import hmc
    from .observables import correlators
    from .observables.measurements import angle_test, two_point
    from .plan.options import TrainingOptions
    from .plan.plan import Plan
    from .runs import Run, load_run
    from .sampler import register_base, register_flow, register_law
    from .scans import Scan, scan
    from .stages.analyse import analyse
    from .training.callbacks import (
        BestWeights,
        CSVLogger,
        EarlyStopping,
        Every,
        LivePicture,
        TensorBoardLogger,
    )

__all__ = [
    "SO",
    "SU",
    "SU2",
    "U1",
    "Z2",
    "Analysis",
    "AngleField",
    "Annealed",
    "BestWeights",
    "BisectionSpec",
    "CSVLogger",
    "Chain",
    "CircularSpec",
    "Comparison",
    "CompiledTheory",
    "ComplexField",
    "Cyclic",
    "EarlyStopping",
    "Estimate",
    "Every",
    "FermionLogDet",
    "FlowSpec",
    "GraphLattice",
    "Lattice",
    "LieSymmetry",
    "LivePicture",
    "NotInvariantError",
    "Plan",
    "Run",
    "Samples",
    "ScalarField",
    "Scan",
    "SesamoError",
    "SiteConstant",
    "Sitewise",
    "Symmetry",
    "TensorBoardLogger",
    "Theory",
    "TrainingOptions",
    "VectorField",
    "analyse",
    "angle_test",
    "anneal",
    "backend_names",
    "compare",
    "compile",
    "correlators",
    "errors",
    "find_symmetries",
    "groups",
    "hmc",
    "independence_metropolis",
    "load_run",
    "load_theory",
    "parameters",
    "propagate",
    "register_base",
    "register_flow",
    "register_law",
    "scan",
    "shipped_theories",
    "two_point",
]

_LATER = {  # the module of each name that is imported when it is asked for
    "find_symmetries": "analysis.discovery",
    "Analysis": "analysis.result",
    "Annealed": "annealing",
    "anneal": "annealing",
    "backend_names": "backend",
    "Comparison": "comparison",
    "compare": "comparison",
    "CompiledTheory": "compiled",
    "compile": "compiled",
    "Chain": "estimates.chains",
    "independence_metropolis": "estimates.metropolis",
    "Estimate": "estimates.estimate",
    "propagate": "estimates.estimate",
    "hmc": "hamiltonian",
    "Samples": "estimates.samples",
    "BisectionSpec": "flows.bisection",
    "CircularSpec": "flows.circular",
    "FlowSpec": "flows.spec",
    "correlators": "observables",
    "angle_test": "observables.measurements",
    "two_point": "observables.measurements",
    "TrainingOptions": "plan.options",
    "Plan": "plan.plan",
    "Run": "runs",
    "load_run": "runs",
    "register_base": "sampler",
    "register_flow": "sampler",
    "register_law": "sampler",
    "Scan": "scans",
    "scan": "scans",
    "analyse": "stages.analyse",
    **dict.fromkeys(
        ("BestWeights", "CSVLogger", "EarlyStopping", "Every", "LivePicture", "TensorBoardLogger"),
        "training.callbacks",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(__import__(f"{__name__}.{_LATER[name]}", fromlist=[name]), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return __all__
