"""The declaration of a run as data: Program, facts and base, from which its model is built again.

``declaration.json`` has names and numbers, ``declaration.safetensors`` has the arrays. Reading them executes
no code and evaluates no expression of a theory file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from ..compiled_program import CompiledProgram
from ..flows.base import GaussianBase, MixtureBase, Tail, TailShape
from ..flows.range_base import RangeBase
from ..ir.facts import StoredFacts
from ..ir.program import SITE_VALUES, Program
from ..ir.stored import program_as_data, program_from_data
from ..ir.text import program_text
from ..machine.files import parse_json
from ..values.couplings import Couplings

_NEEDED = {"action", "action_and_gradient", "canonicalize", "modulate"}  # functions that every model calls
VALUES, ARRAYS = "declaration.json", "declaration.safetensors"


@dataclass(frozen=True, eq=False)
class Declaration:
    """The Program, the facts and the base from which a model is built.

    Attributes
    ----------
    program
        The lowered theory.
    facts
        The results of the analysis that a model needs, at the couplings of the run.
    base
        The Gaussian base of the flow.
    """

    program: Program
    facts: StoredFacts
    base: GaussianBase

    @classmethod
    def of(cls, compiled: CompiledProgram, parameters: Couplings, base: GaussianBase) -> Declaration:
        """The declaration of a compiled theory at given couplings."""
        return cls(compiled.program, StoredFacts.of(compiled.facts, parameters), base)

    def base_arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the base by name."""
        return _base_as_data(self.base)

    def files(self) -> dict[str, bytes]:
        """The contents of the two files by name; inverse of :meth:`read`."""
        values, arrays = self.facts.as_data()
        named = _below("constant.", self.program.constants) | _below("facts.", arrays)
        named |= _below("base.", self.base_arrays())
        text = json.dumps(
            {"program": program_as_data(self.program), "facts": values}, ensure_ascii=False, allow_nan=False
        )
        stored = {name: np.array(array, order="C") for name, array in named.items()}
        return {VALUES: text.encode("utf-8"), ARRAYS: save_tensors(stored)}

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Declaration:
        """The declaration in the files of a run; inverse of :meth:`files`.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError
            If the files are damaged or do not hold a declaration.
        """
        values, arrays = parse_json(files[VALUES]), load_tensors(files[ARRAYS])
        program = program_from_data(values["program"], _of("constant.", arrays))
        lacking = _NEEDED - set(program.functions)
        if lacking:
            raise ValueError(f"a program without {', '.join(sorted(lacking))}")
        facts = StoredFacts.from_data(values["facts"], _of("facts.", arrays), program.sectors.order)
        return cls(program, facts, _base_from_data(program, _of("base.", arrays)))


def _base_as_data(base: GaussianBase) -> dict[str, np.ndarray]:
    named = {
        "mean": base.mean,
        "filter.real": base.filter.real,
        "filter.imaginary": base.filter.imag,
        "log_det": np.array(base.log_det),
    }
    if base.tail is not None:
        named[f"tail.{base.tail.shape}"] = np.array(base.tail.freedom)
    if isinstance(base, RangeBase):
        named |= {f"axes.{k}": axis for k, axis in enumerate(base.axes)}
        logs = base.log_filters
        named |= {"means": base.means, "logs.real": logs.real, "logs.imaginary": logs.imag}
    if isinstance(base, MixtureBase):
        named["log_weights"] = base.log_weights
        for k, part in enumerate(base.parts):
            named |= _below(f"parts.{k}.", _base_as_data(part))
    return named


def _base_from_data(program: Program, base: Mapping[str, np.ndarray]) -> GaussianBase:
    """Inverse of :func:`_base_as_data`; ValueError or KeyError if the arrays are no base of the program."""
    shape = (*program.shape, len(program.components), len(program.components))
    if base["filter.real"].shape != shape or base["filter.imaginary"].shape != shape:
        raise ValueError(f"a base of shape {base['filter.real'].shape} on a lattice {program.shape}")
    if base["mean"].shape != shape[-1:] or base["log_det"].shape != ():
        raise ValueError(f"a base with a mean of shape {base['mean'].shape}")
    if not all(np.isfinite(array).all() for array in base.values()):
        raise ValueError("a base that is not finite")
    tails = [
        Tail(kind, float(base[name])) for kind in get_args(TailShape) if (name := f"tail.{kind}") in base
    ]
    if len(tails) > 1 or any(tail.freedom <= 0 for tail in tails):
        raise ValueError(f"a base with the tails {tails}")
    whole = GaussianBase(
        base["mean"],
        base["filter.real"] + 1j * base["filter.imaginary"],
        float(base["log_det"]),
        program.nodes,
        tails[0] if tails else None,
    )
    if "axes.0" in base:
        return _range_from_data(whole, base)
    if "log_weights" not in base:
        return whole
    log_weights = base["log_weights"]
    if log_weights.ndim != 1 or len(log_weights) < 2:
        raise ValueError(f"a base with weights of shape {log_weights.shape}")
    parts = tuple(_base_from_data(program, _of(f"parts.{k}.", base)) for k in range(len(log_weights)))
    return MixtureBase(**vars(whole), parts=parts, log_weights=log_weights)


def _range_from_data(whole: GaussianBase, base: Mapping[str, np.ndarray]) -> RangeBase:
    axes = tuple(base[f"axes.{k}"] for k in range(sum(name.startswith("axes.") for name in base)))
    counts = tuple(len(axis) for axis in axes)
    if any(axis.ndim != 1 or len(axis) < 2 or not (np.diff(axis) > 0).all() for axis in axes):
        raise ValueError("nodes of a range that do not increase")
    logs = base["logs.real"] + 1j * base["logs.imaginary"]
    if base["means"].shape != (*counts, whole.components) or logs.shape != (*counts, *whole.filter.shape):
        raise ValueError(f"a base with means of shape {base['means'].shape} for {counts} nodes")
    return RangeBase(**vars(whole), axes=axes, means=base["means"], log_filters=logs)


def _below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _of(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def digest(compiled: CompiledProgram) -> str:
    """SHA-256 of the compiled program, the same on every backend, and for a program that was stored."""
    program = compiled.program
    program = replace(program, constants=dict(sorted(program.constants.items())))  # stored ones have no order
    constants = [comparable(name, array) for name, array in program.constants.items()]
    return hashlib.sha256(f"{program_text(program)}\n{constants}".encode()).hexdigest()


def comparable(name: str, array: np.ndarray) -> list[Any]:
    """A constant of a program for comparisons: computed values may differ between machines by rounding."""
    return (array if name.startswith(SITE_VALUES) else np.round(array, 6)).tolist()
