"""Property tests for compiled theories: strategies, laws, and a suite in one line.

>>> from sesamo_dsl.testing import theory_suite
>>> from sesamo_theories.gaussian_mixture import theory
>>> test_laws = theory_suite(theory)
"""

from .conformance import backend_suite as backend_suite
from .conformance import run_backend as run_backend
from .law import Law as Law
from .law import Measurement as Measurement
from .laws import LAWS as LAWS
from .random_theories import RandomResult as RandomResult
from .random_theories import check_random as check_random
from .random_theories import random_theory as random_theory
from .random_theories import run_random as run_random
from .strategies import configurations as configurations
from .strategies import elements as elements
from .strategies import words as words
from .subject import Subject as Subject
from .suite import LawResult as LawResult
from .suite import LawViolation as LawViolation
from .suite import run_law as run_law
from .suite import run_laws as run_laws
from .suite import theory_suite as theory_suite
