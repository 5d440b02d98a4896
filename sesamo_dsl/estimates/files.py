"""Configurations of other programs, read from .npz files of NumPy."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ..errors import ConfigurationError


def read_configurations(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """Configurations x, (n, *shape), and log_weights, (n,) or None, from an .npz file; executes no code.

    Parameters
    ----------
    shape
        Shape (components, *lattice) of one configuration; all axes of x before these, such as one for
        chains, are merged into the first axis.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is damaged, or has no array ``x`` of this shape.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = list(stored.files)
            x = stored["x"] if "x" in names else None
            log_weights = stored["log_weights"].reshape(-1) if "log_weights" in names else None
    except (OSError, ValueError, AttributeError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(
            f"configurations in {path}",
            expected="an .npz file of NumPy, with an array x",
            found=f"{type(error).__name__}: {error}",
            remedy="write it with numpy.savez(path, x=…)",
        ) from error
    if x is None or x.ndim <= len(shape) or x.shape[x.ndim - len(shape) :] != shape:
        raise ConfigurationError(
            f"configurations in {path}",
            expected=f"an array x of shape (n, {', '.join(map(str, shape))})",
            found=f"arrays {', '.join(names) or 'none'}" if x is None else f"shape {x.shape}",
            remedy="stack the components of all fields on the axis before those of the lattice",
        )
    return x.reshape(-1, *shape), log_weights
