"""Declare a field theory in SymPy, compile symmetry-aware samplers, property-test their invariances.

The language is imported at once. Names that analyse, compile, sample or measure are imported when they are
first asked for: with SciPy and networkx they take longer to import than SymPy.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import errors as errors
from . import groups as groups
from .errors import NotInvariantError as NotInvariantError
from .errors import SesamoError as SesamoError
from .groups.catalogue import Z2 as Z2
from .groups.catalogue import Cyclic as Cyclic
from .groups.lie import SO as SO
from .groups.lie import SU as SU
from .groups.lie import SU2 as SU2
from .groups.lie import U1 as U1
from .groups.lie import LieSymmetry as LieSymmetry
from .groups.sitewise import Sitewise as Sitewise
from .groups.symmetry import Symmetry as Symmetry
from .language.theory import Theory as Theory
from .language.theory_files import load_theory as load_theory
from .language.theory_files import shipped_theories as shipped_theories
from .symbols.fermions import FermionLogDet as FermionLogDet
from .symbols.fields import ComplexField as ComplexField
from .symbols.fields import ScalarField as ScalarField
from .symbols.fields import VectorField as VectorField
from .symbols.fields import parameters as parameters
from .symbols.lattice import GraphLattice as GraphLattice
from .symbols.lattice import Lattice as Lattice
from .symbols.site_constants import SiteConstant as SiteConstant

if _TYPE_CHECKING:
    from .analysis.discovery import find_symmetries as find_symmetries
    from .analysis.result import Analysis as Analysis
    from .annealing import Annealed as Annealed
    from .annealing import anneal as anneal
    from .backend import backend_names as backend_names
    from .comparison import Comparison as Comparison
    from .comparison import compare as compare
    from .compiled import CompiledTheory as CompiledTheory
    from .compiled import compile as compile
    from .estimates.chains import Chain as Chain
    from .estimates.chains import independence_metropolis as independence_metropolis
    from .estimates.hmc import hmc as hmc
    from .estimates.samples import Samples as Samples
    from .flows.spec import FlowSpec as FlowSpec
    from .observables import correlators as correlators
    from .observables.measurements import angle_test as angle_test
    from .observables.measurements import two_point as two_point
    from .plan.options import TrainingOptions as TrainingOptions
    from .plan.plan import Plan as Plan
    from .runs import Run as Run
    from .runs import load_run as load_run
    from .stages.analyse import analyse as analyse

_LATER = {  # the module of each name above
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
    "independence_metropolis": "estimates.chains",
    "hmc": "estimates.hmc",
    "Samples": "estimates.samples",
    "FlowSpec": "flows.spec",
    "correlators": "observables",
    "angle_test": "observables.measurements",
    "two_point": "observables.measurements",
    "TrainingOptions": "plan.options",
    "Plan": "plan.plan",
    "Run": "runs",
    "load_run": "runs",
    "analyse": "stages.analyse",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(__import__(f"{__name__}.{_LATER[name]}", fromlist=[name]), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
