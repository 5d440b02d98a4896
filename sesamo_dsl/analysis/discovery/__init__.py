"""The search for the symmetries of an action, from the action alone: nothing has to be declared.

There are four searches:

- the Lie algebra of linear internal symmetries is the null space of an exact linear system
  (:mod:`.lie_algebra`, named in :mod:`.names`);
- signed permutations of components (:mod:`.signed_permutations`), alone or together with a signed permutation
  of the lattice axes (:mod:`.lattice_maps`), are isomorphisms of a coloured graph drawn from the polynomial;
- phase rotations of components taken in pairs follow from the charges of the monomials, diagonalised over the
  integers (:mod:`.plane_rotations`);
- orthogonal maps of a log-sum-exp permute the points its exponents define (:mod:`.point_sets`).

A proposal of a search counts only after
:func:`~sesamo_dsl.analysis.invariance.check_invariance` has proved it;
the result names the limits of the searches.
"""

from .find import find_symmetries as find_symmetries
from .result import Discovery as Discovery
from .result import InternalGroup as InternalGroup
from .result import LatticeGroup as LatticeGroup
from .result import LieAlgebra as LieAlgebra
