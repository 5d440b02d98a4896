"""Property tests for compiled theories: strategies of examples, properties, and a suite in one line.

>>> from sesamo_dsl.testing import theory_suite
>>> from sesamo_theories.gaussian_mixture import theory
>>> test_laws = theory_suite(theory)
"""

from .conformance import backend_suite as backend_suite
from .conformance import run_backend as run_backend
from .properties import PROPERTIES as PROPERTIES
from .property import Measurement as Measurement
from .property import Property as Property
from .random_theories import RandomResult as RandomResult
from .random_theories import check_random as check_random
from .random_theories import random_theory as random_theory
from .random_theories import run_random as run_random
from .strategies import configurations as configurations
from .strategies import elements as elements
from .strategies import words as words
from .subject import Subject as Subject
from .suite import PropertyResult as PropertyResult
from .suite import PropertyViolation as PropertyViolation
from .suite import check_properties as check_properties
from .suite import check_property as check_property
from .suite import theory_suite as theory_suite
