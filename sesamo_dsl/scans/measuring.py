"""The figures of one point of a scan, measured on samples of exp(−S)/Z at its couplings.

All are functions of means over the samples: derivatives of log Z by the couplings, moments of an order
parameter, the declared observables. For each neighbour on the way, the same samples also give the
derivatives of log Z along the way, and, reweighted to the neighbour's couplings, what is measured there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from ..checks import calling, shown
from ..errors import OptionError
from ..estimates.coverage import NOT_ASKED
from ..estimates.estimate import Estimate
from ..estimates.log_z_derivatives import action_derivatives
from ..estimates.pareto import harmful_tail_index
from ..estimates.samples import Samples
from ..estimates.weighted import all_observables, observable_values
from ..ir.coupling_derivatives import CouplingDerivatives
from ..language.theory import Theory
from ..values.couplings import Couplings, numbers_only
from .point import ScanPoint, Side, of_neighbour

_SHIFT = 0.02
"""Shift of the couplings at which third and fourth derivatives are taken, in standard deviations of ∂S/∂t."""
_TAKEN = ("log_z", "action", "specific_heat", "susceptibility", "binder", "ess", "coverage", "point")
"""Names of figures and columns of every theory."""
DERIVATIVES = ("d1", "d2", "d3", "d4")
"""Derivatives of log Z along the way to a neighbour, by t from 0 here to 1 there."""

ActionDerivatives = tuple[CouplingDerivatives, np.ndarray, np.ndarray]
"""What :func:`.action_derivatives` gives: names, ∂S/∂θ, (n, couplings), and ∂²S/∂θ∂η, (n, pairs)."""
OrderParameter = Callable[[np.ndarray], np.ndarray]
"""Configurations (n, components, *lattice) → (n,) or (n, k): an order parameter of one or k components."""


@dataclass(frozen=True, eq=False)
class Order:
    """The order parameter m of a scan.

    Attributes
    ----------
    function
        m of configurations; None if it is an observable, or if there is none.
    observable
        Name of a declared observable that is m.
    missing
        The reason in words why there is no order parameter; empty if there is one.
    name
        Name of what was given, by which scans are told apart.
    """

    function: OrderParameter | None = None
    observable: str | None = None
    missing: str = ""
    name: str = "mean of the field"

    @classmethod
    def of(cls, given: Any, theory: Theory) -> Order:
        """What the user gave: the name of an observable, a function of configurations, or None.

        None means the mean of the field over the sites if the theory has one real field. OptionError for what
        is neither, and for a function without finite numbers for each configuration.
        """
        names, shape, fields = tuple(theory.observables), theory.configuration_shape, len(theory.fields)
        return cls.among(names, shape, fields, given, angles=bool(theory.angles))

    @classmethod
    def among(
        cls,
        observables: Sequence[str],
        configuration_shape: tuple[int, ...],
        fields: int,
        given: Any,
        *,
        angles: bool,
    ) -> Order:
        """As :meth:`of`, for a theory with these observables and so many fields, 0 if that is not known."""
        subject = "order_parameter of a scan"
        if given is None:
            if not angles and (fields == 1 or configuration_shape[0] == 1):
                return cls(_mean_field)
            many = f"the theory has {fields} fields" if fields else "how many fields it has is not recorded"
            what = "the theory has angles" if angles else many
            return cls(missing=f"{what}, and no order_parameter was given", name="none")
        if isinstance(given, str):
            if given not in observables:
                known = ", ".join(observables) or "no observable: the theory has none"
                raise OptionError(
                    subject,
                    expected=f"one of {known}, or a function of configurations",
                    found=shown(given),
                    remedy="declare it in Theory(observables={…})",
                )
            return cls(observable=given, name=given)
        expected = "a function of configurations, (n, components, *lattice), to (n,) or (n, k) finite numbers"
        remedy = "write for instance order_parameter=lambda x: x[:, 0].mean(axis=(1, 2))"
        tried = np.random.default_rng(0).normal(size=(3, *configuration_shape))
        if not callable(given):
            raise OptionError(subject, expected=expected, found=shown(given), remedy=remedy)
        with calling(subject, expected, remedy):
            found = np.asarray(given(tried))
        numbers = found.dtype.kind in "biuf" and found.shape[:1] == (3,) and found.ndim in (1, 2)
        if not numbers or not found.size or not np.isfinite(found).all():
            raise OptionError(
                subject, expected=expected, found=f"{found.dtype} of shape {found.shape}", remedy=remedy
            )
        return cls(cast(OrderParameter, given), name=getattr(given, "__name__", type(given).__name__))

    @property
    def notes(self) -> tuple[str, ...]:
        """What readers of a scan must know of the order parameter, in words."""
        return (f"there is no order parameter: {self.missing}",) if self.missing else ()

    def values(self, samples: Samples) -> np.ndarray | None:
        """m at the samples, (n, k); None if there is no order parameter."""
        if self.function is not None:
            return np.asarray(self.function(samples.x), dtype=np.float64).reshape(len(samples), -1)
        if self.observable is None:
            return None
        return observable_values(samples.program, samples.parameters, samples.x, self.observable)[:, None]


def _mean_field(x: np.ndarray) -> np.ndarray:
    return x.reshape(*x.shape[:2], -1).mean(axis=2, dtype=np.float64)


def reweighted(samples: Samples, parameters: Couplings) -> Samples:
    """The same samples with weights of other couplings, log w = −S_θ'(x) − log q(x)."""
    action = observable_values(samples.program, parameters, samples.x, "action")
    walled = np.isposinf(action)
    return replace(
        samples,
        parameters=parameters,
        action=action,
        leaked=(samples.leaked & ~np.isposinf(samples.action)) | walled,
        exact=None,
        outside=None,
        search=None,
    )


def measured(
    samples: Samples,
    names: tuple[str, ...],
    order: Order,
    neighbours: Mapping[Side, Couplings],
    **told: Any,
) -> ScanPoint:
    """The figures of a point.

    Parameters
    ----------
    samples
        Samples at the couplings of the point.
    names
        The couplings that change in the scan.
    order
        The order parameter.
    neighbours
        All couplings of the points before and after it.
    told
        What else is known of the point: steps, seconds, start and directory.
    """
    own = replace(samples, action=_exactly(samples))
    moments = order.values(samples)
    here = action_derivatives(own.program, own.parameters, own.x)
    found = figures(own, names, moments, here)
    reach: dict[str, float] = {}
    for side, there in neighbours.items():
        for name, estimate in _along(own, there, here).items():
            found[of_neighbour(side, name)] = estimate
        moved = reweighted(own, there)
        heavy = harmful_tail_index(moved.log_weights) is not None
        reach[side] = 0.0 if heavy or not math.isfinite(moved.ess) else moved.ess
        found |= {of_neighbour(side, name): mean for name, mean in _means(moved, moments).items()}
    # log q of a flow is rounded alike at many samples, which the scatter of the weights does not show
    of_log_q = float(np.finfo(samples.log_q.dtype).eps) * max(1.0, float(np.abs(samples.log_q).mean()))
    rounding = [of_log_q if name.rpartition(":")[2] == "log_z" else 0.0 for name in found]
    couplings = numbers_only(samples.parameters)
    unknown = samples.unchecked not in ("", NOT_ASKED)
    return ScanPoint(
        {name: couplings[name] for name in names},
        tuple(found),
        np.array([estimate.value for estimate in found.values()]),
        ScanPoint.compressed(list(found.values()), rounding),
        samples.ess,
        len(samples),
        coverage=samples.coverage.status if samples.coverage else "unknown" if unknown else "",
        reach=reach,
        warnings=samples.warnings,
        **told,
    )


def _exactly(samples: Samples) -> np.ndarray:
    """S at the samples in float64, as at other couplings."""
    if samples.action.dtype == np.float64:
        return samples.action
    return observable_values(samples.program, samples.parameters, samples.x, "action")


def figures(
    samples: Samples, names: tuple[str, ...], moments: np.ndarray | None, here: ActionDerivatives
) -> dict[str, Estimate]:
    """The figures of samples by name; ``moments`` are values of the order parameter, (n, k).

    ∂ log Z/∂θ is ``d_log_z[theta]``, ∂² log Z/∂θ∂η is ``d2_log_z[theta,eta]``, for each coupling and for
    pairs of couplings that change. The specific heat is (⟨S²⟩ − ⟨S⟩²)/V, that of β²(⟨E²⟩ − ⟨E⟩²)/V if
    S = βE. Of the order parameter m with k components there are ⟨|m|⟩, ⟨m²⟩, ⟨m⁴⟩, the susceptibility
    V(⟨m²⟩ − ⟨|m|⟩²) and the Binder cumulant 1 − k/(k + 2) ⟨m⁴⟩/⟨m²⟩², which is 0 for a Gaussian and
    1 − ⟨m⁴⟩/(3⟨m²⟩²) for k = 1 (K. Binder, Z. Phys. B 43 (1981) 119). ``var[O]`` is ⟨O²⟩ − ⟨O⟩².
    """
    volume = math.prod(samples.program.shape)
    means = _means(samples, moments)
    found = {name: means[name] for name in ("log_z", "action")} | _derivatives(samples, names, here)
    found["specific_heat"] = _variance(samples, samples.action, 1 / volume)
    if moments is not None:
        square, k = (moments**2).sum(axis=1), moments.shape[1]
        size, part = np.sqrt(square), k / (k + 2)
        found["|m|"], found["m^2"] = samples.expect(size), means["m^2"]
        found["m^4"] = samples.expect(square**2)
        found["susceptibility"] = _variance(samples, size, float(volume))
        if found["m^2"].value > 0:
            found["binder"] = samples.derived(lambda m4, m2: 1 - part * m4 / m2**2, square**2, square)
    found |= means
    for name, values in all_observables(samples.program, samples.parameters, samples.x).items():
        found[f"var[{name}]"] = _variance(samples, values, 1.0)
    for name in samples.declared:
        found[_column(name, samples)] = samples.derived(name)
    return found


def _means(samples: Samples, moments: np.ndarray | None) -> dict[str, Estimate]:
    """log Z and means of samples, which are compared with those of a neighbour."""
    found = {"log_z": samples.log_z, "action": samples.expect(samples.action)}
    if moments is not None:
        found["m^2"] = samples.expect((moments**2).sum(axis=1))
    for name, values in all_observables(samples.program, samples.parameters, samples.x).items():
        found[_column(name, samples)] = samples.expect(values)
    return found


def _column(name: str, samples: Samples) -> str:
    """The name that an observable or derived quantity of the user has among the figures.

    Names that are taken, by another figure, a coupling or the error of a figure, get a prefix.
    """
    taken = name in _TAKEN or name in samples.parameters or name.endswith("_error")
    return f"observable_{name}" if taken else name


def _variance(samples: Samples, values: np.ndarray, factor: float) -> Estimate:
    kept = values[(samples.weights > 0) & np.isfinite(values)]
    centred = values - (kept.mean() if len(kept) else 0.0)  # a variance does not change
    return samples.derived(lambda square, mean: factor * (square - mean**2), centred**2, centred)


def _derivatives(samples: Samples, names: tuple[str, ...], here: ActionDerivatives) -> dict[str, Estimate]:
    known, slopes, curvatures = here
    found = {
        f"d_log_z[{name}]": samples.derived(lambda mean: -mean, slopes[:, k])
        for k, name in enumerate(known.names)
    }
    for k, (one, other) in enumerate(known.pairs):
        if one == other or (one in names and other in names):
            a, b = (slopes[:, known.names.index(name)] for name in (one, other))
            found[f"d2_log_z[{one},{other}]"] = _second(samples, a, b, curvatures[:, k])
    return found


def _second(samples: Samples, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Estimate:
    """⟨ab⟩ − ⟨a⟩⟨b⟩ − ⟨c⟩."""
    a, b = (values - _middle(values) for values in (a, b))
    return samples.derived(lambda ab, a, b, c: ab - a * b - c, a * b, a, b, c)


def _middle(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0


def _along(samples: Samples, there: Couplings, here: ActionDerivatives) -> dict[str, Estimate]:
    """Derivatives of log Z by t on the way θ + t (θ' − θ) to a neighbour, at t = 0; none if S has none.

    The first two are those of :mod:`sesamo_dsl.estimates.log_z_derivatives`. The next two are differences of
    the second one at t = ε and 2ε, from the same samples with the weights of these couplings, where their
    fluctuations are common to all and drop out.
    """
    begin = numbers_only(samples.parameters)
    way = {name: value - begin[name] for name, value in numbers_only(there).items() if value != begin[name]}
    if any(name not in here[0].names for name in way):
        return {}

    def at(t: float) -> tuple[Estimate, Estimate, float]:
        moved, derivatives = samples, here
        if t:
            values = {**samples.parameters, **{name: begin[name] + t * step for name, step in way.items()}}
            moved = reweighted(samples, values)
            derivatives = action_derivatives(samples.program, values, samples.x)
        known, slopes, curvatures = derivatives
        steps = np.array([way.get(name, 0.0) for name in known.names])
        pairs = [(known.names.index(one), known.names.index(other)) for one, other in known.pairs]
        twice = np.array([steps[i] * steps[j] * (1 if i == j else 2) for i, j in pairs])
        slope, curvature = slopes @ steps, curvatures @ twice
        first = moved.derived(lambda mean: -mean, slope)
        second = _second(moved, slope, slope, curvature)
        return first, second, math.sqrt(max(_variance(moved, slope, 1.0).value, 0.0))

    first, second, width = at(0.0)
    shift = _SHIFT / max(width, 1.0)
    near, far = at(shift)[1], at(2 * shift)[1]
    third = (4 * near - 3 * second - far) / (2 * shift)
    fourth = (second - 2 * near + far) / shift**2
    return dict(zip(DERIVATIVES, (first, second, third, fourth), strict=True))
