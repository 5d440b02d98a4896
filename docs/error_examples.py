"""One example for each class of ``sesamo_dsl.errors``, for the page of errors.

An example that is Python raises an error of its class: docs/hooks.py runs it and shows what it says. What no
few lines of Python bring about is told in words.
"""

EXAMPLES = {
    "LatticeError": """
import sesamo_dsl as sd

lattice = sd.Lattice(8, 8)
phi = sd.ScalarField("phi", lattice)
phi.shift(2)
""",
    "FieldError": """
import sesamo_dsl as sd

phi = sd.VectorField("phi", sd.Lattice(8, 8), 3)
phi[3]
""",
    "GroupError": """
import sesamo_dsl as sd

phi = sd.ScalarField("phi", sd.Lattice(4, 5))
sd.groups.Staggered(phi)
""",
    "NotClosedError": """
import sesamo_dsl as sd

x = sd.VectorField("x", sd.Lattice(1), 2)
by_no_rational_angle = {x[0]: 3 * x[0] / 5 - 4 * x[1] / 5, x[1]: 4 * x[0] / 5 + 3 * x[1] / 5}
turn = sd.Symmetry("turn", [by_no_rational_angle], order_bound=24)
sd.analyse(sd.Theory("plane", fields=[x], action=x.squared, symmetries=[turn]))
""",
    "NotFaithfulError": """
import sesamo_dsl as sd

x = sd.VectorField("x", sd.Lattice(1), 2)
flips = sd.Symmetry("flips", [{x[0]: -x[0]}, {x[1]: -x[1]}], collective=[x[0]])
sd.analyse(sd.Theory("plane", fields=[x], action=x.squared, symmetries=[flips]))
""",
    "TheoryError": """
import sesamo_dsl as sd

phi = sd.ScalarField("phi", sd.Lattice(8, 8))
sd.Theory("no_sum", fields=[phi], action=phi**2)
""",
    "NotInvariantError": """
import sesamo_dsl as sd

lattice = sd.Lattice(2, 2)
phi = sd.ScalarField("phi", lattice)
action = lattice.sum(phi**4 + phi**3)
sd.analyse(sd.Theory("cubic", fields=[phi], action=action, symmetries=[sd.Z2(phi, exact=True)]))
""",
    "InternalError": """
Two results of the package contradict each other, such as a proof that a symmetry is exact and a
configuration at which it is not. It is never your mistake. The remedy is to report it, with the
declaration of the theory.
""",
    "ParameterError": """
import sesamo_dsl as sd

sd.analyse(sd.load_theory("scalar_phi4"), parameters={"kapa": 0.3})
""",
    "ConfigurationError": """
import numpy as np

import sesamo_dsl as sd

sd.two_point(np.zeros((100, 8)))
""",
    "LoweringError": """
import sympy as sp

import sesamo_dsl as sd

x = sd.ScalarField("x", sd.Lattice(1))
sd.compile(sd.Theory("airy", fields=[x], action=x**2 + sp.airyai(x)), "torch")
""",
    "ProgramError": """
An intermediate program whose types do not fit together, such as a sum of arrays of different shapes. The
compiler makes no such program: it is met by who writes one by hand or adds an operation. The remedy is in
the message.
""",
    "BackendError": """
import sesamo_dsl as sd

sd.compile(sd.load_theory("gaussian_mixture"), "tensorflow")
""",
    "OptionError": """
import sesamo_dsl as sd

sd.TrainingOptions(law="heatbath")
""",
    "TheoryFileError": """
import sesamo_dsl as sd

sd.load_theory("scalar_phi5")
""",
    "RunError": """
import sesamo_dsl as sd

sd.load_run("runs/nowhere")
""",
    "RunNotKeptError": """
The disk was full, or the directory was gone, when a training was over. Nothing of it is lost while the
process lives: `error.run` is the run, `error.run.sample(10_000)` samples it, and
`error.run.save("elsewhere")` keeps it at another place. The command line prints the figures before it
ends with this error.
""",
    "TrainingDivergedError": """
The loss or the weights became NaN or infinite. `error.run` has the last good state, and can be sampled.
The remedies, in this order: a smaller `learning_rate`; `precision="float64"` for `sd.compile`, if S is
large or cancels; a look at S where it is not finite, `compiled.action(x)`, if it has poles or logarithms.
""",
    "TrainingInterrupted": """
Ctrl-C or SIGTERM. It is a KeyboardInterrupt, so that `except Exception` does not swallow it. The step
that was going on is done first and all is kept: `error.run` is the run, `error.run.resume()` finishes it
bit for bit, and on the command line that is `sesamo-dsl resume RUN`.
""",
    "AnnealingError": """
S is finite nowhere near the start, or the temperatures do not reach exp(−S). The message says which, and
how far β came. The remedies are a longer time, `sd.anneal(theory, seconds=60)`, more `walkers`, and an
action that is finite around its minima. In the check after a training it is a warning, and the coverage
is unknown: no training is lost.
""",
    "AnnealingInterrupted": """
Ctrl-C or SIGTERM during `sd.anneal`. `error.annealed` has the populations that are done, with log Z and
its error; if there are none, the walkers of the first one at β = `error.annealed.reached` < 1, which say
nothing of log Z.
""",
    "ChainInterrupted": """
Ctrl-C or SIGTERM during `sd.hmc`. `error.chain` has the trajectories that are done, with means and errors;
it is None if the warm-up was not over, or just over.
""",
    "SamplingInterrupted": """
Ctrl-C or SIGTERM while samples are annealed, `run.sample(1000, anneal=20)`, or drawn to a file,
`run.sample_to("x.h5", 10**7)`. `error.samples` are those that were done. If none was annealed, they are all
as the model drew them, and `error.samples.annealed` is None; if none is in the file, `error.samples` is None.
The same call of `sample_to` goes on where it stopped.
""",
    "ScanInterrupted": """
Ctrl-C has stopped a scan over couplings. The attribute `runs` has those of the points that are trained; they
are kept in the directory of the scan, and the same call with that directory goes on with the next one.
""",
    "NotNormalizableError": """
import sesamo_dsl as sd

lattice = sd.Lattice(4)
phi = sd.ScalarField("phi", lattice)
sd.analyse(sd.Theory("massless", fields=[phi], action=lattice.sum((phi - phi.shift(0)) ** 2)))
""",
}
