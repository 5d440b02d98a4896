"""The dialect of JAX: templates and helpers in which a Program is emitted."""

from __future__ import annotations

from sesamo_dsl.ir.array_api import dialect

from .fermions import SOURCE as _FERMIONS

DIALECT = dialect(
    "JAX",
    "import jax\nimport jax.numpy as jnp\nimport numpy as np",
    words={"xp": "jnp", "special": "jax.scipy.special"},
    helpers={
        "_affine_stack": '''def _affine_stack(rows, values):
    """rows[k][0] + Σ_j rows[k][j+1] values[j], stacked over k and flattened over the rest."""
    columns = jnp.asarray(rows, values[0].dtype).T[:, :, None]
    total = columns[0]
    for column, value in zip(columns[1:], values):  # element by element: XLA fuses it with what follows
        total = total + column * value.reshape(-1)
    return total''',
        "_hold": "_hold = jax.lax.stop_gradient",
        # jit makes one kernel of several dozen, also in code that is not compiled
        "_log_ndtr": "_log_ndtr = jax.jit(jax.scipy.special.log_ndtr)",
        "_ndtri": "_ndtri = jax.jit(jax.scipy.special.ndtri)",
        "_log_ndtrs": """def _log_ndtrs(*values):
    return _log_ndtr(jnp.stack(jnp.broadcast_arrays(*values)))""",
        "_fermion": _FERMIONS,
    },
    templates={
        "site_constant": "jnp.broadcast_to(jnp.asarray({attribute}, x.dtype), x[:, 0].shape)",
        "site_parameter": "jnp.broadcast_to(jnp.asarray({attribute}, x.dtype), x[:, 0].shape)",
        "neighbours": "{0} @ jnp.asarray({attribute}, {0}.dtype)",
        "gather": "{0}[..., jnp.asarray({attribute}, jnp.int32)]",
        "scatter": "jnp.zeros_like({0}).at[..., jnp.asarray({attribute}, jnp.int32)].add({0})",
        "linear": "{0} @ jnp.asarray({attribute}, {0}.dtype).T",
        "act": 'jnp.einsum("nab,nb...->na...", jnp.asarray({attribute}, {0}.dtype)[{1}], {0})',
        "act_on_blocks": "_act_on_blocks({0}, jnp.asarray({attribute[0]}, {0}.dtype)[{1}], {attribute[1]})",
        "spread": "_spread({0}, {1} @ jnp.asarray({attribute[0]}, {0}.dtype).T, {attribute[1]})",
        "total": "{0}.sum(axis=tuple(range(1, {0}.ndim)))",
        "flatten": "{0}.reshape({0}.shape[0], {0}.shape[1] * {0}.shape[2])",
        "stack_dot": "(jnp.asarray({attribute}, {0}.dtype) @ {0}).reshape(x[:, 0].shape)",
        "combination": 'jnp.einsum("ni,iab->nab", {0}, jnp.asarray({attribute}, {0}.dtype))',
        "hold": "jax.lax.stop_gradient({0})",
    },
    array="np.array({values}, dtype=np.float64).reshape({shape})",
    scalar_operand="jnp.asarray({0}, x.dtype)",
)
