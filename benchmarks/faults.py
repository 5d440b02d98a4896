"""The seeded faults of ``mutation.py``: a file, the right text (found exactly once) and a wrong text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One seeded fault.

    Attributes
    ----------
    name, kind
        The fault in words, and its class of mistakes.
    file
        Path in the repository.
    old, new
        The right text and the wrong one.
    """

    name: str
    kind: str
    file: str
    old: str
    new: str


def _in(file: str, *faults: tuple[str, str, str, str]) -> tuple[Fault, ...]:
    return tuple(Fault(name, kind, file, old, new) for name, kind, old, new in faults)


FAULTS: tuple[Fault, ...] = (
    *_in(
        "sesamo_dsl/ir/operations/arithmetic.py",
        ("gradient of a − b", "sign", "(op.args[1], b.neg(adjoint))]", "(op.args[1], adjoint)]"),
        (
            "gradient of a·a",
            "factor",
            "b.mul(b.constant(2.0), b.mul(adjoint, first))",
            "b.mul(adjoint, first)",
        ),
        (
            "gradient of a quotient",
            "factor",
            "(dividend, b.div(adjoint, divisor))",
            "(dividend, b.mul(adjoint, divisor))",
        ),
        (
            "products of literals",
            "factor",
            "b.constant(factor * inner)",
            "b.constant(factor + inner)",
        ),
        (
            "a + (−1)·b",
            "sign",
            "return b.sub(one, op.args[1])",
            'return b.emit("add", (one, op.args[1]))',
        ),
        ("quotients by literals", "factor", "b.constant(1.0 / number)", "b.constant(number)"),
    ),
    *_in(
        "sesamo_dsl/ir/operations/lattice.py",
        ("gradient of a shift", "shift", "tuple(-o for o in op.attribute)", "tuple(op.attribute)"),
    ),
    *_in(
        "sesamo_dsl/ir/operations/functions.py",
        (
            "gradient of cos",
            "sign",
            'b.neg(b.mul(adjoint, b.apply("sin", x)))',
            'b.mul(adjoint, b.apply("sin", x))',
        ),
        (
            "gradient of tanh",
            "sign",
            "b.sub(b.constant(1.0), b.mul(y, y))",
            "b.add(b.constant(1.0), b.mul(y, y))",
        ),
        (
            "gradient of sqrt",
            "factor",
            "b.div(b.mul(b.constant(0.5), adjoint), y)",
            "b.div(adjoint, y)",
        ),
        ("gradient of erf", "factor", "_gaussian(1.1283791670955126)", "_gaussian(1.1283791670)"),
        ("interpreted atan2", "swap", "np.arctan2(args[0], args[1])", "np.arctan2(args[1], args[0])"),
    ),
    *_in(
        "sesamo_dsl/ir/operations/choices.py",
        (
            "gradient of where",
            "swap",
            """(yes, b.apply("where", condition, adjoint, zero)),
            (no, b.apply("where", condition, zero, adjoint)),""",
            """(no, b.apply("where", condition, adjoint, zero)),
            (yes, b.apply("where", condition, zero, adjoint)),""",
        ),
    ),
    *_in(
        "sesamo_dsl/ir/operations/exponentials.py",
        ("gradient of log-sum-exp", "sign", "b.sub(term, value)", "b.sub(value, term)"),
        ("gradient of a mixture", "off by one", "row[j + 1] for row", "row[j] for row"),
        (
            "interpreted softmax",
            "sign",
            "np.exp(args[0] - args[1].reshape(-1))",
            "np.exp(args[1].reshape(-1) - args[0])",
        ),
    ),
    *_in(
        "sesamo_dsl/lowering/scaled.py",
        (
            "cosh as two exponentials",
            "factor",
            "[argument - sp.log(2), ",
            "[argument, ",
        ),
        (
            "constants of a mixture",
            "normaliser",
            "tuple(float(value) for value in (constant, *slopes))",
            "tuple(float(value) for value in (0 * constant, *slopes))",
        ),
    ),
    *_in(
        "sesamo_dsl/lowering/conditions.py",
        (
            "a > b lowered as a < b",
            "sign",
            'b.binary("lt", sides[1], sides[0])',
            'b.binary("lt", sides[0], sides[1])',
        ),
        (
            "And forgets its first part",
            "broadcasting",
            "value = b.mul(value, holds(lower, part))",
            "value = holds(lower, part)",
        ),
    ),
    *_in(
        "sesamo_dsl/lowering/expressions.py",
        (
            "Max and Min",
            "swap",
            '"maximum" if isinstance(expr, sp.Max)',
            '"maximum" if isinstance(expr, sp.Min)',
        ),
        ("denominators", "sign", "self(base**-exponent)", "self(base ** (1 - exponent))"),
        (
            "a constant density",
            "off by one",
            "builder.constant(components[0].lattice.volume)",
            "builder.constant(components[0].lattice.volume + 1)",
        ),
    ),
    *_in(
        "sesamo_dsl/ir/builder.py",
        ("half-integer powers", "off by one", "exponent - Fraction(1, 2)", "exponent + Fraction(1, 2)"),
    ),
    *_in(
        "sesamo_dsl/ir/source.py",
        (
            "emitted shifts",
            "shift",
            "return tuple(-o for o in op.attribute)",
            "return tuple(o for o in op.attribute)",
        ),
        (
            "digits of emitted constants",
            "precision",
            "repr((array + 0.0).tolist())",
            "repr((array + 0.0).round(6).tolist())",
        ),
    ),
    *_in(
        "sesamo_dsl/groups/finite.py",
        (
            "multiplication table",
            "off by one",
            "self._right[table[:, word_index[word[:-1]]], word[-1]]",
            "self._right[table[:, word_index[word[:-1]]], word[0]]",
        ),
        (
            "inverses",
            "off by one",
            "np.argmin(self.table, axis=1)",
            "(np.argmin(self.table, axis=1) + 1) % self.order",
        ),
        (
            "left cosets are right cosets",
            "coset table",
            "self.table[i, list(subgroup)]",
            "self.table[list(subgroup), i]",
        ),
        (
            "coset table",
            "off by one",
            "sorted(int(j) for j in self.table[i, list(subgroup)])",
            "sorted(int(j) for j in self.table[i, list(subgroup)[1:] or [0]])",
        ),
        ("orders of elements", "off by one", "orders = np.ones(self.order", "orders = np.zeros(self.order"),
        (
            "conjugacy classes",
            "swap",
            "self.table[self.table[everything, i], self.inverses]",
            "self.table[self.table[everything, i], everything]",
        ),
    ),
    *_in(
        "sesamo_dsl/analysis/domain.py",
        (
            "facets point inward",
            "facet",
            "outward = scores[1:] - scores[0]",
            "outward = scores[0] - scores[1:]",
        ),
        (
            "half-angle 25.9° instead of 22.5°",
            "facet",
            "return outward[essential],",
            "return outward[essential] - 0.0659 * scores[0] / np.linalg.norm(scores[0]),",
        ),
        ("a facet is lost", "facet", "-answer.fun < 1e-9:", "-answer.fun < 2.0 and len(essential) > 1:"),
        (
            "scores of the inverse",
            "swapped preimage",
            "scores = representation @ centre @ metric",
            "scores = np.linalg.inv(representation) @ centre @ metric",
        ),
        (
            "matrices transposed",
            "swapped preimage",
            "np.array([floats(g.matrix) for g in group.elements])",
            "np.array([floats(g.matrix).T for g in group.elements])",
        ),
    ),
    *_in(
        "sesamo_dsl/lowering/modulation.py",
        ("canonicalize by T_u", "swapped preimage", "domain.matrices[group.inverses]", "domain.matrices"),
        (
            "scale of the gauge directions",
            "Jacobian factor",
            "b.constant(-1 / np.sqrt(volume))",
            "b.constant(-1 / volume)",
        ),
        (
            "unrotate turns forward",
            "swapped preimage",
            "b.rotate(value, factor, back=True)",
            "b.rotate(value, factor, back=False)",
        ),
        (
            "radius of the slice",
            "Jacobian factor",
            "list(slice_.block)] = np.sqrt(volume)",
            "list(slice_.block)] = volume",
        ),
        (
            "a modulation that squares its elements",
            "group",
            '"MATRICES": domain.matrices,',
            '"MATRICES": domain.matrices @ domain.matrices,',
        ),
    ),
    *_in(
        "sesamo_dsl/analysis/slices.py",
        (
            "Faddeev–Popov determinant",
            "Jacobian factor",
            "sp.Abs((gradient * motion).det())",
            "sp.Abs((gradient * motion).det()) ** 2",
        ),
        (
            "a charge of rotations",
            "charge",
            "sp.cos(k * _ANGLE) + sp.sin(k * _ANGLE) * _A / k",
            "sp.cos(k * _ANGLE) + sp.sin(2 * k * _ANGLE) * _A / k",
        ),
    ),
    *_in(
        "sesamo_dsl/analysis/invariance.py",
        (
            "average over the group",
            "normaliser",
            "sp.Add(*images) / group.order)",
            "sp.Add(*images[1:]) / group.order)",
        ),
    ),
    *_in(
        "sesamo_dsl/analysis/lie_split.py",
        (
            "a term moves if all generators move it",
            "a symmetry that is none",
            "return all(self.derivative(part, g) == 0",
            "return any(self.derivative(part, g) == 0",
        ),
    ),
    *_in(
        "sesamo_dsl/laws/orbits.py",
        ("area of the sphere", "normaliser", "gammaln(dimension / 2)", "gammaln(dimension / 2 + 1)"),
        (
            "normaliser of von Mises",
            "normaliser",
            "np.log(ive(order, safe)) + safe",
            "np.log(ive(order + 1, safe)) + safe",
        ),
        (
            "normaliser of the tabulated law",
            "a law that does not normalise",
            "values.sum(axis=0) * 2 * np.pi / nodes",
            "values.sum(axis=0) * np.pi / nodes",
        ),
        (
            "inverse CDF of the tabulated law",
            "sampling",
            "left**2 + 2 * (right - left) * rest",
            "left**2 + (right - left) * rest",
        ),
        (
            "nodes of the circle",
            "off by one",
            "np.minimum(position.astype(int), nodes - 1)",
            "np.maximum(position.astype(int) - 1, 0)",
        ),
        (
            "strength of the source",
            "factor",
            "size * np.sqrt(volume), mean",
            "size, mean",
        ),
        ("direction of the source", "sign", "-source / size if size > 0", "source / size if size > 0"),
        (
            "uniform directions",
            "sampling",
            "return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)",
            "return np.abs(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)",
        ),
        (
            "acceptance of Wood's rejection",
            "sampling",
            "m * np.log1p(-xw * w) - c[waiting]",
            "m * np.log1p(-xw * w) - c[waiting] / 2",
        ),
    ),
    *_in(
        "sesamo_dsl/flows/base.py",
        (
            "Jacobian of the base",
            "Jacobian factor",
            "-0.5 * float(np.log(values).sum())",
            "0.5 * float(np.log(values).sum())",
        ),
    ),
    *_in(
        "sesamo_dsl/flows/couplings.py",
        (
            "unsplit",
            "swapped preimage",
            "np.argsort(np.concatenate([self.frozen, self.active]))",
            "np.concatenate([self.frozen, self.active])",
        ),
    ),
    *_in(
        "sesamo_dsl/estimates/weighted.py",
        (
            "ESS",
            "factor",
            "2 * cast(Any, logsumexp(log_w)) - logsumexp(2 * log_w)",
            "cast(Any, logsumexp(log_w)) - logsumexp(2 * log_w) / 2",
        ),
        (
            "log Z",
            "normaliser",
            "logsumexp(self.log_weights) - np.log(len(self))",
            "logsumexp(self.log_weights) - np.log(len(self) - 1)",
        ),
        (
            "importance weights",
            "sign",
            "-self.action.astype(np.float64) - self.log_q.astype(np.float64)",
            "-self.action.astype(np.float64) + self.log_q.astype(np.float64)",
        ),
        ("weights of leaked samples", "normaliser", "np.where(self.leaked, -np.inf, log_w)", "log_w"),
        (
            "virial per degree of freedom",
            "normaliser",
            "return np.concatenate(values) / int(np.prod(x.shape[1:]))",
            "return np.concatenate(values) / int(np.prod(x.shape[2:]))",
        ),
        (
            "masses without weights",
            "normaliser",
            "return self._countable.masses(self.sector, self.weights)",
            "return self._countable.masses(self.sector, 0 * self.weights + 1 / len(self))",
        ),
    ),
    *_in(
        "sesamo_dsl/ir/array_api.py",
        (
            "emitted mean over sites",
            "normaliser",
            '"{0}.mean(axis={field_axes})"',
            '"{0}.sum(axis={field_axes})"',
        ),
        ("emitted ≤", "sign", '"le": "({0} <= {1}).astype(x.dtype)"', '"le": "({0} >= {1}).astype(x.dtype)"'),
        (
            "emitted rotations transposed",
            "swapped preimage",
            '"rotate": \'xp.einsum("nab,',
            '"rotate": \'xp.einsum("nba,',
        ),
        (
            "emitted collinear modulation",
            "a collinear modulation",
            '"rotate": \'xp.einsum("nab,nb...->na...", {1}, {0})\'',
            '"rotate": \'xp.einsum("nab,nb...->na...", {1}[:, :, :1], {0}[:, :1])\'',
        ),
        (
            "emitted outputs in float64",
            "dtype",
            '"lt": "({0} < {1}).astype(x.dtype)"',
            '"lt": "({0} < {1}).astype(xp.float64)"',
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/laws.py",
        (
            "heat bath",
            "sign",
            "arrays.log_softmax(-breaking, axis=0)",
            "arrays.log_softmax(breaking, axis=0)",
        ),
        ("uniform law", "a law that does not normalise", "- math.log(shape[0])", "- math.log(shape[0] + 1)"),
        (
            "learned law",
            "a law that does not normalise",
            'self._arrays.log_softmax(weights["law.logits"], axis=0)[:, None]',
            'weights["law.logits"][:, None]',
        ),
        ("probability of a coset", "normaliser", " - math.log(self._cosets.shape[1])", ""),
    ),
    *_in(
        "sesamo_dsl/sampler/arrays.py",
        ("draws of u", "sampling", "uniform * cumulative[-1]", "uniform**2 * cumulative[-1]"),
        (
            "layers of a conditional law",
            "factor",
            "arrays.silu(values) if n else values",
            "arrays.silu(values) if n > 1 else values",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/features.py",
        (
            "features are centred",
            "off by one",
            "return (own - self._mean) / self._scale",
            "return own / self._scale",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/orbits.py",
        ("orbit integral on S²", "normaliser", "xp.log(2 * safe)", "xp.log(safe)"),
        (
            "orbit integral on S¹",
            "normaliser",
            "xp.log(arrays.i0e(kappa))",
            "xp.log(arrays.i1e(kappa))",
        ),
        (
            "origin of a circular spline",
            "sign",
            "n[:, 1] * cosine - n[:, 0] * sine",
            "n[:, 1] * cosine + n[:, 0] * sine",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/bisection_flow.py",
        (
            "Jacobian of a level",
            "Jacobian factor",
            "concat([field, values]), log_q - log_det",
            "concat([field, values]), log_q + log_det",
        ),
        (
            "widths of a bisection",
            "normaliser",
            "len(level.entries) * math.log(sigma)",
            "len(level.entries) * sigma",
        ),
        (
            "mean of a bisected interval",
            "Jacobian factor",
            "mean + self._conditionals[number][1] * values",
            "mean + values",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/coupling_flow.py",
        (
            "Jacobian of a layer",
            "Jacobian factor",
            "halves[frozen], parts, False)\n            log_q = log_q - log_det",
            "halves[frozen], parts, False)\n            log_q = log_q + log_det",
        ),
        (
            "normaliser of the base",
            "normaliser",
            "sum(axis=1) - normalization",
            "sum(axis=1) - 2 * normalization",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/couplings.py",
        (
            "Jacobian of the zero-mode layer",
            "Jacobian factor",
            "log_scale.sum(axis=(0, 1)) + log_slope.sum(axis=0)",
            "log_scale.sum(axis=(0, 1)) - log_slope.sum(axis=0)",
        ),
        (
            "inverse of the zero-mode layer",
            "Jacobian factor",
            "seen = (values if inverse else image) * width",
            "seen = values * width",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/elementwise.py",
        (
            "inverse of the affine map",
            "Jacobian factor",
            "arrays.xp.exp(-log_scale), -log_scale",
            "arrays.xp.exp(-log_scale), log_scale",
        ),
        (
            "slope of a spline",
            "Jacobian factor",
            "log_slope = 2 * xp.log(s / denominator)",
            "log_slope = xp.log(s / denominator)",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/sampler.py",
        (
            "measure of the slices",
            "Jacobian factor",
            "log_q - log_measure + energy.value",
            "log_q + log_measure + energy.value",
        ),
        (
            "law of an orbit left out of log q",
            "Jacobian factor",
            "return x, log_p + log_rows + log_turned,",
            "return x, log_p + log_rows,",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/domains.py",
        (
            "density of one pre-image",
            "Jacobian factor",
            "self._arrays.logsumexp(log_q.reshape(len(self._preimages), -1), axis=0) - log_jacobian",
            "log_q.reshape(len(self._preimages), -1)[0] - log_jacobian",
        ),
        (
            "Jacobian of a chart",
            "Jacobian factor",
            "flow.inverse(weights, w)[1] - log_jacobian",
            "flow.inverse(weights, w)[1] + log_jacobian",
        ),
        ("gain of folded noise", "normaliser", "math.log(self._group.sectors.count)", "0.0"),
    ),
    *_in(
        "sesamo_dsl/sampler/autoregressive.py",
        (
            "a chain that sees later blocks",
            "a law that does not normalise",
            'self._fields(weights["law.coupling"] * self._mask, self._encoded(u, y), size, size)',
            'self._fields(weights["law.coupling"], self._encoded(u, y), size, size)',
        ),
        (
            "turns of rows left out of a chain",
            "a law that does not normalise",
            "return self._arrays.logsumexp(chain.reshape(turns, -1), axis=0)",
            "return chain.reshape(turns, -1)[0]",
        ),
        (
            "product of elements in a chain",
            "swap",
            "(elements * self._spec.order + u)",
            "(u * self._spec.order + elements)",
        ),
        (
            "drawing a chain from one uniform",
            "off by one",
            "uniform.T[: self._spec.n_blocks]",
            "uniform.T[:1][[0] * self._spec.n_blocks]",
        ),
        (
            "heat bath of rows",
            "sign",
            "math.log(self._shared) - self._heat_of_rows(x)[0]",
            "math.log(self._shared) + self._heat_of_rows(x)[0]",
        ),
        (
            "copies of a row",
            "normaliser",
            "(self._shared, 1)) - math.log(self._shared)",
            "(self._shared, 1))",
        ),
    ),
    *_in(
        "backends/sesamo_torch/emit.py",
        (
            "torch: constants in float32",
            "float32",
            'array="torch.tensor({values}, dtype=torch.float64)',
            'array="torch.tensor({values}, dtype=torch.float32)',
        ),
        (
            "torch: literals in float32",
            "float32",
            "torch.as_tensor({0}, dtype=x.dtype",
            "torch.as_tensor({0}, dtype=torch.float32",
        ),
    ),
    *_in(
        "backends/sesamo_torch/model.py",
        (
            "torch: model in float32",
            "float32",
            "self._dtype = getattr(torch, compiled.precision)",
            "self._dtype = torch.float32",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/trainable.py",
        (
            "loading forgets the step",
            "state",
            'self._steps_done = int(state["step"])',
            "self._steps_done = 0",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/arrays.py",
        ("SiLU", "function", "self.nn.silu(values)", "self.nn.gelu(values)"),
    ),
    *_in(
        "sesamo_dsl/ir/array_api.py",
        (
            "emitted special functions",
            "function",
            "special.{function}({{0}})",
            "special.{function}(1.01 * {{0}})",
        ),
        ("emitted atan2", "swap", "xp.atan2({0}, {1})", "xp.atan2({1}, {0})"),
    ),
    *_in(
        "sesamo_dsl/ir/half_line.py",
        ("quantile chart", "factor", "location + width * v, 0)", "location + v, 0)"),
        ("slope of the chart", "Jacobian factor", "(v - t) * (v + t) / 2", "(v - t) * (v + t)"),
    ),
    *_in(
        "sesamo_dsl/ir/sectors.py",
        (
            "numbers of sectors",
            "off by one",
            "np.arange(self.n_blocks - 1, -1, -1)",
            "np.arange(self.n_blocks)",
        ),
    ),
    *_in(
        "sesamo_dsl/analysis/local.py",
        (
            "local groups change nothing",
            "a symmetry that is none",
            "before, after = (self._marked(node.density, members, g) for g in (None, element))",
            "before, after = (self._marked(node.density, members, g) for g in (None, None))",
        ),
        (
            "local average",
            "normaliser",
            # a wrong divisor would be none: a multiple of the average is as invariant as the average, so that
            # S₁ grows by a function that no copy of the group changes, and nothing depends on that
            "sp.Add(*images) / len(elements)",
            "sp.Add(*images[1:]) / len(elements)",
        ),
    ),
    *_in(
        "sesamo_dsl/ir/array_api.py",
        (
            "emitted blocks along the wrong axes",
            "broadcasting",
            "xp.moveaxis(matrices, 1, -1), x, axes) * x[:, None]).sum(axis=2)",
            "xp.moveaxis(matrices, 1, -1), x, axes) * x[:, None]).sum(axis=1)",
        ),
        (
            "emitted constant added to blocks",
            "sign",
            "return x + _over_blocks(steps.swapaxes(1, 2), x, axes)",
            "return x - _over_blocks(steps.swapaxes(1, 2), x, axes)",
        ),
    ),
    *_in(
        "backends/sesamo_torch/fermions.py",
        ("torch: gradient of fermions", "charge", "(species * torch.cat(slopes))", "(torch.cat(slopes))"),
        (
            "torch: slope of a slice",
            "sign",
            "return log, -_fermion_interleave(",
            "return log, _fermion_interleave(",
        ),
    ),
    *_in(
        "sesamo_dsl/sampler/objectives.py",
        (
            "sum over the group",
            "sign",
            "arrays.xp.exp(log_p) * (log_p + breaking)",
            "arrays.xp.exp(log_p) * (log_p - breaking)",
        ),
        ("ESS of a batch", "factor", "2 * first - second) / len", "first - second / 2) / len"),
    ),
    *_in(
        "backends/sesamo_torch/arrays.py",
        ("torch: nothing is held constant", "derivative", "return tree.detach()", "return tree"),
        (
            "torch: affine map of a network",
            "factor",
            "torch.addmm(bias, weight, values)",
            "torch.addmm(bias, weight, values, beta=0.5)",
        ),
    ),
    *_in(
        "backends/sesamo_jax/emit.py",
        (
            "jax: constants in float32",
            "float32",
            'array="np.array({values}, dtype=np.float64)',
            'array="np.array({values}, dtype=np.float32)',
        ),
    ),
    *_in(
        "backends/sesamo_jax/arrays.py",
        ("jax: nothing is held constant", "derivative", "return jax.lax.stop_gradient(tree)", "return tree"),
        (
            "jax: affine map of a network",
            "factor",
            "return weight @ values + bias",
            "return weight @ values + 0.5 * bias",
        ),
    ),
    *_in(
        "backends/sesamo_jax/model.py",
        (
            "jax: Adam forgets its step",
            "state",
            "count=jnp.asarray(self._steps_done, moments.count.dtype)",
            "count=jnp.asarray(0, moments.count.dtype)",
        ),
    ),
)
"""All faults."""
