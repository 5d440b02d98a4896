"""Writes the functions of a model by ``torch.export``, and from there in ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.backend import Exported
from sesamo_dsl.errors import BackendError
from sesamo_dsl.sampler.functions import ModelFunction, model_functions, not_exportable, recipe

from .fermions import OPERATION, _fermion_operation
from .loader import IMPORTS, TorchFunctions

_ROWS = 5  # of the examples: no length of any other axis should be mistaken for it


class _Module(torch.nn.Module):
    """A function with its weights."""

    def __init__(self, weights: Mapping[str, Tensor], function: ModelFunction) -> None:
        super().__init__()
        self._weights, self._function = weights, function

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        return self._function.function(self._weights, *arrays)


@torch.no_grad()
def exported(model: Any, form: str, emitted: str) -> Exported:
    """The functions of a model on the CPU, as ``torch.export`` or ONNX has them.

    Parameters
    ----------
    form
        ``"torch"`` or ``"onnx"``.
    emitted
        Path of the emitted module.
    """
    weights, files, batch = model.arrays.detach(model.weights), {}, torch.export.Dim("batch")
    functions = model_functions(model, _ROWS, lambda function, *given: function(*given))
    if form == "onnx":
        _require_onnx()
    _fermion_operation()
    lines = IMPORTS
    for function in functions:
        # computed once as it is: constants that the emitted module caches would else be those of a trace
        function.function(weights, *function.example)
        try:
            with _quiet():
                program = torch.export.export(
                    _Module(weights, function),
                    function.example,
                    dynamic_shapes=(({0: batch},) * len(function.example),),
                    strict=False,
                )
                if form == "torch":
                    files[f"{function.name}.pt2"] = _in_pt2(program)
                    if "sesamo_dsl.fermion_log_det" in str(program.graph):
                        lines = f"{IMPORTS}\n\n{OPERATION}"
                else:
                    files[f"{function.name}.onnx"] = _in_onnx(program)
        except Exception as error:
            remedy = "export it to jax" if form == "torch" else "export it to torch or jax"
            raise not_exportable(function.name, form, error, emitted, remedy) from error
    by_name = {function.name: function.function for function in functions}
    given = files, tuple(by_name), (), recipe(model)
    if form == "torch":
        return Exported(*given, TorchFunctions, lines, "PyTorch")
    from .loader_onnx import IMPORTS as ONNX_IMPORTS
    from .loader_onnx import OnnxFunctions

    @torch.no_grad()
    def evaluate(name: str, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        outputs = by_name[name](weights, *map(torch.from_numpy, arrays))
        return tuple(output.numpy() for output in outputs)

    return Exported(*given, OnnxFunctions, ONNX_IMPORTS, "ONNX Runtime", evaluate)


def _in_pt2(program: Any) -> bytes:
    """The archive of a program; its constants are copied, as parts of larger tensors are saved wrongly."""
    for name, constant in program.constants.items():
        if isinstance(constant, Tensor):
            program.constants[name] = constant.clone()
    stream = io.BytesIO()
    torch.export.save(program, stream)
    return stream.getvalue()


def _in_onnx(program: Any) -> bytes:
    converted = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False)
    assert converted is not None
    return converted.model_proto.SerializeToString()


def _require_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise BackendError(
            "export to onnx",
            expected="the packages onnxscript and onnxruntime, which write it and compare it with the run",
            found=str(error),
            remedy="pip install 'sesamo-dsl[onnx]'",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the remarks of PyTorch on its own tracing; what fails is an error all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
