"""Time to ESS 0.99 on the broken 8 Gaussians (h = 0.1) of this package and of `sesamo` 1.0.0, run in turn.

    python benchmarks/against_sesamo.py [--python PATH] [--seconds T] [--backend torch|jax] [--out FILE]

`sesamo` needs numpy < 2 and an environment of its own: the interpreter given with --python, or one that is
created in a temporary directory (pip install torch 'numpy<2' sesamo==1.0.0). It is trained as in its README:
10 couplings, 2×40 hidden, Adam 5e-4, batch 8000. This package is timed with two recipes: the default one, and
the network and batch of `sesamo` with our law, base and gradients. Times include compilation, not imports and
not the measurement of the ESS on 10 000 samples.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

H, RADIUS, TARGET, SAMPLES = 0.1, 12, 0.99, 10_000

THEIRS = """
import json, math, sys, time
import torch
from sesamo import Sesamo
from sesamo.action import GaussianMixtureAction
from sesamo.loss import StochmodLoss
from sesamo.models import BrokenZNModulation, GaussianPrior, RealNVP, ZNRegularization

h, radius, target, samples, limit, batch = json.loads(sys.argv[1])
torch.manual_seed(0)
action = GaussianMixtureAction(n_gaussians=8, radius=radius, broken=h)
model = Sesamo(
    prior=GaussianPrior(var=1, lat_shape=[1, 2], dtype=torch.float32),
    flow=RealNVP(lat_shape=[1, 2], num_coupling_layers=10, num_hidden_layers=2, num_hidden_features=40),
    stochastic_modulation=BrokenZNModulation(n=8),
    regularization=ZNRegularization(n=8),
)
loss_function, spent, steps, ess = StochmodLoss(), 0.0, 0, 0.0
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
history = []
while spent < limit and ess < target:
    start = time.perf_counter()
    for _ in range(50):
        optimizer.zero_grad()
        x, log_q, log_p, penalty = model.sample_for_training(batch)
        loss = loss_function(action(x), log_q, log_p, penalty).mean()
        loss.backward()
        optimizer.step()
    steps += 50
    spent += time.perf_counter() - start
    with torch.no_grad():
        x, log_q = model.sample_with_logprob(samples)
        log_w = (-action(x) - log_q).double()
        ess = float(torch.exp(2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)) / len(log_w))
    history.append((spent, ess))
print(json.dumps({"seconds": spent, "steps": steps, "ess": ess, "history": history}))
"""


def theirs(python: str, limit: float, batch: int) -> dict[str, object]:
    """Seconds, steps and ESS of `sesamo`, in its own environment."""
    arguments = json.dumps([H, RADIUS, TARGET, SAMPLES, limit, batch])
    done = subprocess.run([python, "-c", THEIRS, arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"sesamo did not run:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ours(backend: str, limit: float, **options: object) -> dict[str, object]:
    """Seconds, steps and ESS of this package."""
    import sesamo_dsl as sd
    from sesamo_dsl.estimates.samples import Samples
    from sesamo_dsl.plan.base import make_base
    from sesamo_dsl.plan.decide import decide
    from sesamo_dsl.plan.options import TrainingOptions
    from sesamo_dsl.training.schedule import learning_rate
    from sesamo_theories.gaussian_mixture import gaussian_mixture

    start = time.perf_counter()
    model = sd.compile(gaussian_mixture(8, RADIUS), backend)
    values = model.theory.parameter_values({"h": H})
    chosen = decide(TrainingOptions(**{"steps": 400, **options}), model.analysis)
    sampler = model.backend.model(model, values, make_base(model.program, values, chosen), chosen)
    spent, steps, ess, history = time.perf_counter() - start, 0, 0.0, []
    while spent < limit and ess < TARGET:
        start = time.perf_counter()
        for _ in range(10):
            sampler.step(learning_rate(chosen, min(steps / chosen.steps, 0.9), steps))
            steps += 1
        spent += time.perf_counter() - start
        ess = Samples.of(sampler.sample(SAMPLES, 1), model.program, values, None).ess
        history.append((spent, ess))
    return {"seconds": spent, "steps": steps, "ess": ess, "history": history}


def environment(place: Path) -> str:
    """Path of an interpreter with `sesamo` 1.0.0, in a new environment."""
    import venv

    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "torch", "numpy<2", "sesamo==1.0.0"], check=True)
    return python


def main() -> int:
    """Run both in turn; the exit code is 1 if a bar was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", help="interpreter of an environment that has sesamo 1.0.0")
    parser.add_argument("--seconds", type=float, default=1800, help="limit for each")
    parser.add_argument("--backend", choices=("torch", "jax"), default="torch")
    parser.add_argument("--batch", type=int, default=8000, help="theirs, and ours in the second comparison")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    chosen = parser.parse_args()
    import sesamo_dsl as sd

    network = sd.FlowSpec(layers=10, hidden=(40, 40), kernel=1, transform="affine")
    with tempfile.TemporaryDirectory() as scratch:
        python = chosen.python or environment(Path(scratch) / "venv")
        results = {
            "ours, default recipe": ours(chosen.backend, chosen.seconds),
            "ours, its network and batch": ours(
                chosen.backend, chosen.seconds, flow=network, batch=chosen.batch, steps=1000
            ),
            "sesamo 1.0.0": theirs(python, chosen.seconds, chosen.batch),
        }
    reference, missed = float(str(results["sesamo 1.0.0"]["seconds"])), 0
    # a run that the limit stops before the target makes its time and all ratios lower bounds
    bound = "" if float(str(results["sesamo 1.0.0"]["ess"])) >= TARGET else "≥"
    bars = {"ours, default recipe": 10.0, "ours, its network and batch": 3.0}
    for name, result in results.items():
        ratio = reference / float(str(result["seconds"]))
        bar = bars.get(name)
        verdict = "" if bar is None else f"bar ≥ {bar:g}×: {'pass' if ratio >= bar else 'MISS'}"
        missed += bar is not None and ratio < bar
        print(
            f"{name:28} {result['seconds']:8.1f} s  {result['steps']:6} steps  ESS {result['ess']:.4f}"
            f"  {bound} {ratio:7.1f}×  {verdict}"
        )
    if chosen.out:
        chosen.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
