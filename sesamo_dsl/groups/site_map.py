"""Maps of the sites of a periodic lattice: signed permutations of the axes, translations, permuted nodes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ..checks import as_integer, shown
from ..errors import LatticeError
from ..symbols.lattice import GraphLattice, Lattice


@dataclass(frozen=True)
class SiteMap:
    """x ↦ P x + t on a periodic lattice, with P e_mu = signs[mu] e_axes[mu].

    Equal maps compare equal: on an axis with one or two sites x and −x are the same site, so the sign is
    written as +1 there, and axes with one site are not exchanged.

    Attributes
    ----------
    nodes
        On a graph lattice the position that the i-th node goes to; (0, 1, …), the default, moves none. Empty
        on a hypercubic lattice.

    Raises
    ------
    LatticeError
        If the map does not take the lattice to itself.
    """

    lattice: Lattice
    axes: tuple[int, ...]
    signs: tuple[int, ...]
    translation: tuple[int, ...]
    nodes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape = _checked(self.lattice).shape
        axes, signs, translation = tuple(self.axes), tuple(self.signs), tuple(self.translation)
        if not len(axes) == len(signs) == len(translation) == len(shape) or sorted(axes) != [
            *range(len(shape))
        ]:
            raise LatticeError(
                f"map of the sites of {self.lattice}",
                expected=f"a permutation of the axes {self.lattice.directions}, a sign and a step for each",
                found=f"axes {axes}, signs {signs}, translation {translation}",
                remedy="give one entry per axis, or use translation, rotation, reflection, axis_exchange",
            )
        for mu, axis in enumerate(axes):
            if shape[axis] != shape[mu] or signs[mu] not in (1, -1):
                raise LatticeError(
                    f"map of the sites of {self.lattice}",
                    expected="every axis to go to ± an axis of the same extent",
                    found=f"axis {mu} of extent {shape[mu]} to {signs[mu]}·axis {axis}, extent {shape[axis]}",
                    remedy="use a lattice with equal extents, or leave this map out",
                )
        self._check_nodes(axes, signs, translation)
        object.__setattr__(self, "axes", tuple(mu if shape[mu] == 1 else a for mu, a in enumerate(axes)))
        object.__setattr__(self, "signs", tuple(s if e > 2 else 1 for s, e in zip(signs, shape, strict=True)))
        object.__setattr__(self, "translation", self.lattice.wrap(translation))

    def _check_nodes(self, axes: tuple[int, ...], signs: tuple[int, ...], steps: tuple[int, ...]) -> None:
        axis = self.lattice.graph_axis
        count = 0 if axis is None else self.lattice.shape[axis]
        nodes = tuple(self.nodes) or tuple(range(count))
        still = axis is None or (axes[axis], signs[axis], steps[axis] % count) == (axis, 1, 0)
        if not still or sorted(nodes) != [*range(count)]:
            raise LatticeError(
                f"map of the sites of {self.lattice}",
                expected="a permutation of the nodes, if there are any, and no step or sign along their axis",
                found=f"axes {axes}, signs {signs}, translation {steps}, nodes {nodes}",
                remedy="use node_permutation(lattice, {node: image, …})",
            )
        object.__setattr__(self, "nodes", nodes)

    @classmethod
    def identity(cls, lattice: Lattice) -> SiteMap:
        """The map that leaves every site where it is."""
        d = _checked(lattice).dimension
        return cls(lattice, tuple(range(d)), (1,) * d, (0,) * d)

    def linear_image(self, offset: Sequence[int]) -> tuple[int, ...]:
        """P·offset, wrapped into the lattice."""
        image = [0] * len(offset)
        for mu, step in enumerate(offset):
            image[self.axes[mu]] += self.signs[mu] * step
        return self.lattice.wrap(image)

    def image(self, site: Sequence[int]) -> tuple[int, ...]:
        """The image of a site: P·site + t, with the node replaced by its image."""
        image = self.lattice.wrap(
            a + t for a, t in zip(self.linear_image(site), self.translation, strict=True)
        )
        return (*image[:-1], self.nodes[image[-1]]) if self.nodes else image

    def __matmul__(self, other: SiteMap) -> SiteMap:
        """Composition: first ``other``, then ``self``."""
        axes = tuple(self.axes[other.axes[mu]] for mu in range(len(self.axes)))
        signs = tuple(self.signs[other.axes[mu]] * other.signs[mu] for mu in range(len(self.axes)))
        moved = self.linear_image(other.translation)
        translation = self.lattice.wrap(a + b for a, b in zip(moved, self.translation, strict=True))
        return SiteMap(self.lattice, axes, signs, translation, tuple(self.nodes[i] for i in other.nodes))

    @property
    def inverse(self) -> SiteMap:
        """The inverse map."""
        axes, signs = [0] * len(self.axes), [0] * len(self.axes)
        for mu, (axis, sign) in enumerate(zip(self.axes, self.signs, strict=True)):
            axes[axis], signs[axis] = mu, sign
        linear = SiteMap(self.lattice, tuple(axes), tuple(signs), (0,) * len(axes))
        moved = linear.linear_image(self.translation)
        nodes = [0] * len(self.nodes)
        for i, image in enumerate(self.nodes):
            nodes[image] = i
        back = self.lattice.wrap(-m for m in moved)
        return SiteMap(self.lattice, linear.axes, linear.signs, back, tuple(nodes))

    @property
    def is_identity(self) -> bool:
        """Whether every site stays where it is."""
        return self == SiteMap.identity(self.lattice)

    def __str__(self) -> str:
        images = [""] * len(self.axes)
        for mu, (axis, sign) in enumerate(zip(self.axes, self.signs, strict=True)):
            steps = self.translation[axis]
            images[axis] = f"{'-' if sign < 0 else ''}x{mu}{f'+{steps}' if steps else ''}"
        if isinstance(self.lattice, GraphLattice):
            names = self.lattice.nodes
            moved = [f"{names[i]}→{names[j]}" for i, j in enumerate(self.nodes) if i != j]
            images[-1] = f"nodes {', '.join(moved)}" if moved else images[-1]
        return f"x ↦ ({', '.join(images)})"


def _checked(lattice: Lattice) -> Lattice:
    if not isinstance(lattice, Lattice):
        raise LatticeError(
            "map of lattice sites",
            expected="a Lattice",
            found=shown(lattice),
            remedy="give the lattice of the fields as the first argument, e.g. Lattice(8, 8)",
        )
    return lattice


def _two_axes(lattice: Lattice, mu: int, nu: int, what: str) -> tuple[int, int]:
    mu, nu = _checked(lattice).axis(mu), lattice.axis(nu)
    if mu == nu or lattice.shape[mu] != lattice.shape[nu]:
        raise LatticeError(
            f"{what} of axes {mu} and {nu} of {lattice}",
            expected="two different axes of the same extent",
            found=f"axis {mu} of extent {lattice.shape[mu]} and axis {nu} of extent {lattice.shape[nu]}",
            remedy="use a lattice with equal extents, or leave this map out",
        )
    return mu, nu


def translation(lattice: Lattice, mu: int, steps: int = 1) -> SiteMap:
    """x ↦ x + steps·e_mu."""
    mu = _checked(lattice).axis(mu)
    whole = as_integer(steps)
    if whole is None:
        raise LatticeError(
            f"translation of {lattice} along axis {mu}",
            expected="an integer number of steps",
            found=shown(steps),
            remedy="translate by whole lattice spacings",
        )
    one = SiteMap.identity(lattice)
    return SiteMap(lattice, one.axes, one.signs, tuple(whole * (nu == mu) for nu in range(lattice.dimension)))


def rotation(lattice: Lattice, mu: int, nu: int) -> SiteMap:
    """The quarter turn about the origin with e_mu → e_nu → −e_mu; both axes must have the same extent."""
    mu, nu = _two_axes(lattice, mu, nu, "rotation")
    axes, signs = list(lattice.directions), [1] * lattice.dimension
    axes[mu], axes[nu], signs[nu] = nu, mu, -1
    return SiteMap(lattice, tuple(axes), tuple(signs), (0,) * lattice.dimension)


def reflection(lattice: Lattice, mu: int) -> SiteMap:
    """x_mu ↦ −x_mu."""
    mu = _checked(lattice).axis(mu)
    one = SiteMap.identity(lattice)
    return SiteMap(
        lattice, one.axes, tuple(-1 if nu == mu else 1 for nu in range(lattice.dimension)), one.translation
    )


def axis_exchange(lattice: Lattice, mu: int, nu: int) -> SiteMap:
    """x_mu ↔ x_nu; both axes must have the same extent."""
    mu, nu = _two_axes(lattice, mu, nu, "exchange")
    axes = list(lattice.directions)
    axes[mu], axes[nu] = nu, mu
    one = SiteMap.identity(lattice)
    return SiteMap(lattice, tuple(axes), one.signs, one.translation)


def node_permutation(lattice: GraphLattice, images: Mapping[Hashable, Hashable]) -> SiteMap:
    """The map of the sites that takes each node to ``images[node]``; nodes that are missing stay.

    It need not be an automorphism of the graph; the analysis decides whether the action is invariant.
    """
    if not isinstance(lattice, GraphLattice) or not isinstance(images, Mapping):
        raise LatticeError(
            "permutation of nodes",
            expected="a GraphLattice and a dictionary {node: image}",
            found=f"{lattice} and {images}",
            remedy="use translation, rotation, reflection or axis_exchange on a hypercubic lattice",
        )
    unknown = [node for node in (*images, *images.values()) if node not in lattice.nodes]
    whole = {node: images.get(node, node) for node in lattice.nodes}
    if unknown or len(set(whole.values())) < len(whole):
        raise LatticeError(
            f"permutation of the nodes of {lattice}",
            expected="every node of the lattice exactly once among the images",
            found=f"unknown nodes {unknown}" if unknown else f"images {list(whole.values())}",
            remedy="name nodes as lattice.nodes does",
        )
    one = SiteMap.identity(lattice)
    position = {node: i for i, node in enumerate(lattice.nodes)}
    return SiteMap(lattice, one.axes, one.signs, one.translation, tuple(position[n] for n in whole.values()))
