"""The architecture of a coupling flow, and checks of its options.

A flow maps standard normal noise z to a configuration x, both of shape (batch, components, *shape):

    z ──filter──▶ u ──zero-mode layer──▶ u ──coupling layers──▶ u' ──tail──▶ u' ──mean + scale·u'──▶ x

The tail layer is present only if the base has a tail. The entries (component, site) are split into two
classes by the parity of component + Σ coordinates: a checkerboard for a scalar field, a channel mask for a
point with several components, and otherwise a checkerboard that is staggered between components, so that the
network of an entry sees components of the other class at its own site. Layer i freezes the class i mod 2 and
transforms the other class entry by entry. The parameters of the transform come from a small network of the
frozen entries around each site and of their lattice means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from .. import checks
from ..errors import OptionError

Transform = Literal["affine", "spline"]


@dataclass(frozen=True, kw_only=True)
class FlowSpec:
    """Architecture of a coupling flow.

    Parameters
    ----------
    layers
        Number of coupling layers, at least 1.
    hidden
        Widths of the hidden layers of each conditioner network; `()` makes the conditioner linear.
    kernel
        Odd extent of the window of frozen neighbours that a conditioner sees in every direction.
    transform
        `"affine"`, y = x exp(s) + t, or `"spline"`, a monotone rational-quadratic spline.
    bins
        Number of spline bins.
    bound
        The spline acts on [−bound, bound], in standard deviations of the base, and is the identity outside.
    max_log_scale
        Bound on |s| in the affine transform, and on |log derivative| and the logits of bin sizes of a spline.
    zero_mode
        True for a layer that transforms the means over the lattice by a spline and scales the other modes
        depending on the means (:mod:`sesamo_dsl.flows.zero_mode`); a point has no such layer.

    Raises
    ------
    OptionError
        If an argument is out of range.
    """

    layers: int
    hidden: tuple[int, ...]
    kernel: int = 3
    transform: Transform = "affine"
    bins: int = 8
    bound: float = 6.0
    max_log_scale: float = 3.0
    zero_mode: bool = True

    def __post_init__(self) -> None:
        remedy, transform = "see FlowSpec", cast(object, self.transform)  # from a user, unchecked
        known = isinstance(transform, str) and transform in ("affine", "spline")
        _option(known, "transform", "'affine' or 'spline'", self.transform)
        plain: dict[str, Any] = {"hidden": checked_widths(self.hidden)}
        for name, least, most in (("layers", 1, 10_000), ("kernel", 1, 999), ("bins", 2, 10_000)):
            value = getattr(self, name)
            _option(is_count(value, least), name, f"an integer >= {least}", value)
            plain[name] = checks.integer(value, f"flow option {name}", most=most, remedy=remedy)
        _option(plain["kernel"] % 2 == 1, "kernel", "an odd integer >= 1", self.kernel)
        plain["zero_mode"] = checks.flag(self.zero_mode, "flow option zero_mode")
        for name in ("bound", "max_log_scale"):
            plain[name] = checks.real(getattr(self, name), f"flow option {name}", remedy=remedy)
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def default(cls, components: int, shape: tuple[int, ...]) -> FlowSpec:
        """The default architecture for fields of some components on a lattice; volume 1 is a point."""
        check_geometry(components, shape)
        if math.prod(shape) > 1:
            return cls(layers=8, hidden=(32, 32), kernel=5 if len(shape) <= 2 else 3)
        # an affine map keeps the distribution of a single entry Gaussian, a spline does not
        return cls(layers=4 if components > 1 else 2, hidden=(64, 64), kernel=1, transform="spline")

    @classmethod
    def of_valleys(cls, components: int, shape: tuple[int, ...]) -> FlowSpec:
        """Splines, for fields with several valleys at every site: an affine map gives an entry only one."""
        usual = cls.default(components, shape)
        return usual if usual.transform == "spline" else replace(usual, layers=4, transform="spline")

    @property
    def parameters_per_entry(self) -> int:
        """Number of parameters of the transform of one entry."""
        return 2 if self.transform == "affine" else 3 * self.bins - 1


def check_geometry(components: int, shape: tuple[int, ...]) -> None:
    """Raise OptionError unless there is at least one component and every extent is at least 1."""
    _option(is_count(components, 1), "components", "an integer >= 1", components)
    _option(all(is_count(extent, 1) for extent in shape), "shape", "extents >= 1", shape)


def checked_widths(hidden: object) -> tuple[int, ...]:
    """Widths of hidden layers as a tuple; OptionError unless they are integers ≥ 1."""
    given = cast(Sequence[object], hidden) if isinstance(hidden, tuple | list) else (None,)
    widths = [checks.as_integer(width) for width in given]
    known = tuple(width for width in widths if width is not None and width >= 1)
    _option(len(known) == len(widths), "hidden", "a tuple of widths >= 1", cast(object, hidden))
    return known


def is_count(value: object, least: int) -> bool:
    """True if the value is an integer ≥ ``least``."""
    found = checks.as_integer(value)
    return found is not None and found >= least


def _option(valid: bool, name: str, expected: str, found: object) -> None:
    if not valid:
        remedy = "see FlowSpec"
        raise OptionError(f"flow option {name}", expected=expected, found=checks.shown(found), remedy=remedy)
