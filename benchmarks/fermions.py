"""Fermion determinants on 18 sites: accuracy against dense determinants, times against dense LU and products.

    python benchmarks/fermions.py [--batch 64] [--slices 100] [--skip-accuracy]

Dense determinants are NumPy's. All times are for value and gradient, both species, per configuration.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import jax
import networkx as nx
import numpy as np
import scipy.linalg
import torch
from rich.console import Console
from rich.table import Table

from oracles import dense
from sesamo_jax import fermions as jax_fermions
from sesamo_theories.hubbard import honeycomb
from sesamo_torch import fermions as torch_fermions

REPULSION = 3.0
GRAPH = honeycomb(3, 3)
HOPPING = nx.to_numpy_array(GRAPH, nodelist=sorted(GRAPH))
Solver = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]

jax.config.update("jax_enable_x64", True)
_jax_solve = jax.jit(lambda phi, step: jax_fermions._fermion_solve(phi, step, HOPPING, 1, True))


def by_torch(phi: np.ndarray, step: float) -> tuple[Any, Any]:
    return torch_fermions._fermion_solve(torch.tensor(phi), step, torch.tensor(HOPPING), 1, True)


def by_jax(phi: np.ndarray, step: float) -> tuple[Any, Any]:
    return jax.block_until_ready(_jax_solve(phi, step))


def by_product(phi: np.ndarray, step: float) -> tuple[Any, Any]:
    """log|det| from the product of the slices, and its gradient by autograd."""
    field = torch.tensor(phi, requires_grad=True)
    hop, n = torch.linalg.matrix_exp(torch.tensor(HOPPING) * step), phi.shape[2]
    product = torch.eye(n, dtype=torch.float64)
    for t in range(phi.shape[1]):
        product = (hop * torch.exp(field[:, t])[:, None, :]) @ product
    value = torch.linalg.slogdet(torch.eye(n, dtype=torch.float64) + product)[1]
    value.sum().backward()
    return value.detach(), field.grad


def by_dense(phi: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    hop = scipy.linalg.expm(HOPPING * step)
    both = [(dense.log_det(one, hop)[1], dense.gradient(one, hop)) for one in phi]
    return np.array([v for v, _ in both]), np.array([g for _, g in both])


def accuracy(console: Console, slices: int) -> bool:
    """Print errors of both species, one field per row; gradients relative to max(largest entry, 1)."""
    table = Table("β", "shift", "log det", *(f"{s} {q}" for s in ("torch", "jax", "product") for q in "vg"))
    worst, rng = np.zeros(2), np.random.default_rng(0)
    for beta in (8.0, 20.0):
        step = beta / slices
        for shift in (0.0, 0.3, -0.3, 1.0, -1.0):
            phi = shift + np.sqrt(REPULSION * step) * rng.normal(size=(1, slices, len(HOPPING)))
            phi = np.concatenate([phi, -phi])
            value, slope = by_dense(phi, step)
            row = []
            for solve in (by_torch, by_jax, by_product):
                found = [np.asarray(v) for v in solve(phi, step)]
                errors = [
                    np.abs(found[0] - value).max(),
                    np.abs(found[1] - slope).max() / max(1.0, np.abs(slope).max()),
                ]
                worst = worst if solve is by_product else np.maximum(worst, errors)
                row += [f"{e:.1e}" for e in errors]
            table.add_row(f"{beta:g}", f"{shift:g}", f"{value[0]:.2f}", *row)
    console.print(table)
    passed = bool(worst[0] <= 1e-8 and worst[1] <= 1e-7)
    console.print(
        f"largest error {worst[0]:.1e} (bar 1e-8), gradient {worst[1]:.1e} (bar 1e-7): {_word(passed)}"
    )
    return passed


def seconds(solve: Solver, phi: np.ndarray, step: float, repeats: int = 5) -> float:
    """Least time of a few calls, after a first one that compiles."""
    solve(phi, step)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        solve(phi, step)
        times.append(time.perf_counter() - start)
    return min(times)


def speed(console: Console, slices: int, batch: int) -> bool:
    """Times of both species as one batch of twice the size, or from one determinant as in compiled theories.

    On bipartite graphs log det[−φ] = log det[φ] − Σφ.
    """
    step, rng = 8.0 / slices, np.random.default_rng(1)
    phi = np.sqrt(REPULSION * step) * rng.normal(size=(batch, slices, len(HOPPING)))
    phi = np.concatenate([phi, -phi])
    times = {
        "dense LU (NumPy)": seconds(by_dense, phi[[0, batch]], step, 2),
        "product, one slice after the other (torch)": seconds(by_product, phi, step) / batch,
        "tree (torch)": seconds(by_torch, phi, step) / batch,
        "tree (jax)": seconds(by_jax, phi, step) / batch,
        "tree, one determinant for both (torch)": seconds(by_torch, phi[:batch], step) / batch,
        "tree, one determinant for both (jax)": seconds(by_jax, phi[:batch], step) / batch,
        "tree, large fields (torch)": seconds(by_torch, 30 * phi, step, 2) / batch,
    }
    full, naive, *_ = times.values()
    table = Table("method", "ms per configuration", "× dense LU", "× product")
    for name, value in times.items():
        table.add_row(name, f"{1e3 * value:.2f}", f"{full / value:.0f}", f"{naive / value:.2f}")
    console.print(table)
    best = min(value for name, value in times.items() if name.startswith("tree, one"))
    passed = full / best >= 50 and best < naive
    console.print(f"50 times faster than dense LU, faster than the product: {_word(passed)}")
    return passed


def growth(console: Console, batch: int) -> None:
    """Print times against Nt at fixed β/Nt."""
    table, rng = Table("Nt", "torch ms", "µs per slice", "jax ms", "µs per slice"), np.random.default_rng(2)
    for slices in (25, 50, 100, 200, 400):
        phi = 0.5 * rng.normal(size=(2 * batch, slices, len(HOPPING)))
        times = [seconds(solve, phi, 0.08, 3) / batch for solve in (by_torch, by_jax)]
        table.add_row(str(slices), *(c for t in times for c in (f"{1e3 * t:.2f}", f"{1e6 * t / slices:.1f}")))
    console.print(table)


def _word(passed: bool) -> str:
    return "reached" if passed else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--skip-accuracy", action="store_true")
    options, console = parser.parse_args(), Console(width=110)
    passed = options.skip_accuracy or accuracy(console, options.slices)
    passed &= speed(console, options.slices, options.batch)
    growth(console, min(options.batch, 16))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
