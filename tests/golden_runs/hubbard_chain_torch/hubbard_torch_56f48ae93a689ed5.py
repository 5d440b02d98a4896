"""hubbard, emitted for PyTorch by sesamo-dsl.

theory hubbard: phi on GraphLattice(2 nodes, 1 edges, time=2), n = 4
S = -logdet(1 + B[-phi]; K[2×2, c1b92c], beta=beta) - logdet(1 + B[phi]; K[2×2, c1b92c], beta=beta) + Σ_x[phi**2]/(U*beta)

symmetry Z2(phi) at every block of axes (1,), order 2^2: broken
  acting at all blocks alike: exact
  generator [-1]: broken, refuted: acting at block (0,) it changes the action by -0.286426
    the part of S that changes = -2*logdet(1 + B[phi]; K[2×2, c1b92c], beta=beta) + Σ_x[phi]

S = S₀ + S₁ with S₁ = -2*logdet(1 + B[phi]; K[2×2, c1b92c], beta=beta) + Σ_x[phi]
modulation group: order 2^2, collective coordinate c = (⟨phi⟩) of each block, ⟨·⟩ the mean over a block
fundamental domain Ω of each block around r = (1):
  λ = -1·⟨phi⟩ ≤ 0  (towards [-1])
x = T_u y with y ∈ Ω; log|det DT_u| = 0 (the group is finite)
log q(x) = log q̃(y) + log p(u|y)
S₁ couples the blocks: p(u|y) ∝ exp(−S₁(T_u y)) over all sectors, exact (heat bath)

Configurations have shape (batch, 1, 2, 2), components phi.
"""

import math

import torch

COMPONENTS = ('phi',)
SHAPE = (2, 2)
PARAMETERS = {'U': 18.0, 'beta': 1.0}

HOPPING_c1b92c = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).reshape((2, 2))

MATRICES = torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64).reshape((2, 1, 1))

INVERSES = torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64).reshape((2, 1, 1))

SCORES = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).reshape((2, 1))

FACETS = torch.tensor([[-1.0]], dtype=torch.float64).reshape((1, 1))

WALLS = torch.tensor([[1.0]], dtype=torch.float64).reshape((1, 1))

EDGES = torch.tensor([[1.0]], dtype=torch.float64).reshape((1, 1))


def _over_blocks(values, x, axes):
    """Values (batch, …, blocks) laid out along the lattice of x, with extent 1 off the block axes."""
    shape = [n if mu in axes else 1 for mu, n in enumerate(x.shape[2:])]
    return values.reshape(*values.shape[:-1], *shape)


def _block_mean(x, axes):
    """Mean of every component over the sites of each block, (batch, blocks, components)."""
    rest = [mu + 2 for mu in range(x.ndim - 2) if mu not in axes]
    return (x.mean(dim=rest) if rest else x).flatten(2).transpose(1, 2)


def _act_on_blocks(x, matrices, axes):
    """Each block of x turned by its own matrix, (batch, blocks, components, components)."""
    return (_over_blocks(matrices.movedim(1, -1), x, axes) * x[:, None]).sum(dim=2)


def _spread(x, steps, axes):
    """x plus a constant for every component of each block, (batch, [blocks,] components)."""
    steps = steps[:, None] if steps.ndim == 2 else steps
    return x + _over_blocks(steps.transpose(1, 2), x, axes)


def _ndtri_exp(log_p):
    """Φ⁻¹(exp(log_p)) for log_p ≤ −log 2: a close start without gradient, then one Newton step on log Φ."""
    with torch.no_grad():
        far = torch.sqrt((-2 * log_p - math.log(2 * math.pi) - torch.log(-2 * log_p + 1)).clamp(min=1))
        start = torch.where(log_p > -70, torch.special.ndtri(torch.exp(log_p.clamp(min=-75))), -far)
        for _ in range(2):
            slope = torch.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - torch.special.log_ndtr(start))
            start = start - (torch.special.log_ndtr(start) - log_p) / slope
        slope = torch.exp(-(start**2) / 2 - math.log(2 * math.pi) / 2 - torch.special.log_ndtr(start))
    return start - (torch.special.log_ndtr(start) - log_p) / slope


def _quantile(above, below):
    """v from log Q(v) and log Φ(v), whichever of the two tails it lies in."""
    right = above < -math.log(2)
    v = _ndtri_exp(torch.where(right, above, below))
    return torch.where(right, -v, v)


def _half_line(vector, location, width):
    """R → (0, ∞): N(location, width²) to the same density cut off at 0, Q(v) = Q(a) Q(t)."""
    a, t = -location / width, (vector - location) / width
    log_kept = torch.special.log_ndtr(-a)
    above = log_kept + torch.special.log_ndtr(-t)
    below = torch.logaddexp(torch.special.log_ndtr(a) + 0 * t, log_kept + torch.special.log_ndtr(t))
    return torch.clamp(location + width * _quantile(above, below), min=0)


def _half_line_inverse(vector, location, width):
    """(0, ∞) → R, the inverse of _half_line."""
    a, v = -location / width, (vector - location) / width
    log_kept = torch.special.log_ndtr(-a)
    above = torch.special.log_ndtr(-v) - log_kept
    gap = torch.clamp(torch.special.log_ndtr(a) - torch.special.log_ndtr(v), max=-torch.finfo(v.dtype).tiny)
    below = torch.special.log_ndtr(v) + torch.log(-torch.expm1(gap)) - log_kept
    return location + width * _quantile(above, below)


def _half_line_log_slope(vector, location, width):
    """log of the derivative of _half_line."""
    t = (vector - location) / width
    v = (_half_line(vector, location, width) - location) / width
    return torch.special.log_ndtr(location / width) + (v - t) * (v + t) / 2


class _FermionLogDet(torch.autograd.Function):
    """log|det| with its own derivative: the gradient comes out of the same tree, as stable as the value."""

    @staticmethod
    def forward(ctx, field, step, matrix, species, with_gradient):
        with_gradient = with_gradient or ctx.needs_input_grad[0]
        value, gradient = _fermion_solve(field, step, matrix, species, with_gradient)
        if with_gradient:
            ctx.save_for_backward(gradient)
            ctx.mark_non_differentiable(gradient)
        return value, gradient

    @staticmethod
    def backward(ctx, adjoint, _):
        # The saved gradient is a constant: a second derivative would silently lack this term. An emitted
        # module stands alone, hence an exception of Python's own.
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "second derivatives of a fermion determinant (create_graph=True): expected first derivatives "
                "only; take differences of `action_and_gradient` for a Hessian"
            )
        (gradient,) = ctx.saved_tensors
        return adjoint[:, None, None] * gradient, None, None, None, None


def _fermion_log_det(field, step, matrix, species):
    """log|det(1 + B_Nt … B_1)|, B_t = exp(matrix·step) diag(exp(species·field_t)), per configuration."""
    return _FermionLogDet.apply(field, step, matrix, species, False)[0]


def _fermion_gradient(field, step, matrix, species):
    """Derivative of the log det by the field, of its shape."""
    return _fermion_log_det_and_gradient(field, step, matrix, species)[1]


def _fermion_log_det_and_gradient(field, step, matrix, species):
    """Both from one tree; the gradient is a constant for autograd."""
    return _FermionLogDet.apply(field, step, matrix, species, True)


def _fermion_solve(field, step, matrix, species, with_gradient):
    """log|det| and its gradient, in float64 whatever the field is."""
    phi = species * field.double()
    hop = torch.linalg.matrix_exp(matrix.to(phi) * step)
    # on a CPU a part of the batch at a time, with 2 MiB of slices: what a part needs stays in the cache
    size = max(1, 2**18 // (phi.shape[1] * phi.shape[2] ** 2)) if phi.device.type == "cpu" else len(phi)
    parts = [_fermion_tree(part, hop, with_gradient) for part in phi.split(size)]
    log = torch.cat([log for log, _ in parts]).to(field.dtype)
    slopes = [slope for _, slope in parts if slope is not None]
    return log, (species * torch.cat(slopes)).to(field.dtype) if with_gradient else None


def _fermion_tree(phi, hop, with_gradient):
    """log|det| and its gradient by φ for one species, by merging slices in a binary tree."""
    n = phi.shape[2]
    # the first levels multiply, while products are small enough to be accurate
    scale = torch.exp(phi)
    right, products = hop * scale[..., None, :], []
    small = bool((right.abs() < 1e4).all())
    while small and right.shape[1] > 1 and len(products) < 4:
        first, second, rest = _fermion_pairs(right)
        product = _fermion_join(second @ first, rest)
        small = bool((product.abs() < 1e4).all())
        if small:
            products.append((first, second))
            right = product
    if products:
        left, log = torch.eye(n).to(right).expand_as(right), torch.zeros_like(phi[:, 0, 0])
    else:
        left, scale, log = _fermion_rescaled(phi)
        right = hop * scale[..., None, :]
    # up the tree: P₁ x₁ = R₁ x₀ and P₂ x₂ = R₂ x₁ without x₁
    merges = []
    while left.shape[1] > 1:
        (left_1, left_2, left_rest), (right_1, right_2, right_rest) = (
            _fermion_pairs(left),
            _fermion_pairs(right),
        )
        q, t, log_t = _fermion_triangular(torch.cat([left_1, -right_2], dim=-2))
        log = log + log_t
        merges.append((right_1, left_2, q, t))
        left = _fermion_join(q[..., n:, n:] @ left_2, left_rest)
        right = _fermion_join(q[..., n:, :n] @ right_1, right_rest)
    q, t, log_t = _fermion_triangular(left + right)
    log = log + log_t
    if not with_gradient:
        return log, None
    # down the tree: x after and before an equation for unit right-hand sides of it
    after = torch.linalg.solve_triangular(t, q, upper=True)
    before = -after
    for right_1, left_2, q, t in reversed(merges):
        count = t.shape[1]
        last, start = after[:, :count] @ q[..., n:, :], before[:, :count] @ q[..., n:, :]
        known = q[..., :n, :] + q[..., :n, :n] @ (right_1 @ start) - q[..., :n, n:] @ (left_2 @ last)
        middle = torch.linalg.solve_triangular(t, known, upper=True)
        after = _fermion_interleave(middle[..., :n], last[..., n:], after[:, count:])
        before = _fermion_interleave(start[..., :n], middle[..., n:], before[:, count:])
    for first, second in reversed(products[1:]):
        count = first.shape[1]
        before = _fermion_interleave(before[:, :count] @ second, first @ before[:, :count], before[:, count:])
    # −tr(x_t ∂(exp(matrix·step) diag exp φ_t)), for both slices of a product of two from the x before it
    scale_1, scale_2, scale_rest = _fermion_pairs(scale) if products else (scale[:, :0], scale[:, :0], scale)
    moved = before @ hop
    both, alone = moved[:, : scale_1.shape[1]], moved[:, scale_1.shape[1] :]
    return log, -_fermion_interleave(
        scale_1 * ((both * hop.mT) @ scale_2[..., None])[..., 0],
        scale_2 * ((both.mT * hop) @ scale_1[..., None])[..., 0],
        scale_rest * alone.diagonal(dim1=-2, dim2=-1),
    )


def _fermion_triangular(a):
    """Orthogonal q and upper triangular t with q a = (t, 0), and log|det t| summed over dimension 1."""
    n = a.shape[-1]
    q, t = torch.linalg.qr(a, mode="complete")
    t = t[..., :n, :]
    t = t + torch.finfo(t.dtype).eps * (t == 0) * torch.eye(n).to(t)  # a pivot lost to underflow
    return q.mT, t, t.diagonal(dim1=-2, dim2=-1).abs().log().sum(dim=(1, 2))


def _fermion_rescaled(phi):
    """P_t, min(exp(ψ_t), 1) and the scale taken out of log det: the unknowns times max(1, exp(ψ_t)).

    ψ_t = φ_t − μ_t, Σ_t μ_t = 0, with the same number of positive entries on all slices.
    """
    margin = 1 + phi.abs().amax(dim=(1, 2), keepdim=True)
    ordered = phi.sort(dim=2, descending=True).values
    ordered = torch.cat([ordered[..., :1] + margin, ordered, ordered[..., -1:] - margin], dim=2)
    totals = ordered.sum(dim=1, keepdim=True)
    k = (totals >= 0).sum(dim=2, keepdim=True) - 1
    above, below = totals.gather(2, k), totals.gather(2, k + 1)
    share = above / (above - below)
    k = k.expand(-1, phi.shape[1], -1)
    psi = phi - ((1 - share) * ordered.gather(2, k) + share * ordered.gather(2, k + 1))
    left = torch.diag_embed(torch.exp(-psi.clamp(min=0)).roll(-1, 1))
    return left, torch.exp(psi.clamp(max=0)), psi.clamp(min=0).sum(dim=(1, 2))


def _fermion_pairs(values):
    """First and second of each pair along dimension 1, and the last one if their number is odd."""
    even = values.shape[1] // 2 * 2
    return values[:, :even:2], values[:, 1:even:2], values[:, even:]


def _fermion_interleave(first, second, rest):
    return _fermion_join(torch.stack([first, second], dim=2).flatten(1, 2), rest)


def _fermion_join(values, rest):
    return torch.cat([values, rest], dim=1) if rest.shape[1] else values


def action(x, U, beta):
    """S(x) per configuration."""
    phi = x[:, 0]
    v5 = 0.5 * beta
    v6 = _fermion_log_det(phi, torch.as_tensor(v5, dtype=x.dtype, device=x.device), HOPPING_c1b92c, 1)  # logdet(1 + B[phi]; K[2×2, c1b92c], beta=beta)
    v7 = (-1.0) * v6
    v8 = phi.sum(dim=(1, 2))  # Σ_x[phi]
    v9 = v6 - v8
    v10 = v7 - v9
    v12 = phi * phi
    v13 = v12.sum(dim=(1, 2))  # Σ_x[phi**2]
    v14 = v13 / U
    v15 = v14 / beta
    action = v10 + v15
    return action


def action_and_gradient(x, U, beta):
    """S(x) and ∂S/∂x, of the shape of x."""
    phi = x[:, 0]
    v5 = 0.5 * beta
    v6, v25 = _fermion_log_det_and_gradient(phi, torch.as_tensor(v5, dtype=x.dtype, device=x.device), HOPPING_c1b92c, 1)  # logdet(1 + B[phi]; K[2×2, c1b92c], beta=beta)
    v7 = (-1.0) * v6
    v8 = phi.sum(dim=(1, 2))  # Σ_x[phi]
    v9 = v6 - v8
    v10 = v7 - v9
    v12 = phi * phi
    v13 = v12.sum(dim=(1, 2))  # Σ_x[phi**2]
    v14 = v13 / U
    v15 = v14 / beta
    action = v10 + v15
    v18 = 1.0 / beta
    v19 = v18 / U
    v21 = 2.0 * v19
    v22 = v21 * phi
    v23 = v22 + 1.0
    v26 = (-2.0) * v25
    v27 = v23 + v26
    gradient = torch.stack([v27], dim=1)
    return action, gradient


def breaking(x, beta):
    """S₁(x), the part of S that the group changes."""
    phi = x[:, 0]
    v5 = 0.5 * beta
    v6 = _fermion_log_det(phi, torch.as_tensor(v5, dtype=x.dtype, device=x.device), HOPPING_c1b92c, 1)  # logdet(1 + B[phi]; K[2×2, c1b92c], beta=beta)
    v7 = (-2.0) * v6
    v8 = phi.sum(dim=(1, 2))  # Σ_x[phi]
    breaking = v7 + v8
    return breaking


def observable_magnetisation_squared(x, U, beta):
    """Observable magnetisation_squared."""
    v2 = U * U
    v4 = beta * beta
    phi = x[:, 0]
    v7 = phi.sum(dim=(1, 2))  # Σ_x[phi]
    v8 = v7 * v7
    v9 = 0.25 * v8
    v10 = v9 / v2
    magnetisation_squared = v10 / v4
    return magnetisation_squared


def observable_phi_squared(x, U, beta):
    """Observable phi_squared."""
    phi = x[:, 0]
    v5 = phi * phi
    v6 = v5.sum(dim=(1, 2))  # Σ_x[phi**2]
    v7 = 0.5 * v6
    v8 = v7 / U
    phi_squared = v8 / beta
    return phi_squared


def canonicalize(x):
    """x ↦ (y, u) with y = T_u⁻¹ x in the fundamental domain."""
    v1 = _block_mean(x, (1,))
    v2 = v1 @ SCORES.to(v1).T
    u = torch.argmax(v2, dim=-1)
    y = _act_on_blocks(x, INVERSES.to(x)[u], (1,))
    return y, u


def modulate(y, u):
    """(y, u) ↦ x = T_u y, the inverse of canonicalize; log|det DT_u| = 0."""
    x = _act_on_blocks(y, MATRICES.to(y)[u], (1,))
    return x


def facets(y):
    """λ_j(y), (batch, facets); y is in the domain where all are ≤ 0."""
    v1 = _block_mean(y, (1,))
    v2 = v1 @ FACETS.to(v1).T
    facets = v2.flatten(1)
    return facets


def chart(y, location, width):
    """y ↦ (y', log|J|) with y' in the domain: the distance s from every wall, any real number, becomes positive.

    N(location, width²) becomes the same density cut off at the wall."""
    v3 = _block_mean(y, (1,))
    v4 = v3 @ WALLS.to(v3).T
    v5 = _half_line(v4, location, width)
    v6 = _half_line_log_slope(v4, location, width)
    v7 = v5 - v4
    y_ = _spread(y, v7 @ EDGES.to(y).T, (1,))
    log_jacobian = v6.flatten(1).sum(dim=1)
    return y_, log_jacobian


def unchart(y, location, width):
    """The inverse of chart, log|J| still that of chart."""
    v3 = _block_mean(y, (1,))
    v4 = v3 @ WALLS.to(v3).T
    v5 = _half_line_inverse(v4, location, width)
    v6 = _half_line_log_slope(v5, location, width)
    v7 = v5 - v4
    y_ = _spread(y, v7 @ EDGES.to(y).T, (1,))
    log_jacobian = v6.flatten(1).sum(dim=1)
    return y_, log_jacobian
