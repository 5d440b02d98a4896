"""Fields: named sets of components at every site, which are real numbers or angles.

A component at a relative site is one SymPy symbol, ``FieldComponent``; the other classes arrange these
symbols the way physicists write fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self, TypeVar, cast, overload

import sympy as sp

from .. import checks
from ..errors import FieldError, LatticeError, ParameterError
from ..values.manifolds import Manifold
from .lattice import AdjacencyPower, GraphLattice, Lattice

_MOST_COMPONENTS = 10_000
_C = TypeVar("_C", bound="FieldComponent")


def whole_steps(shifted: Any, mu: int, steps: Any) -> int:
    """The number of lattice spacings of a shift as an integer; raises FieldError for anything else."""
    whole = checks.as_integer(steps)
    if whole is None:
        raise FieldError(
            f"shift of {shifted} along axis {mu}",
            expected="an integer number of steps",
            found=checks.shown(steps),
            remedy="shift by whole lattice spacings",
        )
    return whole


class FieldComponent(sp.Symbol):
    """φ_a(x + offset): one real component of a field, seen from the running site x.

    On a graph lattice it may also be (Aᵏφ_a)(x + offset), the weighted sum over neighbours taken k times.

    Attributes
    ----------
    field : str
        Name of the field it belongs to.
    component : int
        Index of the component in the field.
    offset : tuple[int, ...]
        Relative site, wrapped into the lattice.
    lattice : Lattice
        The lattice the field lives on.
    hops : AdjacencyPower | None
        Aᵏ, None for the field itself.
    end : int
        1 or 2 for the field at one or the other end of a bond that is summed over, else 0.
    around : tuple[int, ...]
        Axes that a shift went around completely, back to the same site: a bond of a site to itself, which the
        analysis notes. The action of a theory has the component without this record (:attr:`in_place`).
    manifold : str
        ``"line"`` for a real number with the measure dφ, ``"circle"`` for an angle in (−π, π].
    """

    manifold: ClassVar[Manifold] = "line"
    field: str
    component: int
    offset: tuple[int, ...]
    lattice: Lattice
    label: str
    hops: AdjacencyPower | None
    around: tuple[int, ...]
    end: int

    def __new__(
        cls,
        field: str,
        component: int,
        label: str,
        lattice: Lattice,
        offset: tuple[int, ...],
        hops: AdjacencyPower | None = None,
        around: tuple[int, ...] = (),
        end: int = 0,
    ) -> FieldComponent:
        """Field, component and place: see the class."""
        offset = lattice.wrap(offset)
        steps = [
            o if 2 * o <= extent else o - extent for o, extent in zip(offset, lattice.shape, strict=True)
        ]
        shown = [s + lattice.shape[mu] * (mu in around) for mu, s in enumerate(steps)]
        moved = "".join(f"{step:+d}e{mu}" for mu, step in enumerate(shown) if step)
        # __xnew__ by-passes SymPy's symbol cache, which knows nothing of the attributes below.
        name = label if hops is None else f"({_adjacency_name(hops, lattice)} {label})"
        place = f"{'xxy'[end]}{moved}"
        self = sp.Symbol.__xnew__(cls, f"{name}({place})" if moved or end else name, real=True)
        self.field, self.component, self.label = field, component, label
        self.lattice, self.offset, self.hops, self.around, self.end = lattice, offset, hops, around, end
        return self

    def __reduce__(self) -> Any:
        place = (self.lattice, self.offset, self.hops, self.around, self.end)
        return _component, (type(self), self.field, self.component, self.label, *place)

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """The same key for all kinds of fields, so that SymPy sorts them together."""
        return 2, 0, FieldComponent.__name__

    def _hashable_content(self) -> tuple[Any, ...]:
        # the name contains the hops and the axes that were gone around
        place = (self.offset, self.end, self.lattice.shape, self.lattice.digest)
        return (self.name, self.field, self.component, *place)

    @property
    def on_bonds(self) -> bool:
        """Whether the component is at an end of a bond, and not at the running site."""
        return self.end > 0

    def shift(self, mu: int, steps: int = 1) -> Self:
        """The same component at x + steps·e_mu."""
        mu = self.lattice.axis(mu)
        steps = whole_steps(self, mu, steps)
        offset = tuple(o + steps * (nu == mu) for nu, o in enumerate(self.offset))
        around = self.around if steps == 0 or steps % self.lattice.shape[mu] else (*self.around, mu)
        around = tuple(sorted({*around}))
        return self._placed(offset, self.hops, around=around)

    @property
    def in_place(self) -> Self:
        """The same component, without the record of which axes were gone around to get there."""
        return self.at(self.offset)

    def at(self, offset: tuple[int, ...]) -> Self:
        """The same component at x + offset."""
        return self._placed(offset, self.hops)

    def placed_like(self, other: FieldComponent) -> Self:
        """The same component where ``other`` is: with its offset, its hops and its end of a bond."""
        return self._placed(other.offset, other.hops, other.end)

    def with_hops(self, hops: AdjacencyPower | None) -> Self:
        """The same component at the same place, with these hops instead of its own."""
        return self._placed(self.offset, hops)

    def at_end(self, end: int) -> Self:
        """The same component at an end of a bond, 1 or 2, or at the running site, 0."""
        return self._placed(self.offset, self.hops, end)

    def neighbours(self) -> Self:
        """Σ_y w_xy φ_y over the neighbours y of x on a graph lattice."""
        if not isinstance(self.lattice, GraphLattice):
            raise FieldError(
                f"neighbours of {self}",
                expected="a field on a GraphLattice",
                found=f"one on {self.lattice}",
                remedy="add up phi.shift(mu) and phi.shift(mu, -1) over lattice.directions",
            )
        steps = 1 if self.hops is None else self.hops.steps + 1
        return self._placed(self.offset, AdjacencyPower(steps, self.lattice.edges, len(self.lattice.nodes)))

    def _placed(
        self,
        offset: tuple[int, ...],
        hops: AdjacencyPower | None,
        end: int | None = None,
        around: tuple[int, ...] = (),
    ) -> Self:
        end = self.end if end is None else end
        place = (self.lattice, offset, hops, around, end)
        return _component(type(self), self.field, self.component, self.label, *place)

    @property
    def components(self) -> tuple[FieldComponent, ...]:
        """The component itself, as a field of one component."""
        return (self,)

    def _latex(self, printer: Any) -> str:
        body = printer._print_Symbol(sp.Symbol(self.label))
        if self.hops is not None:
            body = rf"({_adjacency_name(self.hops, self.lattice)}{body})"
        moved = self.name.rpartition("xxy"[self.end])[2][:-1].replace("e", r"\hat e_")
        elsewhere = any(self.offset) or self.end or self.around
        return body if not elsewhere else rf"{body}({'xxy'[self.end]}{moved})"


def _adjacency_name(hops: AdjacencyPower, lattice: Lattice) -> str:
    """A, A^2, …, with a mark on the adjacency of a graph whose nodes were renamed."""
    edges = getattr(lattice, "edges", ())
    mark = "" if hops.edges == edges else f"[{hashlib.sha256(repr(hops.edges).encode()).hexdigest()[:6]}]"
    return f"A{mark}" + (f"^{hops.steps}" if hops.steps > 1 else "")


def _component(kind: type[_C], *arguments: Any) -> _C:
    """A component of this class; the declarations of fields have constructors of their own."""
    return cast(_C, FieldComponent.__new__(kind, *arguments))


class ScalarField(FieldComponent):
    """A real scalar field φ(x), a SymPy symbol; :meth:`shift` gives φ(x + e_μ).

    Parameters
    ----------
    name
        Name of the field.
    lattice
        Where it lives.
    """

    def __new__(cls, name: str, lattice: Lattice) -> ScalarField:
        """The field at the running site."""
        name, lattice = checks.name(name, "field"), _on(name, lattice)
        return _component(cls, name, 0, name, lattice, (0,) * lattice.dimension)


class AngleField(FieldComponent):
    """An angle θ(x) in (−π, π] with the measure dθ, a SymPy symbol; :meth:`shift` gives θ(x + e_μ).

    Everything that is computed from it has to be 2π-periodic in θ at every site: cos(θ − θ.shift(0)),
    sin(2θ), products of these with other fields. A theory may have angles and real fields.

    Parameters
    ----------
    name
        Name of the field.
    lattice
        Where it lives.
    """

    manifold = "circle"

    def __new__(cls, name: str, lattice: Lattice) -> AngleField:
        """The angle at the running site."""
        name, lattice = checks.name(name, "field"), _on(name, lattice)
        return _component(cls, name, 0, name, lattice, (0,) * lattice.dimension)


def angles_in(expr: sp.Basic) -> list[FieldComponent]:
    """The angles of an expression, each place of a field for itself, in a fixed order."""
    return sorted((f for f in expr.atoms(FieldComponent) if f.manifold == "circle"), key=str)


def _on(name: str, lattice: Any) -> Lattice:
    """The lattice that a field is declared on; raises LatticeError for anything else."""
    if not isinstance(lattice, Lattice):
        raise LatticeError(
            f"field {name}",
            expected="a Lattice or a GraphLattice",
            found=checks.shown(lattice),
            remedy='declare the lattice first: ScalarField("phi", Lattice(8, 8))',
        )
    return lattice


class VectorField:
    """A field with N real components φ_0 … φ_{N−1} at every site.

    Parameters
    ----------
    name
        Name of the field; its components are called ``name_0``, ``name_1``, …
    lattice
        Where it lives.
    size
        Number of components N ≥ 1.
    """

    def __init__(self, name: str, lattice: Lattice, size: int) -> None:
        name, lattice = checks.name(name, "field"), _on(name, lattice)
        size = checks.integer(
            size,
            f"vector field {name}",
            what="a number of components",
            most=_MOST_COMPONENTS,
            error=FieldError,
            remedy="give the number of components as the third argument",
        )
        origin = (0,) * lattice.dimension
        self.name, self.lattice = name, lattice
        self.components = tuple(FieldComponent(name, a, f"{name}_{a}", lattice, origin) for a in range(size))

    @classmethod
    def _of(cls, name: str, components: tuple[FieldComponent, ...]) -> Any:
        self = cls.__new__(cls)
        self.name, self.lattice, self.components = name, components[0].lattice, components
        return self

    @overload
    def __getitem__(self, index: int) -> FieldComponent: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FieldComponent, ...]: ...
    def __getitem__(self, index: int | slice) -> FieldComponent | tuple[FieldComponent, ...]:
        if isinstance(index, slice):
            return self.components[index]
        whole = checks.as_integer(index)
        if whole is None or not -len(self) <= whole < len(self):
            raise FieldError(
                f"component {checks.shown(index)} of field {self.name}",
                expected=f"an index from 0 to {len(self) - 1}",
                found=checks.shown(index),
                remedy="components are counted from 0",
            )
        return self.components[whole]

    def __len__(self) -> int:
        return len(self.components)

    def __iter__(self) -> Iterator[FieldComponent]:
        return iter(self.components)

    def shift(self, mu: int, steps: int = 1):
        """The same field at x + steps·e_mu."""
        return self._of(self.name, tuple(component.shift(mu, steps) for component in self.components))

    def neighbours(self):
        """Σ_y w_xy φ_y over the neighbours y of x on a graph lattice."""
        return self._of(self.name, tuple(component.neighbours() for component in self.components))

    def dot(self, other: VectorField) -> sp.Expr:
        """Σ_a φ_a χ_a."""
        if len(field_components(f"dot product with {self.name}", other)) != len(self):
            raise FieldError(
                f"dot product with {self.name}",
                expected=f"a field with {len(self)} components",
                found=checks.shown(other),
                remedy="multiply fields of the same number of components",
            )
        return sp.Add(*(a * b for a, b in zip(self.components, other.components, strict=True)))

    @property
    def squared(self) -> sp.Expr:
        """Σ_a φ_a²."""
        return self.dot(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.lattice}, {len(self)})"


class ComplexField(VectorField):
    """A complex field φ = φ_re + i φ_im, held as two real components."""

    def __init__(self, name: str, lattice: Lattice) -> None:
        name, lattice = checks.name(name, "field"), _on(name, lattice)
        origin = (0,) * lattice.dimension
        self.name, self.lattice = name, lattice
        self.components = tuple(
            FieldComponent(name, a, f"{name}_{part}", lattice, origin) for a, part in enumerate(("re", "im"))
        )

    @property
    def re(self) -> FieldComponent:
        """Real part."""
        return self.components[0]

    @property
    def im(self) -> FieldComponent:
        """Imaginary part."""
        return self.components[1]

    @property
    def abs2(self) -> sp.Expr:
        """|φ|²."""
        return self.squared

    @property
    def value(self) -> sp.Expr:
        """φ as a complex SymPy expression."""
        return self.re + sp.I * self.im

    @property
    def conjugate(self) -> sp.Expr:
        """φ* as a complex SymPy expression."""
        return self.re - sp.I * self.im


Field = FieldComponent | VectorField
"""Anything that declares field components."""


def field_components(subject: str, fields: Any) -> tuple[FieldComponent, ...]:
    """All components of one field or of several; raises FieldError for anything else."""
    if isinstance(fields, Field):
        fields = (fields,)
    text = isinstance(fields, str | bytes)
    if text or not isinstance(fields, Sequence) or not all(isinstance(f, Field) for f in fields):
        raise FieldError(
            subject,
            expected="fields or components of fields",
            found=checks.shown(fields),
            remedy="give ScalarField, VectorField, ComplexField or their components, e.g. x[0]",
        )
    return tuple(component for field in fields for component in field.components)


class Parameter(sp.Symbol):
    """A real coupling whose value is given at run time."""

    def __new__(cls, name: str) -> Parameter:
        """The coupling of this name."""
        return super().__new__(cls, checks.name(name, "parameter"), real=True)

    def __getnewargs_ex__(self) -> Any:
        return (self.name,), {}


def parameters(names: str) -> Any:
    """Declare couplings: ``kappa, lam = parameters("kappa lambda")``; a single name gives a single symbol."""
    if not isinstance(names, str) or not names.replace(",", " ").split():
        raise ParameterError(
            "parameters",
            expected="one name or several in one text",
            found=checks.shown(names),
            remedy='write kappa, lam = parameters("kappa lambda")',
        )
    symbols = tuple(Parameter(name) for name in names.replace(",", " ").split())
    return symbols[0] if len(symbols) == 1 else symbols
