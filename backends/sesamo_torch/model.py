"""The trainable sampler in PyTorch: flow in the fundamental domain, law on the group, reverse KL."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sesamo_dsl.autoregressive import AutoregressiveSpec
from sesamo_dsl.backend import Draws, chunk_size
from sesamo_dsl.circle import CircleSpec
from sesamo_dsl.compiled import CompiledProgram
from sesamo_dsl.conditional import ConditionalSpec
from sesamo_dsl.couplings import Couplings
from sesamo_dsl.flow_spec import GaussianBase, check_state
from sesamo_dsl.modulation import preimages
from sesamo_dsl.orbits import OrbitLaw, circle, uniform_directions
from sesamo_dsl.training import BETAS, LEAKY, Law, TrainingOptions, jumps, wall_statistics

from .autoregressive import Autoregressive
from .circle import Circle
from .conditional import Conditional
from .flows import Flow
from .laws import draw, log_law, log_orbit_integral
from .mixture import Mixture
from .objectives import above_walls, batch_ess, enumerated, excess, mixed, reinforced, walls


class _Action(torch.autograd.Function):
    """S(x) with the emitted gradient as its derivative, which spares the graph of the action.

    In a wall the gradient leads out of it, and the value is finite: no loss would be a number otherwise.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, emitted: Any, has_walls: bool) -> Tensor:
        action, gradient = emitted(x)
        ctx.save_for_backward(gradient)
        return above_walls(action) if has_walls else action

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return outputs[0].reshape(-1, *(1,) * (gradient.ndim - 1)) * gradient, None, None


class TorchModel:
    """Implements ``sesamo_dsl.backend.Model``."""

    def __init__(
        self,
        compiled: CompiledProgram,
        parameters: Couplings,
        base: GaussianBase,
        options: TrainingOptions,
    ) -> None:
        assert options.flow is not None
        assert options.law is not None
        assert options.strategy is not None
        self._facts, self._options = compiled.facts, options
        self._law: Law = options.law
        self._emitted = compiled.bind(parameters)
        self._constant, self._has_walls = compiled.constant(parameters), compiled.program.has_walls
        self._dtype = getattr(torch, compiled.precision)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._shape = compiled.program.configuration_shape
        self._chunk = chunk_size(self._shape)
        program, facts = compiled.program, compiled.facts
        volume = math.prod(program.shape)
        self._sectors, self._blocks = program.sectors, program.blocks
        matrices, self._elements = program.constants["MATRICES"], None
        if self._blocks and self._sectors.joint:  # one matrix per block for every sector
            matrices = matrices[self._sectors.elements]
            self._elements = torch.as_tensor(self._sectors.elements, device=self._device)
        self._matrices = self._tensor(matrices)
        self._wall = None
        if options.strategy == "chart" and "chart" in self._emitted:
            self._wall = tuple(self._tensor(values) for values in wall_statistics(program, base))
        self._preimages = self._tensor(preimages(program, options.strategy))
        # a chain needs a uniform for every block, and one to turn rows of blocks
        chain = options.law == "conditional" and facts.chained
        self._uniforms = ((self._sectors.blocks or 1) + 1,) if chain else self._sectors.law_shape
        self._plain = options.strategy == "none"  # a flow on the whole space: no domain, no slices, no law
        self._jumps = jumps(options, facts, self._sectors.count)
        self._orbit = OrbitLaw.of(facts, volume, parameters, options.law == "heat_bath")
        if self._plain:
            self._orbit = OrbitLaw("none", (), False)
        flow_dtype = getattr(torch, options.flow_precision or compiled.precision)
        if options.flows > 1:
            flow = Mixture(options.flow, base, options.flows, dtype=flow_dtype, seed=options.seed)
        else:
            flow = Flow(options.flow, base, dtype=flow_dtype, seed=options.seed)
        self._flow = flow.to(self._device)
        # a learned law starts from the heat bath at the centre of the base
        centre = self._tensor(
            np.broadcast_to(base.mean.reshape(-1, *(1,) * len(base.shape)), self._shape)[None].copy()
        )
        self._logits = (-self._breaking(centre)[:, 0]).detach().requires_grad_()
        self._named = {f"flow.{n}": p for n, p in self._flow.named_parameters()} | {
            "law.logits": self._logits
        }
        self._conditional: Conditional | Autoregressive | None = None
        if options.law == "conditional":
            arguments = program, facts, base, options.strategy, parameters
            if facts.chained:
                chain = AutoregressiveSpec.of(*arguments)
                network = Autoregressive(chain, dtype=self._dtype, seed=options.seed)
            else:
                spec = ConditionalSpec.of(*arguments)
                network = Conditional(spec, dtype=self._dtype, seed=options.seed)
            self._conditional = network.to(self._device)
            self._named |= {f"law.{n}": p for n, p in self._conditional.named_parameters()}
        turning = CircleSpec.of(options.law, program, facts, base, options.strategy)
        self._circle = None
        if turning is not None:
            self._circle = Circle(turning, dtype=self._dtype, seed=options.seed).to(self._device)
            self._named |= {f"law.circle.{n}": p for n, p in self._circle.named_parameters()}
        self._adam = torch.optim.Adam(self._named.values(), betas=BETAS)  # the rate is set at every step
        self._adam_moments()
        self._step = 0

    # the sampler -------------------------------------------------------------------------------------------

    def _noise(self, count: int, *seeds: int) -> tuple[Tensor, Tensor]:
        """Standard normal z and uniforms, functions of the seeds alone (drawn on the CPU for that reason)."""
        seed = int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, *self._shape, generator=generator, dtype=self._dtype)
        each = (count,) if self._plain else (count, *self._uniforms)
        return z.to(self._device), torch.rand(each, generator=generator, dtype=self._dtype).to(self._device)

    def _uniform_directions(self, count: int, *seeds: int) -> list[Tensor]:
        rng = np.random.default_rng(seeds)
        return [self._tensor(uniform_directions(rng, count, n)) for n in self._orbit.dimensions]

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values).to(self._device, self._dtype)

    def _images(self, y: Tensor, matrices: Tensor) -> Tensor:
        """M y for every matrix, or for one matrix per block, (matrices·batch, components, *lattice)."""
        if matrices.ndim == 3:
            return torch.einsum("gab,nb...->gna...", matrices, y).reshape(-1, *self._shape)
        extents = [n if mu in self._blocks else 1 for mu, n in enumerate(self._shape[1:])]
        per_site = matrices.movedim(1, -1).reshape(len(matrices), 1, *matrices.shape[2:], *extents)
        return (per_site * y[None, :, None]).sum(dim=3).reshape(-1, *self._shape)

    def _folded(self, z: Tensor) -> tuple[Tensor, float]:
        """Noise folded into Ω, and the log of what that adds to its density; one strategy alone does this."""
        if self._options.strategy != "canonicalize":
            return z, 0.0
        return self._emitted["canonicalize"](z)[0], math.log(self._sectors.count)

    def _in_domain(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(y, w, log|dy/dw|): y in the domain, w where the flow's density is to be asked for.

        Folded into Ω, charted onto it, or left alone where the penalty has to do it; slices always point
        forward. Densities are taken at w and not at y, whose distance from a wall may be lost in rounding.
        """
        if self._options.strategy == "fold":
            x = self._emitted["canonicalize"](x)[0]
        w = self._emitted["orient"](x)[0] if self._orbit.dimensions else x
        if self._wall is None:
            return w, w, w.new_zeros(len(w))
        y, log_jacobian = self._emitted["chart"](w, *self._wall)
        return y, w, log_jacobian

    def _coordinates(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(w, log|dy/dw|) of y in the domain."""
        if self._wall is None:
            return y, y.new_zeros(len(y))
        w, log_jacobian = self._emitted["unchart"](y, *self._wall)
        return w, log_jacobian

    def _log_density(self, w: Tensor, log_jacobian: Tensor) -> Tensor:
        """log q̃(y): of the folded flow the sum over all pre-images."""
        if len(self._preimages) == 1:
            return self._flow.inverse(w)[1] - log_jacobian
        log_q = self._flow.inverse(self._images(w, self._preimages))[1]
        return torch.logsumexp(log_q.reshape(len(self._preimages), -1), dim=0) - log_jacobian

    def _on_slices(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(y on the slices, log Δ + log N(a)): what auxiliary coordinates and orbits add to the target."""
        if not self._orbit.dimensions:
            return y, y.new_zeros(len(y))
        on_slice, *auxiliary = self._emitted["on_slice"](y)
        total = self._emitted["log_faddeev_popov"](on_slice)
        for a in auxiliary:
            total = total - 0.5 * (a**2 + math.log(2 * math.pi)).sum(dim=1)
        return on_slice, total

    def _breaking(self, y: Tensor) -> Tensor:
        """S₁(T_u y), (sectors, batch), or for each block its part of it, (elements, batch, blocks)."""
        shape = self._law_shape(y)
        name = "breaking" if self._sectors.joint else "breaking_by_block"
        if name not in self._emitted:
            return y.new_zeros(shape)
        return self._emitted[name](self._images(y, self._matrices)).reshape(shape)

    def _law_shape(self, y: Tensor) -> tuple[int, ...]:
        return len(self._matrices), len(y), *self._sectors.law_shape

    def _log_law(self, y: Tensor) -> Tensor:
        """log p(u|y) of every u, of the shape of S₁(T_u y), which only the heat bath has to know."""
        if isinstance(self._conditional, Conditional):
            return self._conditional(self._images(y, self._matrices))
        breaking = self._breaking(y) if self._law == "heat_bath" else y.new_zeros(self._law_shape(y))
        return log_law(self._law, breaking, self._logits)

    def _log_law_of(self, y: Tensor, choice: Tensor) -> Tensor:
        """log p(u|y) of one u per configuration, (batch,); of a chain up to the heat bath of rows."""
        if isinstance(self._conditional, Autoregressive):
            return self._conditional.log_prob(y, choice, self._logits)
        return _chosen(self._log_law(y), choice)

    def _drawn(self, y: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """One u per configuration from uniforms, and its :meth:`_log_law_of`; before rows are turned."""
        if isinstance(self._conditional, Autoregressive):
            choice = self._conditional.draw(y, uniform, self._logits)
            return choice, self._conditional.log_prob(y, choice, self._logits)
        log_p = self._log_law(y)
        choice = draw(log_p.detach(), uniform)
        return choice, _chosen(log_p, choice)

    def _log_together(self, x: Tensor) -> Tensor:
        """log Σ_h exp(S₁(x) − S₁(T_h x)) over what turns rows of blocks together, (batch,); 0 without."""
        log_p, shared = self._heat_of_rows(x)
        return math.log(shared) - log_p[0]

    def _heat_of_rows(self, x: Tensor) -> tuple[Tensor, int]:
        """(log of the heat bath of the elements that are summed over, how many each stands for)."""
        chain = self._conditional
        if not isinstance(chain, Autoregressive) or chain.spec.together is None:
            return x.new_zeros(1, len(x)), 1
        summed = torch.as_tensor(chain.spec.together.summed, device=x.device)
        if len(summed) == 1:
            return x.new_zeros(1, len(x)), chain.spec.together.shared
        turns = summed.repeat_interleave(len(x), dim=0)
        turned = self._emitted["modulate"](x.repeat(len(summed), *[1] * len(self._shape)), turns)
        energy = self._emitted["breaking"](turned).reshape(len(summed), -1)
        return torch.log_softmax(-energy, dim=0), chain.spec.together.shared

    def _turned_together(self, x: Tensor, choice: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """(u, log p(h|·)) with rows of blocks turned at random, by the last of the uniforms."""
        chain = self._conditional
        if not isinstance(chain, Autoregressive) or chain.spec.together is None:
            return choice, x.new_zeros(len(x))
        log_p, shared = self._heat_of_rows(x)
        log_p = log_p.repeat(shared, 1) - math.log(shared)
        h = draw(log_p, uniform[:, -1])
        return chain.turned(choice, h), log_p.gather(0, h[None])[0]

    def _modulated(self, y: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """(x, u) from what was drawn: u itself, or the number of a sector of all blocks."""
        u = choice if self._elements is None else self._elements[choice]
        return self._emitted["modulate"](y, u), u

    def _choice(self, u: Tensor) -> Tensor:
        """What would have been drawn for u."""
        if self._elements is None:
            return u
        places = self._sectors.order ** torch.arange(u.shape[1] - 1, -1, -1, device=u.device)
        return (u * places).sum(dim=1)

    def _radii(self, y: Tensor) -> tuple[Tensor, ...]:
        radii = self._emitted["radii"](y)
        return radii if isinstance(radii, tuple) else (radii,)

    def _on_circle(self, y: Tensor) -> Tensor:
        """−log Σ_u exp(−S₁(T_u R(n) y)) for n on the nodes of the circle, (nodes, batch)."""
        nodes = torch.as_tensor(circle()).to(y)
        turned = self._emitted["rotate"](
            y.repeat(len(nodes), *[1] * len(self._shape)), nodes.repeat_interleave(len(y), 0)
        )
        return -torch.logsumexp(-self._breaking(turned), dim=0).reshape(len(nodes), -1)

    def _action(self, x: Tensor) -> Tensor:
        return _Action.apply(x, self._emitted["action_and_gradient"], self._has_walls)

    def _energy(
        self, y: Tensor, directions: list[Tensor], uniform: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """E[S(x) + log p(u|·) + log p(n|·)] given y, (batch,), None, and None if it is summed over u.

        −log ∫ exp(−S) over group and orbits if both laws are exact. With REINFORCE: the same for one u, and
        its log p(u|·) at the end. Where the fold makes a part of it jump, that part comes second.
        """
        if self._plain:
            return self._action(y), None, None
        if self._orbit.law == "von_mises":
            (radius,) = self._radii(y)
            kappa = self._orbit.strength * radius
            source_free = self._action(y) - self._emitted["breaking"](y)
            return source_free - log_orbit_integral(kappa, self._orbit.dimensions[0]), None, None
        if self._orbit.law == "tabulated":
            table = self._on_circle(y)
            source_free = self._action(y) - self._emitted["breaking"](y)
            integral = torch.logsumexp(-table, dim=0) + math.log(2 * math.pi / len(table))
            return source_free - integral, None, None
        log_turned = y.new_full((len(y),), -self._orbit.log_area)
        fixed = y.detach()
        if self._orbit.sampled:
            turned, log_slope = self._turned(y, directions, held=self._options.gradient == "path")
            log_turned = log_turned - log_slope
            y = self._emitted["rotate"](y, *turned)
            if self._jumps:
                fixed = self._emitted["rotate"](fixed, *self._turned(fixed, directions, held=False)[0])
        if self._jumps:
            smooth, jump, chosen = self._jumping(y, fixed, uniform)
            return smooth + log_turned, jump, chosen
        if self._options.law_gradient == "enumerate":
            change = enumerated(self._breaking(y), self._log_law(y))
            return self._action(y) + change + log_turned, None, None
        choice, chosen = self._drawn(y, uniform)
        held = chosen
        if self._options.gradient == "path":
            with self._frozen():
                held = self._log_law_of(y, choice)
        x = self._modulated(y, choice)[0]
        return self._action(x) - self._log_together(x) + held + log_turned, None, chosen

    def _jumping(self, y: Tensor, fixed: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The energy as a part that is the same on all images of y and the rest, at y held fixed; log p(u|·).

        The first is that of the heat bath, or S₀ where there is no sum over all u.
        """
        if self._facts.coupled:
            choice, chosen = self._drawn(fixed, uniform)
            x = self._modulated(fixed, choice)[0]
            rest = chosen + self._emitted["breaking"](x) - self._log_together(x)
            return self._action(y) - self._emitted["breaking"](y), self._weightless(rest), chosen
        breaking = self._breaking(y)
        log_heat = log_law("heat_bath", breaking, self._logits)
        smooth = self._action(y) + enumerated(breaking, log_heat)
        log_heat = log_law("heat_bath", self._breaking(fixed), self._logits)
        if self._options.law_gradient == "enumerate":
            return smooth, excess(self._log_law(fixed), log_heat), None
        choice, chosen = self._drawn(fixed, uniform)
        return smooth, self._weightless(chosen - _chosen(log_heat, choice)), chosen

    def _weightless(self, value: Tensor) -> Tensor:
        """Without the derivative by the weights of a density that was drawn from: it averages to zero."""
        return value.detach() if self._options.gradient == "path" else value

    def _turned(self, y: Tensor, uniform: list[Tensor], held: bool) -> tuple[list[Tensor], Tensor]:
        """Orientations from uniform ones, and the log of uniform density over theirs.

        ``held`` takes the density's weights as constants.
        """
        if self._circle is None:
            return uniform, y.new_zeros(len(y))
        n, log_slope = self._circle(y, uniform[0])
        if held:
            with self._frozen():
                log_slope = self._circle.log_slope(y, n)
        return [n], log_slope

    # training ----------------------------------------------------------------------------------------------

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Treat all weights as constants: what is left of the gradient is the path derivative."""
        for parameter in self._named.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._named.values():
                parameter.requires_grad_(True)

    def _reverse(self, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """(f with the gradient of its estimator, log w, how often each counts), (batch,) each."""
        o = self._options
        z, uniform = self._noise(o.batch, o.seed, 1, step)
        z, log_folded = self._folded(z)
        x, log_q = self._flow.forward(z)
        y, w, log_jacobian = self._in_domain(x)
        if o.gradient == "path":
            with self._frozen():
                log_q = self._log_density(w, log_jacobian)
        elif len(self._preimages) > 1:
            log_q = self._log_density(w, log_jacobian)
        else:
            log_q = log_q - log_jacobian
        on_slice, log_measure = self._on_slices(y)
        directions = self._uniform_directions(o.batch, o.seed, 3, step) if self._orbit.sampled else []
        energy, jump, log_p = self._energy(on_slice, directions, uniform)
        value = log_q + log_folded - log_measure + energy
        log_w = -(value if jump is None else value + jump).detach().double()
        if jump is not None:
            score = self._log_density(w.detach(), log_jacobian.detach())
            score = score if log_p is None else score + log_p
            jump = reinforced(jump, score, baseline=not isinstance(self._flow, Mixture))
        elif log_p is not None:
            value = reinforced(value, log_p)
        if o.strategy in LEAKY and self._sectors.count > 1:
            value = value + walls(self._emitted["facets"](y), o.penalty_height, o.penalty_slope)
        rest = 0.0 if jump is None else jump
        if not isinstance(self._flow, Mixture):
            return value + rest, log_w, None
        shares = self._flow.shares(z)
        return shares * value + shares.detach() * rest, log_w, shares.detach().double()

    def _objective(self, step: int, reference: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
        """The objective on the noise of a step, to be differentiated, and the ESS of the batch."""
        value, log_w, shares = self._reverse(step)
        log_q = None
        if reference is not None:
            auxiliary = self._tensor(self._orbit.auxiliary(len(reference), self._options.seed, 6, step))
            log_q = self._log_q(self._tensor(reference), auxiliary)
        weight = self._options.forward_weight or 0.0
        return mixed(value, log_q, weight), batch_ess(log_w, shares)

    @torch.no_grad()
    def loss(self, step: int, reference: np.ndarray | None = None) -> float:
        """See ``Model.loss``."""
        return float(self._objective(step, reference)[0]) + self._constant

    def gradient(self, step: int, reference: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The estimate of the gradient that the noise of a step gives, by the names of the state."""
        parameters = list(self._named.values())
        gradients = torch.autograd.grad(self._objective(step, reference)[0], parameters, allow_unused=True)
        return {
            name: np.zeros(tuple(p.shape)) if g is None else g.cpu().numpy()
            for (name, p), g in zip(self._named.items(), gradients, strict=True)
        }

    def step(self, learning_rate: float, reference: np.ndarray | None = None) -> Mapping[str, float]:
        """See ``Model.step``."""
        loss, ess = self._objective(self._step, reference)
        self._adam.zero_grad(set_to_none=False)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self._named.values()), self._options.clip)
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()
        self._step += 1
        return {
            "loss": float(loss.detach()) + self._constant,
            "ess": float(ess),
            "gradient_norm": float(norm),
        }

    # state -------------------------------------------------------------------------------------------------

    def _adam_moments(self) -> dict[str, Tensor]:
        """Adam's moments by name, created as zeros as its first step would."""
        moments = {}
        for name, parameter in self._named.items():
            state = self._adam.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            moments[f"adam.mean.{name}"] = state["exp_avg"]
            moments[f"adam.square.{name}"] = state["exp_avg_sq"]
        return moments

    def state(self) -> dict[str, np.ndarray]:
        """See ``Model.state``."""
        tensors = {**self._named, **self._adam_moments()}
        arrays = {name: t.detach().cpu().numpy().copy() for name, t in tensors.items()}
        return {**arrays, "step": np.array(self._step)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See ``Model.load_state``."""
        check_state({name: array.shape for name, array in self.state().items()}, state)
        with torch.no_grad():
            for name, tensor in {**self._named, **self._adam_moments()}.items():
                tensor.copy_(torch.as_tensor(np.asarray(state[name])))
        self._step = int(state["step"])
        for parameter in self._named.values():
            self._adam.state[parameter]["step"] = torch.tensor(float(self._step))

    # use ---------------------------------------------------------------------------------------------------

    def _directions(self, y: Tensor, rng: np.random.Generator) -> tuple[list[Tensor], Tensor]:
        """Orientations drawn given y on the slices, and the log of their density."""
        drawn = [self._tensor(n) for n in self._orbit.draw(rng, len(y), *self._orbit_inputs(y))]
        if self._circle is None:
            return drawn, self._log_orbit_law(y, drawn)
        directions, log_slope = self._turned(y, drawn, held=False)
        return directions, -log_slope - self._orbit.log_area

    def _orbit_inputs(self, y: Tensor) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(r of the slice, table of the circle) as far as the law needs them."""
        radius = self._radii(y)[0].double().cpu().numpy() if self._orbit.law == "von_mises" else None
        table = self._on_circle(y).double().cpu().numpy() if self._orbit.law == "tabulated" else None
        return radius, table

    def _log_orbit_law(self, y: Tensor, directions: list[Tensor]) -> Tensor:
        if self._circle is not None:
            return -self._circle.log_slope(y, directions[0]) - self._orbit.log_area
        arrays = [n.double().cpu().numpy() for n in directions]
        return self._tensor(self._orbit.log_prob(arrays, len(y), *self._orbit_inputs(y)))

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Draws:
        """See ``Model.sample``."""
        parts = []
        for chunk, start in enumerate(range(0, count, self._chunk)):
            z, uniform = self._noise(min(self._chunk, count - start), seed, 2, chunk)
            z, log_folded = self._folded(z)
            if isinstance(self._flow, Mixture):  # which flow is drawn has nothing to do with which u is
                drawn = self._flow.draw(z, self._noise(len(z), seed, 7, chunk)[1].reshape(len(z), -1)[:, 0])
                log_drawn = self._flow.inverse(drawn)[1]
            else:
                drawn, log_drawn = self._flow.forward(z)
            full, w, log_jacobian = self._in_domain(drawn)
            y, log_measure = self._on_slices(full)
            log_q = self._log_density(w, log_jacobian)
            shortfall = torch.relu(log_drawn - log_jacobian - log_q)
            log_q = log_q + log_folded - log_measure
            leaked = torch.zeros(len(y), dtype=torch.bool, device=y.device)
            if self._plain:
                empty = y.new_zeros(len(y), 0)
                sector = self._emitted["canonicalize"](y)[1]
                parts.append((y, log_q, self._emitted["action"](y), sector, leaked, empty, shortfall))
                continue
            if self._options.strategy in LEAKY:
                leaked = (self._emitted["facets"](y) > 0).any(dim=1)
            auxiliary = full.new_zeros(len(full), 0)
            if self._orbit.dimensions:
                auxiliary = torch.cat(self._emitted["on_slice"](full)[1:], dim=1)
                directions, log_law_n = self._directions(y, np.random.default_rng([seed, 4, chunk]))
                log_q = log_q + log_law_n
                y = self._emitted["rotate"](y, *directions)
            choice, log_p = self._drawn(y, uniform)
            choice, log_turn = self._turned_together(self._modulated(y, choice)[0], choice, uniform)
            x, u = self._modulated(y, choice)
            log_q = log_q + log_p + log_turn
            parts.append((x, log_q, self._emitted["action"](x), u, leaked, auxiliary, shortfall))
        return Draws(*(torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))).raised(
            self._constant
        )

    def _log_q(self, x: Tensor, auxiliary: Tensor) -> Tensor:
        """log q(x), or log q(x, a) − log N(a), (batch,)."""
        if self._plain:
            return self._flow.inverse(x)[1]
        y, u = self._emitted["canonicalize"](x)
        log_q = self._log_law_of(y, self._choice(u)) - self._log_together(x)
        if self._orbit.dimensions:
            y, *directions = self._emitted["unrotate"](y)
            log_q = log_q + self._log_orbit_law(y, directions)
            y = self._emitted["off_slice"](y, *self._orbit.split(auxiliary))
        log_measure = self._on_slices(y)[1]
        w, log_jacobian = self._coordinates(y)
        log_q = log_q + self._log_density(w, log_jacobian) - log_measure
        if self._options.strategy != "canonicalize":
            return log_q
        z = self._flow.inverse(w)[0]
        assert z is not None
        outside = (self._emitted["facets"](z) > 0).any(dim=1)
        return torch.where(outside, -torch.inf, log_q + math.log(self._sectors.count))

    @torch.no_grad()
    def log_prob(self, x: np.ndarray, auxiliary: np.ndarray | None = None) -> np.ndarray:
        """See ``Model.log_prob``."""
        if auxiliary is None:
            auxiliary = self._orbit.auxiliary(len(x))
        parts = []
        for start in range(0, len(x), self._chunk):
            part = slice(start, start + self._chunk)
            parts.append(self._log_q(self._tensor(x[part]), self._tensor(auxiliary[part])))
        return torch.cat(parts).cpu().numpy()


def _chosen(log_p: Tensor, choice: Tensor) -> Tensor:
    """The entries of one u per configuration, added over blocks, (batch,)."""
    return log_p.gather(0, choice[None])[0].reshape(len(choice), -1).sum(dim=1)
