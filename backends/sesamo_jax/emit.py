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
        "neighbours": "{0} @ jnp.asarray({attribute}, {0}.dtype)",
        "site_sum": "{0}.sum(axis={axes})",
        "broadcast": "jnp.zeros_like(x[:, 0]) + {0}",
        "site_mean": "{0}.mean(axis={field_axes})",
        "linear": "{0} @ jnp.asarray({attribute}, {0}.dtype).T",
        "argmax": "jnp.argmax({0}, axis=1)",
        "act": 'jnp.einsum("nab,nb...->na...", jnp.asarray({attribute}, {0}.dtype)[{1}], {0})',
        "where": "jnp.where({0} != 0, {1}, {2})",
        "logsumexp": "jax.nn.logsumexp(jnp.stack(jnp.broadcast_arrays({args})), axis=0)",
        "maximum": "jnp.maximum({0}, {1})",
        "minimum": "jnp.minimum({0}, {1})",
        "lt": "({0} < {1}).astype(x.dtype)",
        "le": "({0} <= {1}).astype(x.dtype)",
        **{
            name: f"jnp.{name}({{0}})"
            for name in ("exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "abs", "sign")
        },
        "atan": "jnp.arctan({0})",
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
        "erf": "jax.scipy.special.erf({0})",
    },
    array="np.array({values}, dtype=np.float64).reshape({shape})",
    scalar_operand="jnp.asarray({0}, x.dtype)",
)


def emit(program: Program) -> str:
    """Source of the module for a program."""
    return module_source(program, DIALECT)
