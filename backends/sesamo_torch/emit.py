"""How PyTorch spells a Program."""

from __future__ import annotations

from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.source import Dialect, module_source

from .fermions import SOURCE as _FERMIONS

_HELPERS = {
    "_constant": """@functools.cache
def _constant(values, dtype, device):
    return torch.tensor(values, dtype=dtype, device=device)""",
    "_affine_stack": '''def _affine_stack(rows, values):
    """rows[k][0] + Σ_j rows[k][j+1] values[j], stacked over k and flattened over the rest."""
    rows = _constant(rows, values[0].dtype, values[0].device)
    return torch.addmm(rows[:, :1], rows[:, 1:], torch.stack(values).reshape(len(values), -1))''',
    "_direction": '''def _direction(v):
    """v/|v|, the first unit vector where v = 0."""
    length = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    first = torch.nn.functional.one_hot(torch.zeros_like(v[:, 0], dtype=torch.long), v.shape[1]).to(v)
    return torch.where(length > 0, v / torch.where(length > 0, length, torch.ones_like(length)), first)''',
    "_matrix_polynomial": '''def _matrix_polynomial(a, coefficients):
    """Σ_j coefficients[j] A^j per configuration."""
    power = torch.eye(a.shape[1], dtype=a.dtype, device=a.device).expand_as(a)
    total = torch.zeros_like(a)
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
    rest = [mu + 2 for mu in range(x.ndim - 2) if mu not in axes]
    return (x.mean(dim=rest) if rest else x).flatten(2).transpose(1, 2)''',
    "_block_sum": '''def _block_sum(density, axes):
    """Σ over the sites of each block, (batch, blocks)."""
    rest = [mu + 1 for mu in range(density.ndim - 1) if mu not in axes]
    return (density.sum(dim=rest) if rest else density).flatten(1)''',
    "_act_on_blocks": '''def _act_on_blocks(x, matrices, axes):
    """Each block of x turned by its own matrix, (batch, blocks, components, components)."""
    return (_over_blocks(matrices.movedim(1, -1), x, axes) * x[:, None]).sum(dim=2)''',
    "_spread": '''def _spread(x, steps, axes):
    """x plus a constant for every component of each block, (batch, [blocks,] components)."""
    steps = steps[:, None] if steps.ndim == 2 else steps
    return x + _over_blocks(steps.transpose(1, 2), x, axes)''',
    "_ndtri_exp": '''def _ndtri_exp(log_p):
    """Φ⁻¹(exp(log_p)) for log_p ≤ −log 2: a close start without gradient, then one Newton step on log Φ."""
    with torch.no_grad():
        far = torch.sqrt((-2 * log_p - math.log(2 * math.pi) - torch.log(-2 * log_p + 1)).clamp(min=1))
        start = torch.where(log_p > -70, torch.special.ndtri(torch.exp(log_p.clamp(min=-75))), -far)
        for _ in range(2):
            slope = torch.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - torch.special.log_ndtr(start))
            start = start - (torch.special.log_ndtr(start) - log_p) / slope
        slope = torch.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - torch.special.log_ndtr(start))
    return start - (torch.special.log_ndtr(start) - log_p) / slope''',
    "_quantile": '''def _quantile(above, below):
    """v from log Q(v) and log Φ(v), whichever of the two tails it lies in."""
    right = above < -math.log(2)
    v = _ndtri_exp(torch.where(right, above, below))
    return torch.where(right, -v, v)''',
    "_half_line": '''def _half_line(vector, location, width):
    """R → (0, ∞): N(location, width²) to the same density cut off at 0, Q(v) = Q(a) Q(t)."""
    a, t = -location / width, (vector - location) / width
    log_kept = torch.special.log_ndtr(-a)
    above = log_kept + torch.special.log_ndtr(-t)
    below = torch.logaddexp(torch.special.log_ndtr(a) + 0 * t, log_kept + torch.special.log_ndtr(t))
    return torch.clamp(location + width * _quantile(above, below), min=0)''',
    "_half_line_inverse": '''def _half_line_inverse(vector, location, width):
    """(0, ∞) → R, the inverse of _half_line."""
    a, v = -location / width, (vector - location) / width
    log_kept = torch.special.log_ndtr(-a)
    above = torch.special.log_ndtr(-v) - log_kept
    gap = torch.clamp(torch.special.log_ndtr(a) - torch.special.log_ndtr(v), max=-torch.finfo(v.dtype).tiny)
    below = torch.special.log_ndtr(v) + torch.log(-torch.expm1(gap)) - log_kept
    return location + width * _quantile(above, below)''',
    "_half_line_log_slope": '''def _half_line_log_slope(vector, location, width):
    """log of the derivative of _half_line."""
    t = (vector - location) / width
    v = (_half_line(vector, location, width) - location) / width
    return torch.special.log_ndtr(location / width) + (v - t) * (v + t) / 2''',
    "_fermion": _FERMIONS,
}

DIALECT = Dialect(
    framework="PyTorch",
    imports="import torch",
    helpers=_HELPERS,
    templates={
        "component": "{0}[:, {attribute}]",
        "stack": "torch.stack([{args}], dim=1)",
        "shift": "torch.roll({0}, {attribute}, {axes})",
        "site_constant": "{attribute}.to(x).expand_as(x[:, 0])",
        "site_parameter": "torch.as_tensor({attribute}, dtype=x.dtype, device=x.device).expand_as(x[:, 0])",
        "neighbours": "{0} @ {attribute}.to({0})",
        "gather": "{0}[..., {attribute}.to({0}.device, torch.int64)]",
        "scatter": "torch.zeros_like({0}).index_add(-1, {attribute}.to({0}.device, torch.int64), {0})",
        "site_sum": "{0}.sum(dim={axes})",
        "broadcast": "torch.zeros_like(x[:, 0]) + {0}",
        "site_mean": "{0}.mean(dim={field_axes})",
        "linear": "{0} @ {attribute}.to({0}).T",
        "argmax": "torch.argmax({0}, dim=-1)",
        "act": 'torch.einsum("nab,nb...->na...", {attribute}.to({0})[{1}], {0})',
        "block_mean": "_block_mean({0}, {attribute})",
        "block_sum": "_block_sum({0}, {attribute})",
        "act_on_blocks": "_act_on_blocks({0}, {attribute[0]}.to({0})[{1}], {attribute[1]})",
        "spread": "_spread({0}, {1} @ {attribute[0]}.to({0}).T, {attribute[1]})",
        "half_line": "_half_line({args})",
        "half_line_inverse": "_half_line_inverse({args})",
        "half_line_log_slope": "_half_line_log_slope({args})",
        "difference": "{0} - {1}",
        "total": "{0}.flatten(1).sum(dim=1)",
        "flatten": "{0}.flatten(1)",
        "where": "torch.where({0} != 0, {1}, {2})",
        "logsumexp": "torch.logsumexp(torch.stack(torch.broadcast_tensors({args})), dim=0)",
        "maximum": "torch.maximum({0}, {1})",
        "minimum": "torch.minimum({0}, {1})",
        "lt": "({0} < {1}).to(x.dtype)",
        "le": "({0} <= {1}).to(x.dtype)",
        **{
            name: f"torch.{name}({{0}})"
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
                "atan",
                "expm1",
                "asin",
                "acos",
                "asinh",
                "acosh",
                "atanh",
                "floor",
                "lgamma",
                "digamma",
            )
        },
        "fermion_log_det": "_fermion_log_det({0}, {1}, {attribute[0]}, {attribute[1]})",
        "fermion_gradient": "_fermion_gradient({0}, {1}, {attribute[0]}, {attribute[1]})",
        "affine_stack": "_affine_stack({attribute}, [{args}])",
        "stack_logsumexp": "torch.logsumexp({0}, dim=0).reshape(x[:, 0].shape)",
        "stack_softmax": "torch.exp({0} - {1}.reshape(-1))",
        "stack_dot": "(_constant({attribute}, {0}.dtype, {0}.device) @ {0}).reshape(x[:, 0].shape)",
        "entry": "{0}[:, {attribute}]",
        "tail": "{0}[:, 1:]",
        "norm": "torch.linalg.vector_norm({0}, dim=1)",
        "filled": "torch.full_like({0}, {attribute})",
        "direction": "_direction({0})",
        "combination": 'torch.einsum("ni,iab->nab", {0}, {attribute}.to({0}))',
        "matrix_polynomial": "_matrix_polynomial({0}, [{rest}])",
        "rotate": 'torch.einsum("nab,nb...->na...", {1}, {0})',
        "rotate_back": 'torch.einsum("nba,nb...->na...", {1}, {0})',
        "atan2": "torch.atan2({0}, {1})",
        **{name: f"torch.special.{name}({{0}})" for name in ("erf", "erfc", "i0e", "i1e")},
        "hold": "{0}.detach()",
        "wall": "torch.full_like({0}, math.inf)",
    },
    array="torch.tensor({values}, dtype=torch.float64).reshape({shape})",
    joint={
        (
            "fermion_log_det",
            "fermion_gradient",
        ): "_fermion_log_det_and_gradient({0}, {1}, {attribute[0]}, {attribute[1]})"
    },
    scalar_operand="torch.as_tensor({0}, dtype=x.dtype, device=x.device)",
)


def emit(program: Program) -> str:
    """Source of the module for a program."""
    return module_source(program, DIALECT)
