"""The sampler: a flow in the fundamental domain, an orientation on each orbit, an element of the group.

    z ──flow, domain map──▶ y ──slices──▶ y, a ──n──▶ R(n) y ──u──▶ x = T_u R(n) y

    log q(x, a) − log N(a) = log q̃(y) − log Δ(y) − log N(a) + log p(n|y) + log p(u|R(n) y)

with auxiliary coordinates a ~ N(0, 1) that complete a slice (:meth:`Orientations.on_slices`) and its
Faddeev–Popov determinant Δ (:mod:`sesamo_dsl.analysis.slices`).

All methods are functions of weights and noise. A framework compiles them, differentiates
:meth:`Sampler.objective` and draws the noise; see :mod:`sesamo_dsl.sampler.model`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..flows.base import GaussianBase, MixtureBase, mixture_bases
from ..flows.bisection import BisectionSpec
from ..flows.circular import CircularSpec
from ..flows.spec import FlowSpec
from ..ir.facts import Facts
from ..ir.program import Program
from ..laws.autoregressive import AutoregressiveSpec
from ..laws.circle import CircleSpec
from ..laws.conditional import ConditionalSpec
from ..laws.orbits import OrbitLaw
from ..plan.base import wall_statistics
from ..plan.extensions import LAWS
from ..plan.plan import Plan, has_exact_orbits, is_discontinuous_at_walls
from ..values.couplings import Couplings
from ..values.manifolds import wrapped_fields
from .arrays import Array, Arrays, Weights, chosen
from .autoregressive import AutoregressiveLaw
from .bisection_flow import BisectionFlow
from .circular_flow import CircularFlow
from .coupling_flow import CouplingFlow, CouplingFlows
from .domains import DOMAIN_MAPS
from .flow import Flow, Flows, SeparateFlows
from .given import Given
from .group_action import Emitted, GroupAction
from .law_check import first_weights, registered_law, require_law
from .laws import LAW_CLASSES, Conditional, GroupLaw, TableLaw, log_heat
from .mixture import Mixture
from .named_flow import NamedFlow
from .objectives import (
    Energy,
    ForwardPart,
    Objective,
    batch_ess,
    exact_expectation,
    kl_to_heat_bath,
    score_function_surrogate,
)
from .orbits import CircularSpline, Orientations


class Sampler:
    """The sampler of one theory at fixed couplings, as functions of its weights.

    Parameters
    ----------
    emitted
        The emitted functions on arrays of the framework.
    action
        S(x), (batch, components, *lattice) → (batch,), differentiable.
    precision
        Floating-point type of the law and of the action, ``"float32"`` or ``"float64"``; the flow has that of
        the plan, if the plan names one.
    given
        Couplings of each configuration of a training step over a range, which ``emitted`` and ``action`` have
        as well; ``parameters`` and ``base`` are then those of one point.
    """

    def __init__(
        self,
        arrays: Arrays,
        emitted: Emitted,
        action: Callable[[Array], Array],
        program: Program,
        facts: Facts,
        parameters: Couplings,
        base: GaussianBase,
        plan: Plan,
        precision: str,
        given: Given | None = None,
    ) -> None:
        self._given, self._angles = given, program.angles
        self._arrays, self._emitted, self._action = arrays, emitted, action
        self._plan, self._coupled = plan, facts.coupled
        self.group = GroupAction(arrays, emitted, program, parameters, precision)
        domain = DOMAIN_MAPS[plan.strategy]
        self.whole_space = not domain.has_domain
        exact = has_exact_orbits(plan.law, facts)
        law = OrbitLaw.of(facts, math.prod(program.shape), parameters, exact)
        if self.whole_space:
            law = OrbitLaw("none", (), False)
        turning = CircleSpec.of(plan.law, program, facts, base, plan.strategy)
        spline = None if turning is None else CircularSpline(arrays, turning, precision)
        self.orientations = Orientations(self.group, law, spline)
        wall = None
        if plan.strategy == "chart" and "chart" in emitted:
            wall = (
                given.wall
                if given is not None
                else tuple(arrays.constant(values, precision) for values in wall_statistics(program, base))
            )
        self.domain = domain(self.group, program, precision, bool(law.dimensions), wall)
        self.flow: Flow = self._make_flow(base, plan, precision)
        self.law = self._make_law(program, facts, base, plan, parameters, precision)
        self._discontinuous = is_discontinuous_at_walls(plan, facts, program.sectors.count)
        # a learned law starts from the heat bath at the centre of the base
        mean = np.broadcast_to(base.mean.reshape(-1, *(1,) * len(base.shape)), self.group.shape)
        self._centre = arrays.constant(mean[None].copy(), precision)
        if LAWS.added(plan.law) and not self.whole_space:
            require_law(plan.law, self.law, self.group, base, self._law_state())

    def _make_flow(self, base: GaussianBase, plan: Plan, precision: str) -> Flow:
        dtype = plan.flow_precision or precision
        if plan.flows == 1:
            if isinstance(plan.flow, str):
                return self._named_flow(plan.flow, base, dtype, "flow.", plan)
            if isinstance(plan.flow, BisectionSpec):
                return BisectionFlow(self._arrays, plan.flow, base, dtype)
            if isinstance(plan.flow, CircularSpec):
                return CircularFlow(self._arrays, plan.flow, base, self._angles, dtype)
            return CouplingFlow(self._arrays, plan.flow, base, dtype, given=self._given)
        prefixes = [f"flow.flows.{k}." for k in range(plan.flows)]
        if isinstance(base, MixtureBase):
            bases, log_weights = base.parts, base.log_weights
        else:
            bases, log_weights = mixture_bases(base, plan.flows, plan.seed), np.zeros(plan.flows)
        flows: Flows
        if isinstance(plan.flow, str):
            pairs = zip(bases, prefixes, strict=True)
            named = [self._named_flow(plan.flow, base, dtype, prefix, plan) for base, prefix in pairs]
            flows = SeparateFlows(self._arrays, named)
        elif isinstance(plan.flow, BisectionSpec):
            chains = [
                BisectionFlow(self._arrays, plan.flow, base, dtype, prefix)
                for base, prefix in zip(bases, prefixes, strict=True)
            ]
            flows = SeparateFlows(self._arrays, chains)
        else:
            assert isinstance(plan.flow, FlowSpec)  # a plan has one circular flow at most
            flows = CouplingFlows(self._arrays, plan.flow, bases, dtype, prefixes)
        return Mixture(self._arrays, flows, log_weights)

    def _named_flow(self, name: str, base: GaussianBase, dtype: str, prefix: str, plan: Plan) -> NamedFlow:
        flow = NamedFlow(self._arrays, name, base, dtype, prefix)
        flow.require_sound(plan.seed, with_noise=plan.strategy == "canonicalize")
        return flow

    def _make_law(
        self,
        program: Program,
        facts: Facts,
        base: GaussianBase,
        plan: Plan,
        parameters: Couplings,
        precision: str,
    ) -> GroupLaw:
        if LAWS.added(plan.law):
            return registered_law(plan.law, self.group)
        if plan.law != "conditional":
            return LAW_CLASSES[plan.law](self.group)
        if facts.chained:
            chain = AutoregressiveSpec.of(program, facts, base, plan.strategy, parameters)
            return AutoregressiveLaw(self.group, chain, precision)
        spec = ConditionalSpec.of(program, facts, base, plan.strategy, parameters)
        return Conditional(self.group, spec, precision)

    # inputs and weights ----------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a configuration, (components, *lattice)."""
        return self.group.shape

    @property
    def uniforms(self) -> tuple[int, ...]:
        """Shape of the uniform numbers that draw u for one configuration."""
        return () if self.whole_space else self.law.uniforms

    @property
    def draws_flow(self) -> bool:
        """True if the flow is a mixture, which takes one more uniform number for each configuration."""
        return isinstance(self.flow, Mixture)

    def initial_state(self) -> dict[str, np.ndarray]:
        """Initial weights by name, the same on every backend."""
        seed = self._plan.seed
        state = {**self.flow.initial_state(seed), **self._law_state()}
        if self.orientations.spline is not None:
            state |= self.orientations.spline.initial_state(seed)
        return state

    def _law_state(self) -> dict[str, np.ndarray]:
        logits = self._arrays.to_numpy(-self.group.breaking(self._centre)[:, 0])
        own = first_weights(self._plan.law, self.law, self._plan.seed)
        return {"law.logits": np.asarray(logits), **own}

    # drawing ---------------------------------------------------------------------------------------------

    def draw_flow(
        self, weights: Weights, z: Array, uniform: Array | None
    ) -> tuple[Array, Array, Array, Array, Array]:
        """(y on the slices, log q̃ − log Δ − log N(a), leaked, a, log_prob mismatch), (batch, …) each.

        The mismatch is the excess of log q̃ as accumulated while drawing over log q̃ evaluated at the sample,
        negative values set to zero. It is zero in exact arithmetic.
        """
        placed = self.domain.place(self.flow, weights, z, uniform)
        y, auxiliary, log_measure = self.orientations.on_slices(placed.y)
        log_q = self.domain.log_density(self.flow, weights, placed.w, placed.log_jacobian)
        mismatch = self._arrays.xp.clip(placed.log_drawn() - log_q, 0, None)
        return y, log_q - log_measure, self.domain.leaked(y), auxiliary, mismatch

    def modulate(
        self, weights: Weights, y: Array, uniform: Array, directions: list[Array]
    ) -> tuple[Array, Array, Array, Array]:
        """(x, log p(u|R(n) y) + [log p(n|y) − log p_uniform(n)], S(x), u) with x = T_u R(n) y.

        The bracket is zero unless n has a trained law.
        """
        if self.whole_space:
            u = self._emitted["canonicalize"](y)[1]
            return y, self._arrays.zeros((y.shape[0],), y), self._emitted["action"](y), u
        x, log_p, u = self._moved(weights, y, uniform, directions)
        return x, log_p, self._emitted["action"](x), u

    def _moved(
        self, weights: Weights, y: Array, uniform: Array, directions: list[Array]
    ) -> tuple[Array, Array, Array]:
        log_turned = self._arrays.zeros((y.shape[0],), y)
        if self.orientations.present:
            directions, log_turned = self.orientations.turned(weights, y, directions)
            y = self.orientations.rotate(y, directions)
        choice, log_p = self.law.sample_and_log_prob(weights, y, uniform)
        choice, log_rows = self.law.turn_rows(self.group.modulate(y, choice)[0], choice, uniform)
        x, u = self.group.modulate(y, choice)
        return x, log_p + log_rows + log_turned, u

    def draw(
        self,
        weights: Weights,
        z: Array,
        uniform: Array,
        choices: Array | None,
        orient: Callable[[Array], list[Array]],
    ) -> Array:
        """x alone, (batch, components, *lattice), from noise and from what ``orient`` draws for y."""
        y = self.orientations.on_slices(self.domain.place(self.flow, weights, z, choices).y)[0]
        return y if self.whole_space else self._moved(weights, y, uniform, orient(y))[0]

    def table(self, y: Array) -> Array:
        """See :meth:`Orientations.table`."""
        return self.orientations.table(y)

    # densities -------------------------------------------------------------------------------------------

    def canonical(self, weights: Weights, x: Array) -> tuple[Array, Array, list[Array]]:
        """(y on the slices, log p(u|R(n) y) + [log p(n|y) − log p_uniform(n)], n) for x = T_u R(n) y."""
        x = wrapped_fields(self._arrays.xp, x, self._angles)
        if self.whole_space:
            return x, self._arrays.zeros((x.shape[0],), x), []
        y, u = self._emitted["canonicalize"](x)
        log_p = self.law.log_prob(weights, y, self.group.choice_of(u)) - self.law.log_rows(x)
        directions: list[Array] = []
        if self.orientations.present:
            y, directions = self.orientations.unrotate(y)
            log_p = log_p + self.orientations.log_prob(weights, y, directions)
        return y, log_p, directions

    def log_flow(self, weights: Weights, y: Array, auxiliary: Array) -> Array:
        """log q̃(y, a) − log Δ − log N(a) for y on the slices, (batch,)."""
        full = self.orientations.off_slices(y, auxiliary)
        return self.domain.log_prob(self.flow, weights, full) - self.orientations.on_slices(full)[2]

    def log_density(self, weights: Weights, x: Array, auxiliary: Array) -> Array:
        """log q(x, a) − log N(a), (batch,), differentiable by x."""
        y, log_p, directions = self.canonical(weights, x)
        return log_p + self.orientations.log_given(y, directions) + self.log_flow(weights, y, auxiliary)

    # the objective ---------------------------------------------------------------------------------------

    def objective(
        self,
        weights: Weights,
        noise: tuple[Array, Array],
        directions: list[Array],
        forward: ForwardPart | None,
    ) -> tuple[Array, Array]:
        """The objective of one training step, a differentiable number, and the ESS of its batch."""
        reverse = self._reverse(weights, *noise, directions)
        value = reverse.terms.mean()
        if forward is not None:
            y, log_p, _ = self.canonical(weights, forward.x)
            log_q = log_p + self.log_flow(weights, y, forward.auxiliary)
            value = (1 - forward.weight) * value - forward.weight * log_q.mean()
        apart = None if self._given is None else self._given.apart
        return value, batch_ess(self._arrays, reverse.log_weights, reverse.shares, apart)

    def _reverse(self, weights: Weights, z: Array, uniform: Array, directions: list[Array]) -> Objective:
        """KL(q‖p) estimated from noise, in the form whose derivative is the gradient of the divergence."""
        o, detach, domain, flow = self._plan, self._arrays.detach, self.domain, self.flow
        placed = domain.place(flow, weights, z)
        if o.gradient == "path":
            log_q = domain.log_density(flow, detach(weights), placed.w, placed.log_jacobian)
        elif domain.sums:
            log_q = domain.log_density(flow, weights, placed.w, placed.log_jacobian)
        else:
            log_q = placed.log_drawn()
        on_slice, _, log_measure = self.orientations.on_slices(placed.y)
        energy = self._energy(weights, on_slice, directions, uniform)
        value, rest = log_q - log_measure + energy.value, energy.across_walls
        log_w = -detach(value if rest is None else value + rest)
        log_w = self._arrays.double(log_w)
        if rest is not None:
            score = domain.log_density(flow, weights, detach(placed.w), detach(placed.log_jacobian))
            score = score if energy.log_law is None else score + energy.log_law
            alike = not isinstance(flow, Mixture)
            rest = score_function_surrogate(self._arrays, rest, score, baseline=alike)
        elif energy.log_law is not None:
            value = score_function_surrogate(self._arrays, value, energy.log_law)
        penalty = domain.penalty(placed.y, o.penalty_height, o.penalty_slope)
        if penalty is not None:
            value = value + penalty
        if not isinstance(flow, Mixture):
            return Objective(value if rest is None else value + rest, log_w)
        shares = flow.shares(weights, z)
        held, terms = detach(shares), shares * value
        if rest is not None:
            terms = terms + held * rest
        return Objective(terms, log_w, self._arrays.double(held))

    def _energy(self, weights: Weights, y: Array, directions: list[Array], uniform: Array) -> Energy:
        """E[S(x) + log p(u|·) + log p(n|·)] given y; for exact laws this is −log Σ_u ∫ exp(−S(x)) dn."""
        if self.whole_space:
            return Energy(self._action(y))
        if self.orientations.integrated:
            return Energy(self.orientations.free_energy(y, self._action(y)))
        detach, path = self._arrays.detach, self._plan.gradient == "path"
        log_turned = self._arrays.zeros((y.shape[0],), y) - self.orientations.law.log_area
        fixed = detach(y)
        if self.orientations.law.sampled:
            turned, log_p = self.orientations.turned(weights, y, directions, held=path)
            log_turned = log_turned + log_p
            y = self.orientations.rotate(y, turned)
            if self._discontinuous:
                there = self.orientations.turned(weights, fixed, directions)[0]
                fixed = self.orientations.rotate(fixed, there)
        if self._discontinuous:
            energy = self._energy_across_walls(weights, y, fixed, uniform)
            return Energy(energy.value + log_turned, energy.across_walls, energy.log_law)
        if self._plan.law_gradient == "enumerate":
            assert isinstance(self.law, TableLaw)
            table = self.law.table(weights, y)
            change = exact_expectation(self._arrays, self.group.breaking(y), table)
            return Energy(self._action(y) + change + log_turned)
        choice, log_law = self.law.sample_and_log_prob(weights, y, uniform)
        held = self.law.log_prob(detach(weights), y, choice) if path else log_law
        x = self.group.modulate(y, choice)[0]
        return Energy(self._action(x) - self.law.log_rows(x) + held + log_turned, None, log_law)

    def _energy_across_walls(self, weights: Weights, y: Array, fixed: Array, uniform: Array) -> Energy:
        """The energy as a part that is equal at all images of y and a remainder at ``fixed``, a constant y.

        The first part is −log Σ_u exp(−S(T_u y)); it is S₀ if u cannot be summed over.
        """
        action = self._action(y)
        if self._coupled:
            choice, log_law = self.law.sample_and_log_prob(weights, fixed, uniform)
            x = self.group.modulate(fixed, choice)[0]
            rest = log_law + self._emitted["breaking"](x) - self.law.log_rows(x)
            return Energy(action - self._emitted["breaking"](y), self._weightless(rest), log_law)
        breaking = self.group.breaking(y)
        smooth = action + exact_expectation(self._arrays, breaking, log_heat(self._arrays, breaking))
        at_fixed = log_heat(self._arrays, self.group.breaking(fixed))
        if self._plan.law_gradient == "enumerate":
            assert isinstance(self.law, TableLaw)
            table = self.law.table(weights, fixed)
            return Energy(smooth, kl_to_heat_bath(self._arrays, table, at_fixed))
        choice, log_law = self.law.sample_and_log_prob(weights, fixed, uniform)
        rest = self._weightless(log_law - chosen(self._arrays, at_fixed, choice))
        return Energy(smooth, rest, log_law)

    def _weightless(self, value: Array) -> Array:
        """The value, a constant for path gradients, which omit the derivative of log p by its weights."""
        return self._arrays.detach(value) if self._plan.gradient == "path" else value
