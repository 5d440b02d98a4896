"""Signed permutations of the lattice axes, alone or together with a map of the components."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import sympy as sp

from ...groups.finite import FiniteGroup
from ...groups.site_map import SiteMap, translation
from ...symbols.exact import floats
from ...symbols.lattice import Lattice
from ...symbols.site_constants import SiteConstant
from ..invariance import Verdict
from .action_graph import action_graph
from .coloured_graph import ColouredGraph, Isomorphisms
from .names import group_name
from .result import LatticeGroup
from .search import Search, indispensable
from .signed_permutations import graph_of, listed_signed_permutations, matrix_of, order_of_all

_MOST_SITES = 2**14
"""Largest number of sites for which maps are searched: configurations are moved site by site."""


def lattice_group(search: Search) -> LatticeGroup:
    """Point group and periods: site maps are tried with component maps that could make them symmetries."""
    lattice = search.lattice
    verdicts: list[Verdict] = []
    undecided: list[Verdict] = []

    def generated(by: Sequence[Verdict]) -> FiniteGroup[SiteMap]:
        return FiniteGroup(
            SiteMap.identity(lattice),
            [v.generator.sites for v in by],
            lambda a, b: a @ b,
            bound=order_of_all(lattice.dimension),
            name=f"point group of {search.theory.name}",
        )

    members, refused = {SiteMap.identity(lattice)}, set[SiteMap]()
    if lattice.volume > _MOST_SITES:
        search.limits.append(
            f"maps of the lattice are searched on at most {_MOST_SITES} sites: ask on a smaller lattice"
        )
    elif lattice.dimension <= 4:
        graph = None if lattice.volume == 1 else graph_of(search)
        for sites in _site_maps(lattice):
            if sites in members or sites in refused:
                continue
            if search.expired("further maps of the lattice"):
                break
            matrix = _companion(search, sites, graph)
            verdict = None if matrix is None else search.check_invariance(search.element(matrix, sites))
            if verdict is not None and verdict.status == "exact":
                verdicts.append(verdict)
                members = set(generated(verdicts).elements)
            else:
                undecided += [verdict] if verdict is not None and verdict.status == "undecided" else []
                # a coset: if g is no symmetry, neither is g∘h for any symmetry h
                refused |= {sites @ h for h in members}
        if search.polynomial is None and lattice.volume > 1:
            search.limits.append(
                "the action is not a polynomial: maps of the lattice were looked for together with field "
                "maps that are signed permutations and show in the form of the action"
            )
    else:
        search.limits.append("axis permutations are searched in at most four dimensions")
    verdicts = indispensable(verdicts, lambda some: generated(some).order)
    group = generated(verdicts)
    full = lattice.dimension > 2 and group.order == order_of_all(lattice.dimension)
    return LatticeGroup(
        tuple(v.generator for v in verdicts),
        tuple(verdicts),
        group,
        f"B{lattice.dimension}" if full else group_name(group),
        _periods(search),
        tuple(undecided),
    )


def _periods(search: Search) -> tuple[int, ...]:
    """The least translation along every axis that is proved to be a symmetry."""
    lattice = search.lattice
    if not search.action.has(SiteConstant):
        return (1,) * lattice.dimension
    search.limits.append(
        "couplings depend on the site: translations were tried along one axis at a time, and reflections and "
        "rotations about the origin alone"
    )
    identity = sp.ImmutableMatrix(sp.eye(search.size))

    def period(mu: int) -> int:
        *steps, extent = sp.divisors(lattice.shape[mu])
        moves = ((step, search.element(identity, translation(lattice, mu, step))) for step in steps)
        return next((step for step, move in moves if search.check_invariance(move).status == "exact"), extent)

    return tuple(map(period, lattice.directions))


def _companion(search: Search, sites: SiteMap, graph: ColouredGraph | None) -> sp.ImmutableMatrix | None:
    """A signed permutation of components that makes the site map a symmetry, the identity if possible."""
    n = search.size
    if graph is not None:
        moved = action_graph(search.action, search.components, search.numbers, sites)
        maps = Isomorphisms(moved, graph)
        images = maps.find(maps.refined())
        if images is not None:
            return matrix_of(images)
        if search.polynomial is not None and search.polynomial.independent and not maps.stopped:
            return None
    identity = sp.ImmutableMatrix(sp.eye(n))
    trials = listed_signed_permutations(n) if n <= 2 else [identity, -identity]
    return next(
        (m for m in sorted(trials, key=lambda m: m != identity) if search.unchanged(floats(m), sites)),
        None,
    )


def _site_maps(lattice: Lattice) -> list[SiteMap]:
    """Distinct signed axis permutations that preserve the shape, the identity first."""
    d, shape = lattice.dimension, lattice.shape
    permutations = (
        axes for axes in itertools.permutations(range(d)) if tuple(shape[a] for a in axes) == shape
    )
    # equal maps compare equal, e.g. x → −x and the identity on one or two sites
    return list(
        dict.fromkeys(
            SiteMap(lattice, axes, signs, (0,) * d)
            for axes in permutations
            for signs in itertools.product((1, -1), repeat=d)
        )
    )
