"""The file of a run with the configurations of the target that its model learns from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from .. import checks
from ..compiled_program import CompiledProgram, check_configurations
from ..hamiltonian.walkers import WalkerKernel
from ..training.reference import Reference
from ..values.couplings import Couplings
from .store import sha256, state_of

_FIXED, _MOVING = "reference.safetensors", "walkers"


def reference_file(reference: Reference) -> dict[str, bytes]:
    """The file by its name; that of walkers changes with every move, so that a checkpoint is complete."""
    if reference.kernel is None:
        return {_FIXED: save_tensors({"x": reference.x})}
    values = {"x": reference.x, "rounds": np.array(reference.rounds)}
    if reference.kernel.step_size is not None:
        values["step_size"] = np.array(reference.kernel.step_size)
    data = save_tensors(values)
    return {f"{_MOVING}-{reference.rounds}-{sha256(data)[:12]}.safetensors": data}


def read_reference(
    files: Mapping[str, bytes], compiled: CompiledProgram, values: Couplings
) -> Reference | None:
    """Inverse of :func:`reference_file`; None without such a file, ValueError for wrong contents."""
    if _FIXED in files:
        return Reference(compiled.check_configurations(load_tensors(files[_FIXED])["x"]))
    if not any(name.startswith(_MOVING) for name in files):
        return None
    found = load_tensors(state_of(files, _MOVING))
    if not set(found) <= {"x", "rounds", "step_size"}:
        raise ValueError(f"walkers with {', '.join(sorted(found))}")
    rounds = checks.integer(found["rounds"].item(), "moves of the walkers", least=0)
    step = found.get("step_size")
    step_size = None if step is None else checks.real(step.item(), "step size of the walkers")
    if (step_size is None) != (rounds == 0):
        raise ValueError(f"walkers that were moved {rounds} times, with step size {step_size}")
    x = check_configurations(
        compiled.program.theory, compiled.program.configuration_shape, found["x"], "float64"
    )
    return Reference(x, WalkerKernel(compiled, values, step_size), rounds)
