"""q(x) of a model as a distribution of PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from sesamo_dsl.sampler.distribution import FixedDensity

from .scope import scope


class ModelDistribution(Distribution):
    """The distribution of a model's samples, with the weights that it had.

    ``log_prob`` is differentiable by x. Samples are drawn with PyTorch's generator, ``torch.manual_seed``;
    they carry no gradient, and there is no ``rsample``, because nothing that they depend on is trained.

    Parameters
    ----------
    density
        log q(x) and draws.
    chunk
        Number of samples that are drawn at once.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(
        self,
        density: FixedDensity,
        dtype: torch.dtype,
        device: torch.device,
        chunk: int,
        validate_args: bool = True,  # the default of PyTorch is switched off by some libraries
    ) -> None:
        self._density, self._dtype, self._device, self._chunk = density, dtype, device, chunk
        super().__init__(torch.Size(), torch.Size(density.event_shape), validate_args)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(event_shape={tuple(self.event_shape)}, {self._dtype})"

    @property
    def support(self) -> Any:
        """Real configurations."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Independent samples, (*sample_shape, components, *lattice)."""
        shape = torch.Size(sample_shape)
        count, parts = shape.numel(), []
        with torch.no_grad(), scope(), torch.no_grad():
            for start in range(0, count, self._chunk):
                parts.append(self._drawn(min(self._chunk, count - start)))
            x = torch.cat(parts) if parts else self._noise(torch.randn, 0, self.event_shape)
        return x.reshape(*shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log q of configurations, (…, components, *lattice) → (…)."""
        if self._validate_args:
            self._validate_sample(value)
        leading = value.shape[: value.dim() - len(self.event_shape)]
        if value.shape[len(leading) :] != self.event_shape or value.is_complex():
            event = ", ".join(map(str, self.event_shape))
            raise ValueError(
                f"expected real numbers, (…, {event}), found {tuple(value.shape)}, {value.dtype}"
            )
        recorded = torch.is_grad_enabled()
        with scope(), torch.set_grad_enabled(recorded):
            x = value.to(self._device, self._dtype).reshape(-1, *self.event_shape)
            log_q = self._density.log_prob(x) if len(x) else x.reshape(0)
        return log_q.reshape(leading)

    def _drawn(self, count: int) -> Tensor:
        sampler = self._density.sampler
        z, uniform = (self._noise(f, count, s) for f, s in self._kinds())
        choices = self._noise(torch.rand, count, ()) if sampler.draws_flow else None

        def orient(y: Tensor) -> list[Tensor]:
            if not sampler.orientations.law.dimensions:
                return []
            seed = int(torch.randint(2**62, ()))  # the orientations are drawn by NumPy
            inputs = [a.cpu().numpy() for a in self._density.orbit_inputs(y)]
            drawn = self._density.orientations(seed, count, *inputs)
            return [torch.as_tensor(n, dtype=self._dtype, device=self._device) for n in drawn]

        return self._density.draw(z, uniform, choices, orient)

    def _kinds(self) -> Any:
        return (torch.randn, self._density.sampler.shape), (torch.rand, self._density.sampler.uniforms)

    def _noise(self, draw: Any, count: int, shape: Any) -> Tensor:
        return draw(count, *shape, dtype=self._dtype, device=self._device)
