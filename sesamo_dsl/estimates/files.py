"""Configurations from any source, read from .npz files of NumPy and from HDF5 files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ConfigurationError
from ..machine.files import ARCHIVE_DAMAGES
from .samples_file import DAMAGES, ENDINGS, read_plain


def read_configurations(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """Configurations x, (n, *shape), and log_weights, (n,) or None, from a file; executes no code.

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
        read = read_plain if path.suffix.lower() in ENDINGS else _read_npz
        names, x, log_weights = read(path)
    except (*DAMAGES, *ARCHIVE_DAMAGES) as error:
        raise ConfigurationError(
            f"configurations in {path}",
            expected="an .npz file of NumPy, or an .h5 file, with an array x",
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
    return x.reshape(-1, *shape), None if log_weights is None else log_weights.reshape(-1)


def _read_npz(path: Path) -> tuple[list[str], np.ndarray | None, np.ndarray | None]:
    with np.load(path, allow_pickle=False) as stored:
        names = list(stored.files)
        x, log_weights = (stored[name] if name in names else None for name in ("x", "log_weights"))
    return names, x, log_weights
