"""How JAX spells a Program."""

from __future__ import annotations

from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.source import Dialect, module_source

from .fermions import SOURCE as _FERMIONS

_HELPERS = {
    "_affine_stack": '''def _affine_stack(rows, values):
    """rows[k][0] + Σ_j rows[k][j+1] values[j], stacked over k and flattened over the rest."""
    columns = jnp.asarray(rows, values[0].dtype).T[:, :, None]
    total = columns[0]
    for column, value in zip(columns[1:], values):  # element by element: XLA fuses it with what follows
        total = total + column * value.reshape(-1)
    return total''',
    "_direction": '''def _direction(v):
    """v/|v|, the first unit vector where v = 0."""
    length = jnp.linalg.norm(v, axis=1, keepdims=True)
    first = jnp.eye(v.shape[1], dtype=v.dtype)[:1]
    return jnp.where(length > 0, v / jnp.where(length > 0, length, 1), first)''',
    "_matrix_polynomial": '''def _matrix_polynomial(a, coefficients):
    """Σ_j coefficients[j] A^j per configuration."""
    power = jnp.broadcast_to(jnp.eye(a.shape[1], dtype=a.dtype), a.shape)
    total = jnp.zeros_like(a)
    for coefficient in coefficients:
        total = total + coefficient[:, None, None] * power
        power = power @ a
    return total''',
    "_over_blocks": '''def _over_blocks(values, x, axes):
    """Values (batch, …, blocks) laid out along the lattice of x, with extent 1 off the block axes."""
    shape = [n if mu in axes else 1 for mu, n in enumerate(x.shape[2:])]
    return values.reshape(*values.shape[:-1], *shape)''',
    "_block_mean": '''def _block_mean(x, axes):
    """Mean of every component over the sites of each block, (batch, blocks, components)."""
    rest = tuple(mu + 2 for mu in range(x.ndim - 2) if mu not in axes)
    mean = x.mean(axis=rest) if rest else x
    return mean.reshape(*mean.shape[:2], math.prod(mean.shape[2:])).swapaxes(1, 2)''',
    "_block_sum": '''def _block_sum(density, axes):
    """Σ over the sites of each block, (batch, blocks)."""
    rest = tuple(mu + 1 for mu in range(density.ndim - 1) if mu not in axes)
    total = density.sum(axis=rest) if rest else density
    return total.reshape(len(total), math.prod(total.shape[1:]))''',
    "_act_on_blocks": '''def _act_on_blocks(x, matrices, axes):
    """Each block of x turned by its own matrix, (batch, blocks, components, components)."""
    return (_over_blocks(jnp.moveaxis(matrices, 1, -1), x, axes) * x[:, None]).sum(axis=2)''',
    "_spread": '''def _spread(x, steps, axes):
    """x plus a constant for every component of each block, (batch, [blocks,] components)."""
    steps = steps[:, None] if steps.ndim == 2 else steps
    return x + _over_blocks(steps.swapaxes(1, 2), x, axes)''',
    # one kernel each, also where nothing around them is compiled, in place of several dozen
    "_log_ndtr": "_log_ndtr = jax.jit(jax.scipy.special.log_ndtr)",
    "_ndtri": "_ndtri = jax.jit(jax.scipy.special.ndtri)",
    "_ndtri_exp": '''def _ndtri_exp(log_p):
    """Φ⁻¹(exp(log_p)) for log_p ≤ −log 2: a close start without gradient, then one Newton step on log Φ."""
    target = jax.lax.stop_gradient(log_p)
    far = jnp.sqrt(jnp.maximum(-2 * target - math.log(2 * math.pi) - jnp.log(-2 * target + 1), 1))
    near = _ndtri(jnp.exp(jnp.maximum(target, -75)))
    start = jnp.where(target > -70, near, -far)
    for _ in range(2):
        log = _log_ndtr(start)
        slope = jnp.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - log)
        start = start - (log - target) / slope
    log = _log_ndtr(start)
    slope = jnp.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - log)
    start, log, slope = jax.lax.stop_gradient((start, log, slope))
    return start - (log - log_p) / slope''',
    "_quantile": '''def _quantile(above, below):
    """v from log Q(v) and log Φ(v), whichever of the two tails it lies in."""
    right = above < -math.log(2)
    v = _ndtri_exp(jnp.where(right, above, below))
    return jnp.where(right, -v, v)''',
    "_half_line": '''def _half_line(vector, location, width):
    """R → (0, ∞): N(location, width²) to the same density cut off at 0, Q(v) = Q(a) Q(t)."""
    a, t = -location / width, (vector - location) / width
    kept, above, cut, below = _log_ndtr(jnp.stack(jnp.broadcast_arrays(-a, -t, a, t)))
    return jnp.maximum(location + width * _quantile(kept + above, jnp.logaddexp(cut, kept + below)), 0)''',
    "_half_line_inverse": '''def _half_line_inverse(vector, location, width):
    """(0, ∞) → R, the inverse of _half_line."""
    a, v = -location / width, (vector - location) / width
    kept, above, cut, below = _log_ndtr(jnp.stack(jnp.broadcast_arrays(-a, -v, a, v)))
    gap = jnp.minimum(cut - below, -jnp.finfo(v.dtype).tiny)
    return location + width * _quantile(above - kept, below + jnp.log(-jnp.expm1(gap)) - kept)''',
    "_half_line_log_slope": '''def _half_line_log_slope(vector, location, width):
    """log of the derivative of _half_line."""
    t = (vector - location) / width
    v = (_half_line(vector, location, width) - location) / width
    return _log_ndtr(location / width) + (v - t) * (v + t) / 2''',
    "_fermion": _FERMIONS,
}

DIALECT = Dialect(
    framework="JAX",
    imports="import jax\nimport jax.numpy as jnp\nimport numpy as np",
    helpers=_HELPERS,
    templates={
        "component": "{0}[:, {attribute}]",
        "stack": "jnp.stack([{args}], axis=1)",
        "shift": "jnp.roll({0}, {attribute}, {axes})",
        "site_constant": "jnp.broadcast_to(jnp.asarray({attribute}, x.dtype), x[:, 0].shape)",
        "site_parameter": "jnp.broadcast_to(jnp.asarray({attribute}, x.dtype), x[:, 0].shape)",
        "neighbours": "{0} @ jnp.asarray({attribute}, {0}.dtype)",
        "gather": "{0}[..., jnp.asarray({attribute}, jnp.int32)]",
        "scatter": "jnp.zeros_like({0}).at[..., jnp.asarray({attribute}, jnp.int32)].add({0})",
        "site_sum": "{0}.sum(axis={axes})",
        "broadcast": "jnp.zeros_like(x[:, 0]) + {0}",
        "site_mean": "{0}.mean(axis={field_axes})",
        "linear": "{0} @ jnp.asarray({attribute}, {0}.dtype).T",
        "argmax": "jnp.argmax({0}, axis=-1)",
        "act": 'jnp.einsum("nab,nb...->na...", jnp.asarray({attribute}, {0}.dtype)[{1}], {0})',
        "block_mean": "_block_mean({0}, {attribute})",
        "block_sum": "_block_sum({0}, {attribute})",
        "act_on_blocks": "_act_on_blocks({0}, jnp.asarray({attribute[0]}, {0}.dtype)[{1}], {attribute[1]})",
        "spread": "_spread({0}, {1} @ jnp.asarray({attribute[0]}, {0}.dtype).T, {attribute[1]})",
        "half_line": "_half_line({args})",
        "half_line_inverse": "_half_line_inverse({args})",
        "half_line_log_slope": "_half_line_log_slope({args})",
        "difference": "{0} - {1}",
        "total": "{0}.sum(axis=tuple(range(1, {0}.ndim)))",
        "flatten": "{0}.reshape(len({0}), {0}.shape[1] * {0}.shape[2])",
        "where": "jnp.where({0} != 0, {1}, {2})",
        "logsumexp": "jax.nn.logsumexp(jnp.stack(jnp.broadcast_arrays({args})), axis=0)",
        "maximum": "jnp.maximum({0}, {1})",
        "minimum": "jnp.minimum({0}, {1})",
        "lt": "({0} < {1}).astype(x.dtype)",
        "le": "({0} <= {1}).astype(x.dtype)",
        **{
            name: f"jnp.{name}({{0}})"
            for name in (
                "exp",
                "log",
                "sin",
                "cos",
                "tan",
                "tanh",
                "sinh",
                "cosh",
                "sqrt",
                "abs",
                "sign",
                "expm1",
                "floor",
            )
        },
        **{name: f"jnp.arc{name[1:]}({{0}})" for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
        "fermion_log_det": "_fermion_log_det({0}, {1}, {attribute[0]}, {attribute[1]})",
        "fermion_gradient": "_fermion_gradient({0}, {1}, {attribute[0]}, {attribute[1]})",
        "affine_stack": "_affine_stack({attribute}, [{args}])",
        "stack_logsumexp": "jax.nn.logsumexp({0}, axis=0).reshape(x[:, 0].shape)",
        "stack_softmax": "jnp.exp({0} - {1}.reshape(-1))",
        "stack_dot": "(jnp.asarray({attribute}, {0}.dtype) @ {0}).reshape(x[:, 0].shape)",
        "entry": "{0}[:, {attribute}]",
        "tail": "{0}[:, 1:]",
        "norm": "jnp.linalg.norm({0}, axis=1)",
        "filled": "jnp.full_like({0}, {attribute})",
        "direction": "_direction({0})",
        "combination": 'jnp.einsum("ni,iab->nab", {0}, jnp.asarray({attribute}, {0}.dtype))',
        "matrix_polynomial": "_matrix_polynomial({0}, [{rest}])",
        "rotate": 'jnp.einsum("nab,nb...->na...", {1}, {0})',
        "rotate_back": 'jnp.einsum("nba,nb...->na...", {1}, {0})',
        "atan2": "jnp.arctan2({0}, {1})",
        **{name: f"jax.scipy.special.{name}({{0}})" for name in ("erf", "erfc", "digamma", "i0e", "i1e")},
        "lgamma": "jax.scipy.special.gammaln({0})",
        "hold": "jax.lax.stop_gradient({0})",
        "wall": "jnp.full_like({0}, math.inf)",
    },
    array="np.array({values}, dtype=np.float64).reshape({shape})",
    joint={
        (
            "fermion_log_det",
            "fermion_gradient",
        ): "_fermion_log_det_and_gradient({0}, {1}, {attribute[0]}, {attribute[1]})"
    },
    scalar_operand="jnp.asarray({0}, x.dtype)",
)


def emit(program: Program) -> str:
    """Source of the module for a program."""
    return module_source(program, DIALECT)
