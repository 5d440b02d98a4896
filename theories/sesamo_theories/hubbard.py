"""The Hubbard model at half filling in the spin basis, with the exponential discretisation.

A Gaussian auxiliary field at every (time slice, site) decouples the repulsion of spin up and spin down; its
action has peaks where each site is mostly up or mostly down, φ summed over time being ±Uβ.
"""

from collections.abc import Sequence
from typing import Any

import networkx as nx

import sesamo_dsl as sd


def two_sites() -> nx.Graph:
    """Two sites and one bond."""
    return nx.path_graph(2)


def ring(sites: int) -> nx.Graph:
    """A periodic chain of three sites or more."""
    return nx.cycle_graph(sites)


def square(width: int, height: int) -> nx.Graph:
    """A periodic square lattice; extents of at least three, so that no bond is counted twice."""
    return nx.grid_2d_graph(width, height, periodic=True)


def honeycomb(width: int, height: int) -> nx.Graph:
    """A honeycomb torus of width × height cells with two sites each; 3 × 3 has 18 sites."""
    graph = nx.Graph()
    cells = [(i, j) for i in range(width) for j in range(height)]
    graph.add_nodes_from((i, j, sublattice) for i, j in cells for sublattice in (0, 1))
    for i, j in cells:
        for di, dj in ((0, 0), (1, 0), (0, 1)):
            graph.add_edge((i, j, 0), ((i - di) % width, (j - dj) % height, 1))
    return graph


def hubbard(
    graph: nx.Graph,
    slices: int,
    *,
    U: float = 18,
    beta: float = 1,
    symmetries: Sequence[Any] | None = None,
) -> sd.Theory:
    """S = Σ φ²/(2Ũ) − log det(1 + B_Nt … B_1)[φ] − (φ → −φ), Ũ = Uβ/Nt, B_t = e^{Kβ/Nt} diag(e^{φ_t}).

    K is the adjacency of the graph (edge attribute ``weight``). ∫ exp(−S) is (2πŨ)^{Nt·Nx/2} times the trace
    of ∏_t e^{−H_K β/Nt} e^{−H_U β/Nt} with H_K = −Σ K_xy c†_x c_y for both spins and H_U = −U/2 Σ (n↑ − n↓)².
    Averages of fermion operators are in ``sesamo_dsl.observables.correlators``.

    Parameters
    ----------
    graph
        Sites and bonds; bipartite for a positive weight.
    slices
        Nt.
    U, beta
        Defaults of the couplings.
    symmetries
        Default: φ → −φ on all time slices of each site separately, of which only the global one is exact.
    """
    lattice = sd.GraphLattice(graph, time=slices)
    phi = sd.ScalarField("phi", lattice)
    repulsion, inverse_temperature = sd.parameters("U beta")
    width = repulsion * inverse_temperature / slices
    determinants = [
        sd.FermionLogDet(hopping=lattice, beta=inverse_temperature, field=phi, species=s) for s in (1, -1)
    ]
    magnetisation = lattice.sum(phi) / (repulsion * inverse_temperature * len(lattice.nodes))
    return sd.Theory(
        "hubbard",
        fields=[phi],
        action=lattice.sum(phi**2) / (2 * width) - determinants[0] - determinants[1],
        symmetries=[sd.Sitewise(sd.Z2(phi))] if symmetries is None else symmetries,
        defaults={repulsion: U, inverse_temperature: beta},
        observables={
            "magnetisation_squared": magnetisation**2,
            "phi_squared": lattice.sum(phi**2) / (lattice.volume * width),
        },
    )


theory = hubbard(two_sites(), 1)
