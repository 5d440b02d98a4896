"""Property tests for compiled theories: strategies, laws, and a suite in one line.

>>> from sesamo_dsl.testing import theory_suite
>>> test_laws = theory_suite(theory)                                                   # doctest: +SKIP
"""

from .laws import LAWS as LAWS
from .laws import Law as Law
from .laws import Measurement as Measurement
from .strategies import configurations as configurations
from .strategies import elements as elements
from .strategies import words as words
from .subject import Subject as Subject
from .suite import LawResult as LawResult
from .suite import LawViolation as LawViolation
from .suite import run_law as run_law
from .suite import run_laws as run_laws
from .suite import theory_suite as theory_suite
