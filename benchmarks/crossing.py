"""Binder cumulants of scalar φ⁴ on 4×4, 8×8 and 16×16 against κ, and where they cross.

One training for each lattice covers the whole range of κ, and each starts from the weights of the one before
it. Writes crossing.png and prints the crossings: by finite-size scaling they tend to the critical coupling of
the infinite lattice as the lattices grow.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import pyplot

import sesamo_dsl as sd
from sesamo_theories.scalar_phi4 import scalar_phi4

EXTENTS = {4: 0.1, 8: 0.3, 16: 0.6}
"""L, and the share of the time that its training has."""
RANGE = (0.22, 0.3)


def scans(backend: str, seconds: float, samples: int) -> dict[int, sd.Scan]:
    """A scan over κ for each lattice."""
    found: dict[int, sd.Scan] = {}
    run: sd.Run | None = None
    for extent, share in EXTENTS.items():
        compiled = sd.compile(scalar_phi4(extent, extent), backend)
        options = {"directory": False, "check": False, "progress": False}
        run = compiled.train(over={"kappa": RANGE}, seconds=share * seconds, start_from=run, **options)
        found[extent] = run.scan({"kappa": np.linspace(*RANGE, 17)}, n=samples, progress=False)
        ess = [point.ess for point in found[extent].points]
        law = found[extent].consistency[0]
        print(
            f"L = {extent}: {run.steps_done} steps in {run.course.seconds:.0f} s, ESS {min(ess):.3f} to ",
            end="",
        )
        print(f"{max(ess):.3f}; thermodynamic integration, χ² per degree {law.per_degree:.2f}", flush=True)
    return found


def main() -> None:
    """Train, scan, draw and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=("torch", "jax"), default="torch")
    parser.add_argument("--seconds", type=float, default=900.0, help="time of all trainings together")
    parser.add_argument("--samples", type=int, default=10_000, help="at each point")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="directory for crossing.png")
    chosen = parser.parse_args()
    found = scans(chosen.backend, chosen.seconds, chosen.samples)
    axes = pyplot.figure(figsize=(6.4, 4.2), layout="constrained").subplots()
    for scan in found.values():
        scan.plot("binder", ax=axes)
    axes.legend(axes.containers, [f"{extent} × {extent}" for extent in found])
    chosen.out.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(chosen.out / "crossing.png", dpi=130)
    for small, large in pairwise(found):
        try:
            kappa, binder = found[small].crossing(found[large])
            print(f"L = {small} and {large}: kappa = {kappa}, Binder cumulant {binder}", flush=True)
        except sd.SesamoError as error:  # too few samples: small cumulants far from the crossing are noise
            print(f"L = {small} and {large}: {error}", flush=True)


if __name__ == "__main__":
    main()
