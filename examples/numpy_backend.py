"""A backend in one short file: NumPy source through a Dialect, arrays for the sampler, and no training.

Run it to see it prove itself: ``python examples/numpy_backend.py``. The recipe is docs/backends.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import i0e, i1e, log_softmax, logsumexp, softmax

from sesamo_dsl.backend import Backend, EmittedProgram, Model, no_device
from sesamo_dsl.errors import BackendError
from sesamo_dsl.flows.base import GaussianBase
from sesamo_dsl.flows.weights import check_state
from sesamo_dsl.ir.program import Program
from sesamo_dsl.ir.source import Dialect, module_source
from sesamo_dsl.plan.plan import Plan
from sesamo_dsl.sampler import SamplerModel
from sesamo_dsl.values.couplings import Couplings
from sesamo_dsl.values.precision import Precision

_HELPERS = {
    "_logsumexp": '''def _logsumexp(values):
    """log Σ exp over the first axis."""
    top = values.max(axis=0)
    return top + np.log(np.exp(values - top).sum(axis=0))''',
    "_elementwise": '''def _elementwise(function, values):
    """A function of SciPy, which has none for extended precision."""
    return function(values.astype(float)).astype(values.dtype)''',
    "_affine_stack": '''def _affine_stack(rows, values):
    """rows[k][0] + Σ_j rows[k][j+1] values[j], stacked over k and flattened over the rest."""
    rows = np.asarray(rows, values[0].dtype)
    return rows[:, :1] + rows[:, 1:] @ np.stack(values).reshape(len(values), -1)''',
    "_over_blocks": '''def _over_blocks(values, x, axes):
    """Values (batch, …, blocks) laid out along the lattice of x, with extent 1 off the block axes."""
    shape = [n if mu in axes else 1 for mu, n in enumerate(x.shape[2:])]
    return values.reshape(*values.shape[:-1], *shape)''',
    "_block_mean": '''def _block_mean(x, axes):
    """Mean of every component over the sites of each block, (batch, blocks, components)."""
    rest = tuple(mu + 2 for mu in range(x.ndim - 2) if mu not in axes)
    mean = x.mean(axis=rest) if rest else x
    return np.swapaxes(mean.reshape(*x.shape[:2], math.prod(mean.shape[2:])), 1, 2)''',
    "_block_sum": '''def _block_sum(density, axes):
    """Σ over the sites of each block, (batch, blocks)."""
    rest = tuple(mu + 1 for mu in range(density.ndim - 1) if mu not in axes)
    total = density.sum(axis=rest)
    return total.reshape(len(total), math.prod(total.shape[1:]))''',
    "_act_on_blocks": '''def _act_on_blocks(x, matrices, axes):
    """Each block of x turned by its own matrix, (batch, blocks, components, components)."""
    return (_over_blocks(np.moveaxis(matrices, 1, -1), x, axes) * x[:, None]).sum(axis=2)''',
    "_spread": '''def _spread(x, steps, axes):
    """x plus a constant for every component of each block, (batch, [blocks,] components)."""
    steps = steps[:, None] if steps.ndim == 2 else steps
    return x + _over_blocks(np.swapaxes(steps, 1, 2), x, axes)''',
    "_quantile": '''def _quantile(above, below):
    """v from log Q(v) and log Φ(v), whichever of the two tails it lies in."""
    right = above < -math.log(2)
    left, far = _ndtri_exp(np.where(right, -1, below)), _ndtri_exp(np.where(right, above, -1))
    return np.where(right, -far, left)''',
    "_half_line": '''def _half_line(vector, location, width):
    """R → (0, ∞): N(location, width²) to the same density cut off at 0, Q(v) = Q(a) Q(t)."""
    a, t = -location / width, (vector - location) / width
    above = _log_ndtr(-a) + _log_ndtr(-t)
    below = np.logaddexp(_log_ndtr(a), _log_ndtr(-a) + _log_ndtr(t))
    return np.maximum(location + width * _quantile(above, below), 0).astype(vector.dtype)''',
    "_half_line_inverse": '''def _half_line_inverse(vector, location, width):
    """(0, ∞) → R, the inverse of _half_line."""
    a, v = -location / width, (vector - location) / width
    above = _log_ndtr(-v) - _log_ndtr(-a)
    gap = np.minimum(_log_ndtr(a) - _log_ndtr(v), -np.finfo(v.dtype).tiny)
    below = _log_ndtr(v) + np.log(-np.expm1(gap)) - _log_ndtr(-a)
    return (location + width * _quantile(above, below)).astype(vector.dtype)''',
    "_half_line_log_slope": '''def _half_line_log_slope(vector, location, width):
    """log of the derivative of _half_line."""
    t = (vector - location) / width
    v = (_half_line(vector, location, width) - location) / width
    return _log_ndtr(location / width) + (v - t) * (v + t) / 2''',
    "_direction": '''def _direction(v):
    """v/|v|, the first unit vector where v = 0."""
    length = np.sqrt((v**2).sum(axis=1, keepdims=True))
    first = np.eye(v.shape[1], dtype=v.dtype)[:1]
    return np.where(length > 0, v / np.where(length > 0, length, 1), first)''',
    "_matrix_polynomial": '''def _matrix_polynomial(a, coefficients):
    """Σ_j coefficients[j] A^j per configuration."""
    power, total = np.broadcast_to(np.eye(a.shape[1], dtype=a.dtype), a.shape), np.zeros_like(a)
    for coefficient in coefficients:
        total = total + coefficient[:, None, None] * power
        power = power @ a
    return total''',
}

DIALECT = Dialect(
    framework="NumPy",
    imports="import numpy as np\nfrom scipy import special as _special\n"
    "from scipy.special import log_ndtr as _log_ndtr\nfrom scipy.special import ndtri_exp as _ndtri_exp",
    helpers=_HELPERS,
    templates={
        "component": "{0}[:, {attribute}]",
        "stack": "np.stack([{args}], axis=1)",
        "shift": "np.roll({0}, {attribute}, {axes})",
        "site_constant": "np.broadcast_to({attribute}.astype(x.dtype), x[:, 0].shape)",
        "site_parameter": "np.broadcast_to(np.asarray({attribute}, x.dtype), x[:, 0].shape)",
        "neighbours": "{0} @ {attribute}.astype({0}.dtype)",
        "gather": "{0}[..., {attribute}.astype(int)]",
        "scatter": "{0} @ np.eye({0}.shape[-1], dtype={0}.dtype)[{attribute}.astype(int)]",
        "site_sum": "{0}.sum(axis={axes})",
        "broadcast": "np.zeros_like(x[:, 0]) + {0}",
        "site_mean": "{0}.mean(axis={field_axes})",
        "linear": "{0} @ {attribute}.astype({0}.dtype).T",
        "argmax": "np.argmax({0}, axis=-1)",
        "act": 'np.einsum("nab,nb...->na...", {attribute}.astype({0}.dtype)[{1}], {0})',
        "block_mean": "_block_mean({0}, {attribute})",
        "block_sum": "_block_sum({0}, {attribute})",
        "act_on_blocks": "_act_on_blocks({0}, {attribute[0]}.astype({0}.dtype)[{1}], {attribute[1]})",
        "spread": "_spread({0}, {1} @ {attribute[0]}.astype({0}.dtype).T, {attribute[1]})",
        "half_line": "_half_line({args})",
        "half_line_inverse": "_half_line_inverse({args})",
        "half_line_log_slope": "_half_line_log_slope({args})",
        "difference": "{0} - {1}",
        "total": "{0}.sum(axis=tuple(range(1, {0}.ndim)))",
        "flatten": "{0}.reshape(len({0}), {0}.shape[1] * {0}.shape[2])",
        "where": "np.where({0} != 0, {1}, {2})",
        "logsumexp": "_logsumexp(np.stack(np.broadcast_arrays({args})))",
        "maximum": "np.maximum({0}, {1})",
        "minimum": "np.minimum({0}, {1})",
        "lt": "({0} < {1}).astype(x.dtype)",
        "le": "({0} <= {1}).astype(x.dtype)",
        **{
            name: f"np.{name}({{0}})"
            for name in (
                "exp",
                "log",
                "sin",
                "cos",
                "tan",
                "tanh",
                "sinh",
                "cosh",
                "sqrt",
                "abs",
                "sign",
                "expm1",
                "floor",
            )
        },
        **{name: f"np.arc{name[1:]}({{0}})" for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
        **{
            name: f"_elementwise(_special.{function}, {{0}})"
            for name, function in {
                **{n: n for n in ("erf", "erfc", "digamma", "i0e", "i1e")},
                "lgamma": "gammaln",
            }.items()
        },
        "hold": "{0}",
        "wall": "np.full_like({0}, math.inf)",
        "affine_stack": "_affine_stack({attribute}, [{args}])",
        "stack_logsumexp": "_logsumexp({0}).reshape(x[:, 0].shape)",
        "stack_softmax": "np.exp({0} - {1}.reshape(-1))",
        "stack_dot": "(np.asarray({attribute}, {0}.dtype) @ {0}).reshape(x[:, 0].shape)",
        "entry": "{0}[:, {attribute}]",
        "tail": "{0}[:, 1:]",
        "norm": "np.sqrt(({0} ** 2).sum(axis=1))",
        "filled": "np.full_like({0}, {attribute})",
        "direction": "_direction({0})",
        "combination": 'np.einsum("ni,iab->nab", {0}, {attribute}.astype({0}.dtype))',
        "matrix_polynomial": "_matrix_polynomial({0}, [{rest}])",
        "rotate": 'np.einsum("nab,nb...->na...", {1}, {0})',
        "rotate_back": 'np.einsum("nba,nb...->na...", {1}, {0})',
        "atan2": "np.arctan2({0}, {1})",
    },
    array="np.array({values}, dtype=np.float64).reshape({shape})",
    scalar_operand="np.asarray({0}, x.dtype)",
)


class NumpyArrays:
    """Implements ``sesamo_dsl.sampler.Arrays``."""

    xp = np

    def constant(self, values: np.ndarray, dtype: str) -> np.ndarray:
        """A copy of this type."""
        return np.array(values, np.int64 if dtype == "index" else dtype)

    def cast(self, values: np.ndarray, dtype: str) -> np.ndarray:
        """Another type."""
        return values.astype(dtype)

    def double(self, values: np.ndarray) -> np.ndarray:
        """float64."""
        return values.astype(np.float64)

    def to_numpy(self, values: Any) -> np.ndarray:
        """The same array."""
        return np.asarray(values)

    def dtype_of(self, values: np.ndarray) -> str:
        """Its name."""
        return str(values.dtype)

    def detach(self, tree: Any) -> Any:
        """Nothing is differentiated."""
        return tree

    def zeros(self, shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
        """Zeros of its type."""
        return np.zeros(shape, like.dtype)

    def take(self, values: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Rows."""
        return values[index]

    def affine(self, bias: np.ndarray, weight: np.ndarray, values: np.ndarray) -> np.ndarray:
        """A product and a sum."""
        return weight @ values + bias

    def silu(self, values: np.ndarray) -> np.ndarray:
        """x σ(x), by a tanh that cannot overflow."""
        return values * (0.5 + 0.5 * np.tanh(0.5 * values))

    def softmax(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Along an axis."""
        return softmax(values, axis=axis)

    def log_softmax(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Along an axis."""
        return log_softmax(values, axis=axis)

    def logsumexp(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Along an axis."""
        return np.asarray(logsumexp(values, axis=axis))

    def i0e(self, values: np.ndarray) -> np.ndarray:
        """Bessel function."""
        return i0e(values)

    def i1e(self, values: np.ndarray) -> np.ndarray:
        """Bessel function."""
        return i1e(values)

    def scan(
        self,
        step: Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]],
        carry: Any,
        rows: tuple[Any, ...],
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """A Python loop."""
        outputs = []
        for row in zip(*rows, strict=True):
            carry, output = step(carry, row)
            outputs.append(output)
        return carry, tuple(np.stack(kept) for kept in zip(*outputs, strict=True))

    def repeat(self, count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
        """A Python loop."""
        for i in range(count):
            carry = step(i, carry)
        return carry

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As it is."""
        return function


class NumpyModel(SamplerModel):
    """Implements ``sesamo_dsl.backend.Model`` but for training: the oracle of samplers on other backends."""

    weights: dict[str, np.ndarray]

    def __init__(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> None:
        super().__init__(NumpyArrays(), compiled, parameters, base, plan)
        flow = plan.flow_precision or compiled.precision
        self.weights = {
            name: np.array(values, flow if name.startswith("flow.") else compiled.precision)
            for name, values in self.sampler.initial_state().items()
        }

    def _noise(self, count: int, *seeds: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seeds)
        z = rng.normal(size=(count, *self.sampler.shape))
        uniform = rng.uniform(size=(count, *self.sampler.uniforms))
        return z.astype(self._precision), uniform.astype(self._precision)

    def _flow_uniform(self, count: int, *seeds: int) -> np.ndarray:
        return np.random.default_rng((*seeds, 7)).uniform(size=count).astype(self._precision)

    def _call(self, stage: str, *arguments: Any) -> Any:
        return getattr(self.sampler, stage)(*arguments)

    optimizer: str | None = None

    def use_optimizer(self, optimizer: Any) -> None:
        """Not available: NumPy does not differentiate."""
        if optimizer is not None:
            raise _no("training with an optimizer", "a backend with derivatives")

    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        loss = self.sampler.objective(self.weights, *self._inputs(step, reference))[0]
        return float(loss) + self._constant

    def step(
        self,
        learning_rate: float,
        reference: np.ndarray | None = None,
        forward_weight: float | None = None,
    ) -> Mapping[str, float]:
        """Not available: NumPy does not differentiate."""
        raise _no("training step", "a backend with derivatives")

    def state(self) -> dict[str, np.ndarray]:
        """The weights."""
        return {name: value.copy() for name, value in self.weights.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """The weights of a model on any backend; what else its state holds is left out."""
        own = {name: state[name] for name in self.weights if name in state}
        check_state({name: value.shape for name, value in self.weights.items()}, own)
        self.weights = {name: np.array(own[name], value.dtype) for name, value in self.weights.items()}


class NumpyBackend:
    """Implements ``sesamo_dsl.backend.Backend`` as far as nothing has to be differentiated."""

    name = "numpy"

    def on(self, device: str) -> NumpyBackend:
        """NumPy knows the CPU alone."""
        if device != "cpu":
            raise no_device(self.name, device, "a library for the CPU", ["cpu"])
        return self

    def versions(self) -> dict[str, str]:
        """Version of NumPy."""
        return {"numpy": np.__version__}

    def emit(self, program: Program) -> str:
        """Source of the module for a program."""
        return module_source(program, DIALECT)

    def to_array(self, values: np.ndarray, precision: Precision) -> np.ndarray:
        """The array in this precision; integers stay."""
        values = np.asarray(values)
        return values.astype(precision) if np.issubdtype(values.dtype, np.floating) else values

    def scope(self, precision: Precision) -> AbstractContextManager[None]:
        """NumPy has nothing to switch on."""
        return nullcontext()

    def to_numpy(self, values: Any) -> np.ndarray:
        """The same array."""
        return np.asarray(values)

    def derivative(
        self, function: Callable[..., Any], inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Directional derivative by a sixth-order central difference: NumPy has no automatic one.

        In extended precision, whose 64 bits make it as accurate as an exact one in float64.
        """
        points = [np.asarray(a, np.longdouble) for a in inputs]
        along = [np.asarray(t, np.longdouble) for t in tangents]

        def first(step: np.floating[Any]) -> np.ndarray:
            output = function(*(a + step * t for a, t in zip(points, along, strict=True)))
            return output[0] if isinstance(output, tuple) else output

        h = np.longdouble(2) ** -12
        weights = {1: np.longdouble(3) / 4, 2: -np.longdouble(3) / 20, 3: np.longdouble(1) / 60}
        total = sum(w * (first(k * h) - first(-k * h)) for k, w in weights.items())
        return np.asarray(total / h, dtype=np.float64)

    def arrays(self) -> NumpyArrays:
        """NumPy's own."""
        return NumpyArrays()

    def model(
        self,
        compiled: EmittedProgram,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
    ) -> Model:
        """A model that samples and evaluates log q; it cannot be trained."""
        return NumpyModel(compiled, parameters, base, plan)


def _no(subject: str, expected: str) -> BackendError:
    return BackendError(
        subject,
        expected=expected,
        found="the numpy backend, which only evaluates",
        remedy="choose backend='torch' or backend='jax'",
    )


BACKEND = NumpyBackend()

if TYPE_CHECKING:
    _: Backend = BACKEND

if __name__ == "__main__":
    from rich.console import Console

    from sesamo_dsl.testing import run_backend

    raise SystemExit(0 if run_backend(BACKEND, console=Console()) else 1)
