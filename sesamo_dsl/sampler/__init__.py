"""The sampler of a compiled theory, written once against the Python array API.

A :class:`Sampler` consists of a flow, a domain map, a law of the orientations on the orbits of Lie groups and
a law p(u|y) of the finite group. None of these parts holds weights. The weights are an argument, a mapping
from names to arrays, so that each framework differentiates, compiles and stores them in its own way.
"""

from .arrays import Arrays as Arrays
from .arrays import FrameworkArrays as FrameworkArrays
from .arrays import Weights as Weights
from .domains import DOMAIN_MAPS as DOMAIN_MAPS
from .domains import DomainMap as DomainMap
from .extensions import register_base as register_base
from .extensions import register_flow as register_flow
from .extensions import register_law as register_law
from .flow import Flow as Flow
from .group_action import GroupAction as GroupAction
from .laws import LAW_CLASSES as LAW_CLASSES
from .laws import GroupLaw as GroupLaw
from .laws import TableLaw as TableLaw
from .model import SamplerModel as SamplerModel
from .sampler import Sampler as Sampler
from .trainable import TrainableModel as TrainableModel
