"""Tests of properties on small theories, for ``mutation.py``: exact ones first, up to the first failure."""

from __future__ import annotations

import warnings

import networkx as nx
import numpy as np
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.backend import load_backend
from sesamo_dsl.errors import SesamoError
from sesamo_dsl.testing import PROPERTIES, Subject, check_property
from sesamo_dsl.testing.conformance import CHECKS
from sesamo_dsl.testing.coverage import coverage_theory

# rounds of properties: the exact ones, then means of samples, then quadrature
_LATER = ({"bridge", "schwinger_dyson", "loss"}, {"normalised", "partition_function"})
_ROUNDS = ({law.name for law in PROPERTIES}.difference(*_LATER), *_LATER)
_OF_A_BACKEND = (
    {"emitted_is_program", "emitted_canonical", "density_of_samples", "law_of_the_group", "training"},
    {"normalised"},
)
_EXAMPLES = {"torch": 12, "jax": 3}


def theories() -> list[sd.Theory]:
    """Z₂ on a lattice; Z₈ and D₃ in the plane; U(1) with a source, with a clock term; O(3); local groups.

    Of the local groups one has a heat bath that factorises, one has fermions on a graph, and two have coupled
    blocks. Two sites have few enough dimensions for a quadrature over a flow with a zero-mode layer.
    """
    a, b, h = sd.parameters("a b h")
    grid, line, pair, point = sd.Lattice(2, 3), sd.Lattice(3), sd.Lattice(2), sd.Lattice(1)
    phi, z, w = sd.ScalarField("phi", grid), sd.ComplexField("z", line), sd.ComplexField("w", pair)
    x, t, n = sd.VectorField("x", point, 2), sd.VectorField("t", point, 2), sd.VectorField("n", pair, 3)
    hopping = sum(phi * phi.shift(mu) for mu in grid.directions)
    two = sd.ScalarField("d", pair)
    ladder = sd.Lattice(2, 4)
    q, r = sd.ScalarField("q", ladder), sd.VectorField("r", line, 2)
    bonds = sum(q * q.shift(mu) for mu in ladder.directions)
    site = sd.VectorField("s", line, 2)
    graph = sd.GraphLattice(nx.path_graph(2), time=2)
    spin = sd.ScalarField("f", graph)
    potential = np.array([[0.3, 1.0], [1.0, 0.0]])  # not bipartite, so that both species are computed
    fermions = [sd.FermionLogDet(hopping=potential, beta=b, field=spin, species=k) for k in (1, -1)]
    centres = [(3 * sp.cos(sp.pi * k / 4), 3 * sp.sin(sp.pi * k / 4)) for k in range(8)]
    mixture = sum(sp.exp(-((x[0] - c) ** 2 + (x[1] - s) ** 2) / 2) for c, s in centres)
    return [
        sd.Theory(
            "z2",
            fields=[phi],
            action=grid.sum(phi**2 - a * hopping + b * phi**4 + h * (phi + phi**2 * phi.shift(1))),
            symmetries=[sd.Z2(phi)],
            defaults={a: 0.3, b: 0.1, h: 0.2},
            observables={"m": grid.sum(phi) / 6, "abs_m": sp.Abs(grid.sum(phi))},
        ),
        sd.Theory(
            "z8",
            fields=[x],
            action=point.sum(-sp.log(mixture) + h * (x[0] + x[1])),
            symmetries=[sd.Cyclic(8, x)],
            defaults={h: 0.1},
        ),
        sd.Theory(
            "d3",
            fields=[t],
            action=point.sum(_triangle(t) + h * t[0]),
            symmetries=[sd.groups.Dihedral(3, t)],
            defaults={h: 0.3},
        ),
        sd.Theory(
            "u1",
            fields=[z],
            action=line.sum(z.abs2 - a * z.dot(z.shift(0)) + b * z.abs2**2 + h * (z.re + 2 * z.im)),
            symmetries=[sd.U1(z)],
            defaults={a: 0.4, b: 0.1, h: 0.3},
        ),
        sd.Theory(
            "clock",
            fields=[w],
            action=pair.sum(
                w.abs2 - a * w.dot(w.shift(0)) + b * w.abs2**2 - h * sp.re(sp.expand(w.value**3))
            ),
            symmetries=[sd.U1(w)],
            defaults={a: 0.4, b: 0.3, h: 0.2},
        ),
        sd.Theory(
            "o3",
            fields=[n],
            action=pair.sum(n.squared - a * n.dot(n.shift(0)) + b * n.squared**2 + h * n[2]),
            symmetries=[sd.SO(n)],
            defaults={a: 0.4, b: 0.1, h: 0.4},
        ),
        sd.Theory(
            "sites",
            fields=[site],
            action=line.sum(
                site.squared
                - site.squared * site.shift(0).squared / 9
                + site.squared**2 / 4
                + h * (site[0] + site[1] / 2)
            ),
            symmetries=[sd.Sitewise(sd.Cyclic(3, site))],
            defaults={h: 0.3},
        ),
        sd.Theory(
            "dimer",
            fields=[two],
            action=pair.sum(two**4 / 4 - two * two.shift(0) / 2 + h * two),
            symmetries=[sd.Z2(two)],
            defaults={h: 0.3},
        ),
        sd.Theory(
            "fermions",
            fields=[spin],
            action=graph.sum(spin**2) / a - fermions[0] - fermions[1] + h * graph.sum(spin * spin.shift(0)),
            symmetries=[sd.Sitewise(sd.Z2(spin))],
            defaults={a: 4.0, b: 1.0, h: 0.1},
        ),
        sd.Theory(
            "chain",
            fields=[q],
            action=ladder.sum(q**4 / 4 - q**2 / 2 - a * bonds),
            symmetries=[sd.Sitewise(sd.Z2(q))],
            defaults={a: 0.3},
        ),
        sd.Theory(
            "triangles",
            fields=[r],
            action=line.sum(_triangle(r) - a * r.dot(r.shift(0)) + h * r[0]),
            symmetries=[sd.Sitewise(sd.groups.Dihedral(3, r))],
            defaults={a: 0.2, h: 0.3},
        ),
    ]


def _triangle(v: sd.VectorField) -> sp.Expr:
    return v.squared**2 / 4 - v.squared + (v[0] ** 3 - 3 * v[0] * v[1] ** 2) / 8


def outcome(backend_name: str) -> tuple[str, str]:
    """(``caught``, test), (``crashed``, error) before any property is tested, or (``survives``, "")."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    backend = load_backend(backend_name)
    for check in CHECKS:
        if check.name.startswith(("identity", "arrays", "expression", "free_field", "network", "score")):
            try:
                check.run(backend)
            except Exception as error:
                return "caught", f"{check.name}{_raised(error)}"
    # the compiler is tested with PyTorch; another backend only with properties of its own code
    full = backend_name == "torch"
    judged = [t for t in theories() if full or t.name in ("z2", "u1", "dimer")]
    rounds = [({"program_is_symbols"}, [coverage_theory()])]
    rounds += [(names, judged) for names in (_ROUNDS if full else _OF_A_BACKEND)]
    subjects: dict[str, Subject] = {}
    for names, chosen in rounds:
        for theory in chosen:
            try:
                if theory.name not in subjects:
                    subjects[theory.name] = Subject.of(theory, [backend_name])
                subject = subjects[theory.name]
            except SesamoError as error:
                return "caught", f"a {type(error).__name__} on {theory.name}"
            except Exception as error:
                return "crashed", f"{type(error).__name__} on {theory.name}: {str(error)[:60]}"
            for law in (law for law in PROPERTIES if law.name in names and law.applies(subject)):
                try:
                    result = check_property(
                        law, subject, examples=min(law.count, _EXAMPLES[backend_name]), shrink=False
                    )
                except Exception as error:
                    return "caught", f"{law.name} on {theory.name}{_raised(error)}"
                if not result.holds:
                    return "caught", f"{law.name} on {theory.name}: {result.worst.what[:70]}"
    return "survives", ""


def _raised(error: Exception) -> str:
    return "" if isinstance(error, AssertionError) else f" (raised {type(error).__name__})"
