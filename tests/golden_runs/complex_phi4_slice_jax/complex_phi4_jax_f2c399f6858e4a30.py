"""complex_phi4, emitted for JAX by sesamo-dsl.

theory complex_phi4: phi_re, phi_im on Lattice(2, 2), n = 8
S = Σ_x[h*(phi_im + phi_re) - 2*kappa*(phi_im*phi_im(x+1e0) + phi_im*phi_im(x+1e1) + phi_re*phi_re(x+1e0) + phi_re*phi_re(x+1e1)) + lambda*(phi_im**2 + phi_re**2)**2 + (1 - 2*lambda)*(phi_im**2 + phi_re**2)]

symmetry U1(phi): broken
  generator [0, -1; 1, 0]: broken, refuted: exp(0.7·T) changes the action by -0.951919 at a configuration
    L_T S = -h*Σ_x[phi_im] + h*Σ_x[phi_re]

S = S₀ + S₁ with S₁ = h*Σ_x[phi_im] + h*Σ_x[phi_re]
unbroken generators of U1(phi): none
charges of S₁ under U1(phi): 1; unbroken: rotations by 2π/1
slice 0 of U1(phi): c = Σ_x (phi_re, phi_im)/√V, c_1 = r > 0, c_2 = 0; orbit S^1
x = R(n) y, R(n) e_1 = n; Faddeev–Popov determinant Δ = r; log|J| = log Δ
completion: c_2 of the flow are auxiliary N(0, 1) coordinates
p(n|y) ∝ exp(−√V r h·n) with h = (h, h): von Mises–Fisher, exact; normaliser (2π)^(N/2) I_(N/2−1)(κ)/κ^(N/2−1), N = 2, κ = √V r |h|

Configurations have shape (batch, 2, 2, 2), components phi_re, phi_im.
"""

import jax
import jax.numpy as jnp
import numpy as np

COMPONENTS = ('phi_re', 'phi_im')
SHAPE = (2, 2)
PARAMETERS = {'h': 0.0, 'kappa': 0.3, 'lambda': 0.022}

MATRICES = np.array([[[1.0, 0.0], [0.0, 1.0]]], dtype=np.float64).reshape((1, 2, 2))

INVERSES = np.array([[[1.0, 0.0], [0.0, 1.0]]], dtype=np.float64).reshape((1, 2, 2))

SCORES = np.array([[0.0, 0.0]], dtype=np.float64).reshape((1, 2))

FACETS = np.array([], dtype=np.float64).reshape((0, 2))

ORIENTATIONS = np.array([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]]], dtype=np.float64).reshape((2, 2, 2))

REORIENTATIONS = np.array([[[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, -1.0]]], dtype=np.float64).reshape((2, 2, 2))

ORIENTATION_SCORES = np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float64).reshape((2, 2))

COLLECTIVE_0 = np.array([[2.0, 0.0], [0.0, 2.0]], dtype=np.float64).reshape((2, 2))

GENERATORS_0 = np.array([[[0.0, -1.0], [1.0, 0.0]]], dtype=np.float64).reshape((1, 2, 2))


def _direction(v):
    """v/|v|, the first unit vector where v = 0."""
    length = jnp.linalg.norm(v, axis=1, keepdims=True)
    first = jnp.eye(v.shape[1], dtype=v.dtype)[:1]
    return jnp.where(length > 0, v / jnp.where(length > 0, length, 1), first)


def _matrix_polynomial(a, coefficients):
    """Σ_j coefficients[j] A^j per configuration."""
    power = jnp.broadcast_to(jnp.eye(a.shape[1], dtype=a.dtype), a.shape)
    total = jnp.zeros_like(a)
    for coefficient in coefficients:
        total = total + coefficient[:, None, None] * power
        power = power @ a
    return total


def action(x, h, kappa, lambda_):
    """S(x) per configuration."""
    phi_im = x[:, 1]
    v3 = phi_im * phi_im
    phi_re = x[:, 0]
    v5 = phi_re * phi_re
    v6 = v3 + v5
    v7 = v6 * v6
    v9 = lambda_ * v7
    v11 = (-2.0) * lambda_
    v12 = 1.0 + v11
    v13 = v12 * v6
    v14 = v9 + v13
    v15 = phi_im + phi_re
    v17 = h * v15
    v18 = v14 + v17
    phi_im_p1e0 = jnp.roll(phi_im, (-1, 0), (1, 2))  # phi_im(x+1e0)
    phi_im_p1e1 = jnp.roll(phi_im, (0, -1), (1, 2))  # phi_im(x+1e1)
    v21 = phi_im_p1e0 + phi_im_p1e1
    v22 = phi_im * v21
    phi_re_p1e0 = jnp.roll(phi_re, (-1, 0), (1, 2))  # phi_re(x+1e0)
    phi_re_p1e1 = jnp.roll(phi_re, (0, -1), (1, 2))  # phi_re(x+1e1)
    v25 = phi_re_p1e0 + phi_re_p1e1
    v26 = phi_re * v25
    v27 = v22 + v26
    v29 = (-2.0) * kappa
    v30 = v29 * v27
    v31 = v18 + v30
    action = v31.sum(axis=(1, 2))  # Σ_x[h*(phi_im + phi_re) - 2*kappa*(phi_im*phi_im(x+1e0) + phi_im*phi_im(x+1e1) + phi_re…
    return action


def action_and_gradient(x, h, kappa, lambda_):
    """S(x) and ∂S/∂x, of the shape of x."""
    phi_im = x[:, 1]
    v3 = phi_im * phi_im
    phi_re = x[:, 0]
    v5 = phi_re * phi_re
    v6 = v3 + v5
    v7 = v6 * v6
    v9 = lambda_ * v7
    v11 = (-2.0) * lambda_
    v12 = 1.0 + v11
    v13 = v12 * v6
    v14 = v9 + v13
    v15 = phi_im + phi_re
    v17 = h * v15
    v18 = v14 + v17
    phi_im_p1e0 = jnp.roll(phi_im, (-1, 0), (1, 2))  # phi_im(x+1e0)
    phi_im_p1e1 = jnp.roll(phi_im, (0, -1), (1, 2))  # phi_im(x+1e1)
    v21 = phi_im_p1e0 + phi_im_p1e1
    v22 = phi_im * v21
    phi_re_p1e0 = jnp.roll(phi_re, (-1, 0), (1, 2))  # phi_re(x+1e0)
    phi_re_p1e1 = jnp.roll(phi_re, (0, -1), (1, 2))  # phi_re(x+1e1)
    v25 = phi_re_p1e0 + phi_re_p1e1
    v26 = phi_re * v25
    v27 = v22 + v26
    v29 = (-2.0) * kappa
    v30 = v29 * v27
    v31 = v18 + v30
    action = v31.sum(axis=(1, 2))  # Σ_x[h*(phi_im + phi_re) - 2*kappa*(phi_im*phi_im(x+1e0) + phi_im*phi_im(x+1e1) + phi_re…
    v33 = v29 * v25
    phi_re_m1e1 = jnp.roll(phi_re, (0, 1), (1, 2))
    v35 = v29 * phi_re_m1e1
    v36 = v33 + v35
    phi_re_m1e0 = jnp.roll(phi_re, (1, 0), (1, 2))
    v38 = v29 * phi_re_m1e0
    v39 = v36 + v38
    v40 = v29 * v21
    phi_im_m1e1 = jnp.roll(phi_im, (0, 1), (1, 2))
    v42 = v29 * phi_im_m1e1
    v43 = v40 + v42
    phi_im_m1e0 = jnp.roll(phi_im, (1, 0), (1, 2))
    v45 = v29 * phi_im_m1e0
    v46 = v43 + v45
    v47 = v46 + h
    v48 = v39 + h
    v50 = 2.0 * lambda_
    v51 = v50 * v6
    v52 = v12 + v51
    v53 = v52 * phi_re
    v54 = 2.0 * v53
    v55 = v48 + v54
    v56 = v52 * phi_im
    v57 = 2.0 * v56
    v58 = v47 + v57
    gradient = jnp.stack([v55, v58], axis=1)
    return action, gradient


def breaking(x, h):
    """S₁(x), the part of S that the group changes."""
    phi_im = x[:, 1]
    v3 = phi_im.sum(axis=(1, 2))  # Σ_x[phi_im]
    v4 = h * v3
    phi_re = x[:, 0]
    v6 = phi_re.sum(axis=(1, 2))  # Σ_x[phi_re]
    v7 = h * v6
    breaking = v4 + v7
    return breaking


def observable_action_density(x, h, kappa, lambda_):
    """Observable action_density."""
    phi_im = x[:, 1]
    v4 = phi_im * phi_im
    phi_re = x[:, 0]
    v6 = phi_re * phi_re
    v7 = v4 + v6
    v8 = v7 * v7
    v10 = lambda_ * v8
    v12 = (-2.0) * lambda_
    v13 = 1.0 + v12
    v14 = v13 * v7
    v15 = v10 + v14
    v16 = phi_im + phi_re
    v18 = h * v16
    v19 = v15 + v18
    phi_im_p1e0 = jnp.roll(phi_im, (-1, 0), (1, 2))  # phi_im(x+1e0)
    phi_im_p1e1 = jnp.roll(phi_im, (0, -1), (1, 2))  # phi_im(x+1e1)
    v22 = phi_im_p1e0 + phi_im_p1e1
    v23 = phi_im * v22
    phi_re_p1e0 = jnp.roll(phi_re, (-1, 0), (1, 2))  # phi_re(x+1e0)
    phi_re_p1e1 = jnp.roll(phi_re, (0, -1), (1, 2))  # phi_re(x+1e1)
    v26 = phi_re_p1e0 + phi_re_p1e1
    v27 = phi_re * v26
    v28 = v23 + v27
    v30 = (-2.0) * kappa
    v31 = v30 * v28
    v32 = v19 + v31
    v33 = v32.sum(axis=(1, 2))  # Σ_x[h*(phi_im + phi_re) - 2*kappa*(phi_im*phi_im(x+1e0) + phi_im*phi_im(x+1e1) + phi_re…
    action_density = 0.25 * v33
    return action_density


def observable_abs_m(x):
    """Observable abs_m."""
    phi_im = x[:, 1]
    v3 = phi_im.sum(axis=(1, 2))  # Σ_x[phi_im]
    v4 = v3 * v3
    v5 = 0.0625 * v4
    phi_re = x[:, 0]
    v7 = phi_re.sum(axis=(1, 2))  # Σ_x[phi_re]
    v8 = v7 * v7
    v9 = 0.0625 * v8
    v10 = v5 + v9
    abs_m = jnp.sqrt(v10)
    return abs_m


def observable_sum_of_components_of_m(x):
    """Observable sum_of_components_of_m."""
    phi_im = x[:, 1]
    v3 = phi_im.sum(axis=(1, 2))  # Σ_x[phi_im]
    v4 = 0.25 * v3
    phi_re = x[:, 0]
    v6 = phi_re.sum(axis=(1, 2))  # Σ_x[phi_re]
    v7 = 0.25 * v6
    sum_of_components_of_m = v4 + v7
    return sum_of_components_of_m


def observable_m_squared(x):
    """Observable m_squared."""
    phi_im = x[:, 1]
    v3 = phi_im.sum(axis=(1, 2))  # Σ_x[phi_im]
    v4 = v3 * v3
    v5 = 0.0625 * v4
    phi_re = x[:, 0]
    v7 = phi_re.sum(axis=(1, 2))  # Σ_x[phi_re]
    v8 = v7 * v7
    v9 = 0.0625 * v8
    m_squared = v5 + v9
    return m_squared


def observable_m_fourth(x):
    """Observable m_fourth."""
    phi_im = x[:, 1]
    v3 = phi_im.sum(axis=(1, 2))  # Σ_x[phi_im]
    v4 = v3 * v3
    v5 = 0.0625 * v4
    phi_re = x[:, 0]
    v7 = phi_re.sum(axis=(1, 2))  # Σ_x[phi_re]
    v8 = v7 * v7
    v9 = 0.0625 * v8
    v10 = v5 + v9
    m_fourth = v10 * v10
    return m_fourth


def observable_phi_squared(x):
    """Observable phi_squared."""
    phi_im = x[:, 1]
    v3 = phi_im * phi_im
    phi_re = x[:, 0]
    v5 = phi_re * phi_re
    v6 = v3 + v5
    v7 = v6.sum(axis=(1, 2))  # Σ_x[phi_im**2 + phi_re**2]
    phi_squared = 0.25 * v7
    return phi_squared


def canonicalize(x):
    """x ↦ (y, u) with y = T_u⁻¹ x in the fundamental domain."""
    v1 = x.mean(axis=(2, 3))
    v2 = v1 @ jnp.asarray(SCORES, v1.dtype).T
    u = jnp.argmax(v2, axis=-1)
    y = jnp.einsum("nab,nb...->na...", jnp.asarray(INVERSES, x.dtype)[u], x)
    return y, u


def modulate(y, u):
    """(y, u) ↦ x = T_u y, the inverse of canonicalize; log|det DT_u| = 0."""
    x = jnp.einsum("nab,nb...->na...", jnp.asarray(MATRICES, y.dtype)[u], y)
    return x


def facets(y):
    """λ_j(y), (batch, facets); y is in the domain where all are ≤ 0."""
    v1 = y.mean(axis=(2, 3))
    facets = v1 @ jnp.asarray(FACETS, v1.dtype).T
    return facets


def orient(y):
    """ỹ ↦ its image with c_1 > 0 for every slice."""
    v1 = y.mean(axis=(2, 3))
    v2 = v1 @ jnp.asarray(ORIENTATION_SCORES, v1.dtype).T
    sign = jnp.argmax(v2, axis=-1)
    y_ = jnp.einsum("nab,nb...->na...", jnp.asarray(REORIENTATIONS, y.dtype)[sign], y)
    return y_, sign


def on_slice(y):
    """ỹ ↦ (y, a_0, a_1, …): the gauge directions c_2 … c_N of each slice handed out and set to zero."""
    v1 = y.mean(axis=(2, 3))
    v3 = v1 @ jnp.asarray(COLLECTIVE_0, v1.dtype).T
    a_0 = v3[:, 1:]
    v5 = v3[:, 1]
    v6 = (-0.5) * v5
    phi_re = y[:, 0]
    phi_im = y[:, 1]
    v9 = v6[:, None, None] + phi_im
    y_ = jnp.stack([phi_re, v9], axis=1)
    return y_, a_0


def off_slice(y, a_0):
    """(y, a_0, a_1, …) ↦ ỹ, the inverse of on_slice."""
    v2 = a_0[:, 0]
    v3 = 0.5 * v2
    phi_re = y[:, 0]
    phi_im = y[:, 1]
    v7 = v3[:, None, None] + phi_im
    y_ = jnp.stack([phi_re, v7], axis=1)
    return y_


def unrotate(x):
    """x ↦ (y, n_0, n_1, …) with y on all slices and n_i the orientation of the i-th collective vector."""
    v1 = x.mean(axis=(2, 3))
    v2 = v1 @ jnp.asarray(COLLECTIVE_0, v1.dtype).T
    n_0 = _direction(v2)
    v4 = n_0[:, 1:]
    v5 = jnp.linalg.norm(v4, axis=1)
    v6 = n_0[:, 0]
    v7 = jnp.arctan2(v5, v6)
    v8 = _direction(v4)
    v9 = jnp.einsum("ni,iab->nab", v8, jnp.asarray(GENERATORS_0, v8.dtype))
    v10 = jnp.full_like(v7, 1.0)
    v11 = jnp.full_like(v7, 0.0)
    v14 = jnp.cos(v7)
    v15 = 1.0 - v14
    v16 = jnp.sin(v7)
    v17 = (-1.0) * v16
    v18 = _matrix_polynomial(v9, [v10, v11, v15, v17])
    y = jnp.einsum("nba,nb...->na...", v18, x)
    return y, n_0


def rotate(y, n_0):
    """(y, n_0, n_1, …) ↦ x = R_0(n_0) R_1(n_1) … y, n_i unit vectors."""
    v2 = n_0[:, 1:]
    v3 = jnp.linalg.norm(v2, axis=1)
    v4 = n_0[:, 0]
    v5 = jnp.arctan2(v3, v4)
    v6 = _direction(v2)
    v7 = jnp.einsum("ni,iab->nab", v6, jnp.asarray(GENERATORS_0, v6.dtype))
    v8 = jnp.full_like(v5, 1.0)
    v9 = jnp.full_like(v5, 0.0)
    v12 = jnp.cos(v5)
    v13 = 1.0 - v12
    v14 = jnp.sin(v5)
    v15 = (-1.0) * v14
    v16 = _matrix_polynomial(v7, [v8, v9, v13, v15])
    x = jnp.einsum("nab,nb...->na...", v16, y)
    return x


def radii(y):
    """c_1 of every slice, (batch,) each."""
    v1 = y.mean(axis=(2, 3))
    v2 = v1 @ jnp.asarray(COLLECTIVE_0, v1.dtype).T
    r_0 = v2[:, 0]
    return r_0


def log_faddeev_popov(y):
    """log Δ = log(r) with r = c_1, (batch,)."""
    v1 = y.mean(axis=(2, 3))
    v2 = v1 @ jnp.asarray(COLLECTIVE_0, v1.dtype).T
    v3 = v2[:, 0]
    log_determinant = jnp.log(v3)
    return log_determinant
