"""The templates and helper functions that torch, JAX and NumPy share, in names of the Python array API.

``xp`` stands for the namespace of arrays and ``special`` for the namespace of special functions. A dialect
replaces some names by the framework's (:func:`dialect`), adds its own templates, and defines four helpers:
``_hold(v)`` is v as a constant, ``_log_ndtr`` and ``_ndtri`` are log Φ and Φ⁻¹, and ``_log_ndtrs`` is log Φ
of several arrays, broadcast against each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .source import Dialect

_UNARY = (
    *("exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "abs", "sign", "expm1", "floor"),
    *("asin", "acos", "atan", "asinh", "acosh", "atanh"),
)
_SPECIAL = {name: name for name in ("erf", "erfc", "digamma", "i0e", "i1e")} | {"lgamma": "gammaln"}
_FERMION = "({0}, {1}, {attribute[0]}, {attribute[1]})"

TEMPLATES: Mapping[str, str] = {
    "component": "{0}[:, {attribute}]",
    "stack": "xp.stack([{args}], axis=1)",
    "shift": "xp.roll({0}, {attribute}, {axes})",
    "site_sum": "{0}.sum(axis={axes})",
    "broadcast": "xp.zeros_like(x[:, 0]) + {0}",
    "site_mean": "{0}.mean(axis={field_axes})",
    "argmax": "xp.argmax({0}, axis=-1)",
    "block_mean": "_block_mean({0}, {attribute})",
    "block_sum": "_block_sum({0}, {attribute})",
    "half_line": "_half_line({args})",
    "half_line_inverse": "_half_line_inverse({args})",
    "half_line_log_slope": "_half_line_log_slope({args})",
    "difference": "{0} - {1}",
    "where": "xp.where({0} != 0, {1}, {2})",
    "maximum": "xp.maximum({0}, {1})",
    "minimum": "xp.minimum({0}, {1})",
    "lt": "({0} < {1}).astype(x.dtype)",
    "le": "({0} <= {1}).astype(x.dtype)",
    "logsumexp": "special.logsumexp(xp.stack(xp.broadcast_arrays({args})), axis=0)",
    **{name: f"xp.{name}({{0}})" for name in _UNARY},
    **{name: f"special.{function}({{0}})" for name, function in _SPECIAL.items()},
    "fermion_log_det": f"_fermion_log_det{_FERMION}",
    "fermion_gradient": f"_fermion_gradient{_FERMION}",
    "affine_stack": "_affine_stack({attribute}, [{args}])",
    "stack_logsumexp": "special.logsumexp({0}, axis=0).reshape(x[:, 0].shape)",
    "stack_softmax": "xp.exp({0} - {1}.reshape(-1))",
    "entry": "{0}[:, {attribute}]",
    "tail": "{0}[:, 1:]",
    "norm": "xp.linalg.vector_norm({0}, axis=1)",
    "filled": "xp.full_like({0}, {attribute})",
    "direction": "_direction({0})",
    "matrix_polynomial": "_matrix_polynomial({0}, [{rest}])",
    "rotate": 'xp.einsum("nab,nb...->na...", {1}, {0})',
    "rotate_back": 'xp.einsum("nba,nb...->na...", {1}, {0})',
    "atan2": "xp.atan2({0}, {1})",
    "wall": "xp.full_like({0}, math.inf)",
}
"""Operation → expression; see :class:`~sesamo_dsl.ir.source.Dialect`."""

JOINT: Mapping[tuple[str, str], str] = {
    ("fermion_log_det", "fermion_gradient"): f"_fermion_log_det_and_gradient{_FERMION}"
}
"""Pairs of operations that are computed together."""

HELPERS: Mapping[str, str] = {
    "_direction": '''def _direction(v):
    """v/|v|, the first unit vector where v = 0."""
    length = xp.linalg.vector_norm(v, axis=1, keepdims=True)
    first = xp.concat([xp.ones_like(v[:, :1]), xp.zeros_like(v[:, 1:])], axis=1)
    return xp.where(length > 0, v / xp.where(length > 0, length, 1), first)''',
    "_matrix_polynomial": '''def _matrix_polynomial(a, coefficients):
    """Σ_j coefficients[j] A^j per configuration."""
    power = xp.tril(xp.triu(xp.ones_like(a)))  # the unit matrix
    total = xp.zeros_like(a)
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
    return total.reshape(total.shape[0], math.prod(total.shape[1:]))''',
    "_act_on_blocks": '''def _act_on_blocks(x, matrices, axes):
    """Each block of x turned by its own matrix, (batch, blocks, components, components)."""
    return (_over_blocks(xp.moveaxis(matrices, 1, -1), x, axes) * x[:, None]).sum(axis=2)''',
    "_spread": '''def _spread(x, steps, axes):
    """x plus a constant for every component of each block, (batch, [blocks,] components)."""
    steps = steps[:, None] if steps.ndim == 2 else steps
    return x + _over_blocks(steps.swapaxes(1, 2), x, axes)''',
    "_ndtri_exp": '''def _ndtri_exp(log_p):
    """Φ⁻¹(exp(log_p)) for log_p ≤ −log 2: a close start without gradient, then one Newton step on log Φ."""
    target = _hold(log_p)
    far = xp.sqrt(xp.clip(-2 * target - math.log(2 * math.pi) - xp.log(-2 * target + 1), min=1))
    start = xp.where(target > -70, _ndtri(xp.exp(xp.clip(target, min=-75))), -far)
    for _ in range(2):
        log = _log_ndtr(start)
        slope = xp.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - log)
        start = start - (log - target) / slope
    log = _log_ndtr(start)
    slope = xp.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - log)
    return start - (log - log_p) / slope''',
    "_quantile": '''def _quantile(above, below):
    """v from log Q(v) and log Φ(v), whichever of the two tails it lies in."""
    right = above < -math.log(2)
    v = _ndtri_exp(xp.where(right, above, below))
    return xp.where(right, -v, v)''',
    "_half_line": '''def _half_line(vector, location, width):
    """R → (0, ∞): N(location, width²) to the same density cut off at 0, Q(v) = Q(a) Q(t)."""
    a, t = -location / width, (vector - location) / width
    kept, above, cut, below = _log_ndtrs(-a, -t, a, t)
    return xp.clip(location + width * _quantile(kept + above, xp.logaddexp(cut, kept + below)), min=0)''',
    "_half_line_inverse": '''def _half_line_inverse(vector, location, width):
    """(0, ∞) → R, the inverse of _half_line."""
    a, v = -location / width, (vector - location) / width
    kept, above, cut, below = _log_ndtrs(-a, -v, a, v)
    gap = xp.clip(cut - below, max=-xp.finfo(v.dtype).tiny)
    return location + width * _quantile(above - kept, below + xp.log(-xp.expm1(gap)) - kept)''',
    "_half_line_log_slope": '''def _half_line_log_slope(vector, location, width):
    """log of the derivative of _half_line."""
    t = (vector - location) / width
    v = (_half_line(vector, location, width) - location) / width
    return _log_ndtr(location / width) + (v - t) * (v + t) / 2''',
}
"""Functions that templates call, by name."""


def dialect(
    framework: str,
    imports: str,
    *,
    words: Mapping[str, str],
    templates: Mapping[str, str],
    helpers: Mapping[str, str],
    array: str,
    scalar_operand: str,
) -> Dialect:
    """A dialect: the shared templates and helpers with names replaced by ``words``, and the framework's own.

    ``words`` is a mapping like ``{"xp": "torch", "axis": "dim"}``.
    """
    return Dialect(
        framework,
        imports,
        templates={**spelled(TEMPLATES, words), **templates},
        array=array,
        scalar_operand=scalar_operand,
        helpers={**spelled(HELPERS, words), **helpers},
        joint=JOINT,
    )


def spelled(texts: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """Templates or helpers in which every whole word is replaced by ``words``; ``_xp`` is another word."""
    pattern = re.compile(rf"\b({'|'.join(words)})\b")
    return {name: pattern.sub(lambda found: words[found[0]], text) for name, text in texts.items()}
