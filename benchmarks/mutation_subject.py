"""One run of the laws for ``mutation.py``: small theories, cheap laws first, stops at the first failure."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import sympy as sp

import sesamo_dsl as sd
from sesamo_dsl.backend import load_backend
from sesamo_dsl.testing import LAWS, Subject, run_law
from sesamo_dsl.testing.conformance import CHECKS

_STATISTICAL = ("normalised", "bridge", "schwinger_dyson", "loss", "partition_function")


def theories() -> list[sd.Theory]:
    """Z₂ on a lattice; Z₈ and D₃ in the plane; U(1) with a source, and with a clock term; O(3), a source."""
    a, b, h = sd.parameters("a b h")
    grid, line, pair, point = sd.Lattice(2, 3), sd.Lattice(3), sd.Lattice(2), sd.Lattice(1)
    phi, z, w = sd.ScalarField("phi", grid), sd.ComplexField("z", line), sd.ComplexField("w", pair)
    x, t, n = sd.VectorField("x", point, 2), sd.VectorField("t", point, 2), sd.VectorField("n", pair, 3)
    hopping = sum(phi * phi.shift(mu) for mu in grid.directions)
    centres = [(3 * sp.cos(sp.pi * k / 4), 3 * sp.sin(sp.pi * k / 4)) for k in range(8)]
    mixture = sum(sp.exp(-((x[0] - c) ** 2 + (x[1] - s) ** 2) / 2) for c, s in centres)
    triangle = t.squared**2 / 4 - t.squared + (t[0] ** 3 - 3 * t[0] * t[1] ** 2) / 8
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
            action=point.sum(triangle + h * t[0]),
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
    ]


def main() -> None:
    """Exit code 1 when a law fails."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    name = sys.argv[1]
    backend = load_backend(name)
    for check in CHECKS:
        if check.name.startswith(("identity", "arrays", "expression")):
            try:
                check.run(backend)
            except AssertionError:
                raise SystemExit(print(f"caught by {check.name}") or 1) from None
    subjects = [Subject.of(theory, [name]) for theory in theories()]
    for statistical in (False, True):
        for law in (law for law in LAWS if (law.name in _STATISTICAL) == statistical):
            for subject in subjects:
                if law.applies(subject):
                    result = run_law(law, subject)
                    if not result.holds:
                        print(f"caught by {law.name} on {subject.theory.name}: {result.worst.what[:70]}")
                        raise SystemExit(1)


if __name__ == "__main__":
    main()
