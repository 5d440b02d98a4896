"""Finite groups from generators, and how they act on fields."""

from .catalogue import Z2 as Z2
from .catalogue import Alternating as Alternating
from .catalogue import Automorphisms as Automorphisms
from .catalogue import Cyclic as Cyclic
from .catalogue import Dihedral as Dihedral
from .catalogue import FromMatrices as FromMatrices
from .catalogue import Hyperoctahedral as Hyperoctahedral
from .catalogue import Permutations as Permutations
from .catalogue import Phases as Phases
from .catalogue import PointGroup as PointGroup
from .catalogue import Translations as Translations
from .catalogue import direct_product as direct_product
from .catalogue import from_permutation_group as from_permutation_group
from .catalogue import semidirect_product as semidirect_product
from .catalogue import together as together
from .element import SiteMap as SiteMap
from .element import axis_exchange as axis_exchange
from .element import node_permutation as node_permutation
from .element import reflection as reflection
from .element import rotation as rotation
from .element import translation as translation
from .finite import FiniteGroup as FiniteGroup
from .finite import ProductGroup as ProductGroup
from .sitewise import Sitewise as Sitewise
from .symmetry import Generator as Generator
from .symmetry import Symmetry as Symmetry
