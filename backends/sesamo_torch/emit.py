"""The dialect of PyTorch: templates and helpers in which a Program is emitted."""

from __future__ import annotations

from sesamo_dsl.ir.array_api import dialect

from .fermions import SOURCE as _FERMIONS

DIALECT = dialect(
    "PyTorch",
    "import torch",
    words={
        "xp": "torch",
        "special": "torch.special",
        "axis": "dim",
        "keepdims": "keepdim",
        "astype": "to",
        "broadcast_arrays": "broadcast_tensors",
    },
    helpers={
        "_constant": """@functools.cache
def _constant(values, dtype, device):
    return torch.tensor(values, dtype=dtype, device=device)""",
        "_affine_stack": '''def _affine_stack(rows, values):
    """rows[k][0] + Σ_j rows[k][j+1] values[j], stacked over k and flattened over the rest."""
    rows = _constant(rows, values[0].dtype, values[0].device)
    return torch.addmm(rows[:, :1], rows[:, 1:], torch.stack(values).reshape(len(values), -1))''',
        "_hold": """def _hold(v):
    return v.detach()""",
        "_log_ndtr": "_log_ndtr = torch.special.log_ndtr",
        "_ndtri": "_ndtri = torch.special.ndtri",
        "_log_ndtrs": """def _log_ndtrs(*values):
    return torch.broadcast_tensors(*map(torch.special.log_ndtr, values))""",
        "_fermion": _FERMIONS,
    },
    templates={
        "site_constant": "{attribute}.to(x).expand_as(x[:, 0])",
        "site_parameter": "torch.as_tensor({attribute}, dtype=x.dtype, device=x.device).expand_as(x[:, 0])",
        "neighbours": "{0} @ {attribute}.to({0})",
        "gather": "{0}[..., {attribute}.to({0}.device, torch.int64)]",
        "scatter": "torch.zeros_like({0}).index_add(-1, {attribute}.to({0}.device, torch.int64), {0})",
        "linear": "{0} @ {attribute}.to({0}).T",
        "act": 'torch.einsum("nab,nb...->na...", {attribute}.to({0})[{1}], {0})',
        "act_on_blocks": "_act_on_blocks({0}, {attribute[0]}.to({0})[{1}], {attribute[1]})",
        "spread": "_spread({0}, {1} @ {attribute[0]}.to({0}).T, {attribute[1]})",
        "total": "{0}.flatten(1).sum(dim=1)",
        "flatten": "{0}.flatten(1)",
        "stack_dot": "(_constant({attribute}, {0}.dtype, {0}.device) @ {0}).reshape(x[:, 0].shape)",
        "combination": 'torch.einsum("ni,iab->nab", {0}, {attribute}.to({0}))',
        "hold": "{0}.detach()",
    },
    array="torch.tensor({values}, dtype=torch.float64).reshape({shape})",
    scalar_operand="torch.as_tensor({0}, dtype=x.dtype, device=x.device)",
)
