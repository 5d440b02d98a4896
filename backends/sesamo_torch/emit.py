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
    "_fermion": _FERMIONS,
}

DIALECT = Dialect(
    framework="PyTorch",
    imports="import functools\n\nimport torch",
    helpers=_HELPERS,
    templates={
        "component": "{0}[:, {attribute}]",
        "stack": "torch.stack([{args}], dim=1)",
        "shift": "torch.roll({0}, {attribute}, {axes})",
        "neighbours": "{0} @ {attribute}.to({0})",
        "site_sum": "{0}.sum(dim={axes})",
        "broadcast": "torch.zeros_like(x[:, 0]) + {0}",
        "site_mean": "{0}.mean(dim={field_axes})",
        "linear": "{0} @ {attribute}.to({0}).T",
        "argmax": "torch.argmax({0}, dim=1)",
        "act": 'torch.einsum("nab,nb...->na...", {attribute}.to({0})[{1}], {0})',
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
        "erf": "torch.special.erf({0})",
    },
    array="torch.tensor({values}, dtype=torch.float64).reshape({shape})",
    scalar_operand="torch.as_tensor({0}, dtype=x.dtype, device=x.device)",
)


def emit(program: Program) -> str:
    """Source of the module for a program."""
    return module_source(program, DIALECT)
