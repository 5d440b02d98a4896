"""How PyTorch spells a Program."""

from __future__ import annotations

from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.source import Dialect, module_source

DIALECT = Dialect(
    framework="PyTorch",
    imports="import torch",
    templates={
        "component": "{0}[:, {attribute}]",
        "stack": "torch.stack([{args}], dim=1)",
        "shift": "torch.roll({0}, {attribute}, {axes})",
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
            for name in ("exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "abs", "sign", "atan")
        },
        "erf": "torch.special.erf({0})",
    },
    array="torch.tensor({values}, dtype=torch.float64).reshape({shape})",
    scalar_operand="torch.as_tensor({0}, dtype=x.dtype, device=x.device)",
)


def emit(program: Program) -> str:
    """Source of the module for a program."""
    return module_source(program, DIALECT)
