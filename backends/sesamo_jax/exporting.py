"""Writes the functions of a model by ``jax.export``, as serialized StableHLO."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import Array

from sesamo_dsl.backend import Exported
from sesamo_dsl.sampler.functions import ModelFunction, model_functions, not_exportable, recipe

from .loader import IMPORTS, JaxFunctions


def exported(model: Any, lengths: Sequence[int], emitted: str) -> Exported:
    """The functions of a model for the CPU; weights are an argument, in a file of their own.

    Parameters
    ----------
    lengths
        Lengths of batches that the model compiles for, the longest of which it samples with.
    emitted
        Path of the emitted module.
    """
    shapes = {name: jax.ShapeDtypeStruct(w.shape, w.dtype) for name, w in model.weights.items()}
    functions = model_functions(model, lengths[0], jax.eval_shape)
    (batch,) = jax.export.symbolic_shape("batch")
    files = {}
    for function in functions:
        try:
            files[f"{function.name}.stablehlo"] = _serialized(function, shapes, batch)
        except Exception as symbolic:
            # a few operations, such as determinants in parts of the batch, need a number of configurations
            try:
                files[f"{function.name}.stablehlo"] = _serialized(function, shapes, lengths[-1])
            except Exception as error:
                raise not_exportable(function.name, "jax", error, emitted, "export it to torch") from symbolic
            lengths = lengths[-1:]
    files["noise.stablehlo"] = _noise(model, lengths[-1])
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{name: np.asarray(w) for name, w in model.weights.items()})
    files["weights.npz"] = stream.getvalue()
    names = tuple(function.name for function in functions)
    return Exported(files, names, tuple(lengths), recipe(model), JaxFunctions, IMPORTS, "JAX")


def _serialized(function: ModelFunction, weights: Any, batch: Any) -> bytes:
    wide = any(np.dtype(a.dtype) == np.float64 for a in function.example)
    with jax.enable_x64(True) if wide else nullcontext():
        arguments = [jax.ShapeDtypeStruct((batch, *np.shape(a)[1:]), a.dtype) for a in function.example]
        traced = jax.export.export(jax.jit(function.function), platforms=["cpu"])(weights, *arguments)
        return bytes(traced.serialize())


def _noise(model: Any, count: int) -> bytes:
    """The random numbers of a chunk from its seed, as the model draws them."""

    def noise(seed: Array) -> tuple[Array, Array, Array]:
        key = jax.random.key(seed)
        z, uniform = model._drawn(key, count)
        choices = model._drawn(jax.random.fold_in(key, 7), count)[1].reshape(count, -1)[:, 0]
        return z, uniform, choices

    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    return bytes(jax.export.export(jax.jit(noise), platforms=["cpu"])(seed).serialize())
