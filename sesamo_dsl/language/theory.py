"""Theory: fields, couplings, action, symmetries and observables, as a physicist declares them."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import mpmath
import numpy as np
import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom

from .. import checks
from ..errors import FieldError, LatticeError, LoweringError, ParameterError, TheoryError
from ..groups.lie import LieSymmetry
from ..groups.rotations import AngleRotation
from ..groups.sitewise import Sitewise
from ..groups.symmetry import Symmetry
from ..symbols.bonds import WEIGHT, BondWeight
from ..symbols.exact import rational
from ..symbols.fermions import FermionLogDet, check_determinants
from ..symbols.fields import Field, FieldComponent, Parameter
from ..symbols.lattice import Functional, Lattice, SiteSum
from ..symbols.site_constants import SiteConstant, site_values
from ..values.couplings import Coupling, coupling_text, numbers_only
from ..values.manifolds import Manifold
from ..values.precision import Precision
from ..values.sheet import Line, Sheet, Table, row
from .angles import check_periodic
from .complex_parts import real_expression
from .derived import Derived, Formula
from .walls import check_walls


class Theory:
    """A lattice field theory with target density exp(−S)/Z over all field components.

    The measure is dφ over the real numbers for each real component at each site, and dθ over (−π, π] for each
    angle, so that log Z = log ∫ Π dφ Π dθ exp(−S).

    Parameters
    ----------
    name
        An identifier.
    fields
        All fields, on one lattice. Configurations stack their components in this order: arrays have shape
        (batch, components, *lattice).
    action
        Real expression built from ``lattice.sum(density)``. On a single site the sum may be left out.
    symmetries
        Groups to build into the sampler, exact or broken; the compiler decides which of the two they are.
    defaults
        Values for parameters, and arrays over the sites for site constants that were declared without values;
        couplings without a default have to be given at run time.
    observables
        Named real expressions of the same kind as the action.
    derived
        Named functions of expectation values: expressions in symbols called like the observables, such as
        ``m_squared - abs_m**2`` with ``m_squared, abs_m = sp.symbols("m_squared abs_m")``.
    notes
        Texts that a reader of any result must know; they are shown in the analysis and with all samples.
    precision
        Floating-point type of models compiled from this theory; default is float32, and float64 with fermion
        determinants, which need it. The attribute ``requested_precision`` keeps this argument.

    Raises
    ------
    TheoryError, LatticeError, FieldError, ParameterError
        If the declaration is not a theory; the message says what to change.
    """

    def __init__(
        self,
        name: str,
        *,
        fields: Sequence[Field],
        action: sp.Expr,
        symmetries: Sequence[Symmetry | Sitewise | LieSymmetry | AngleRotation] = (),
        defaults: Mapping[Any, Coupling] | None = None,
        observables: Mapping[str, sp.Expr] | None = None,
        derived: Mapping[str, sp.Expr] | None = None,
        notes: Sequence[str] = (),
        precision: Precision | None = None,
    ) -> None:
        self.name = checks.name(name, "theory")
        self.fields = self._check_list(fields, "fields", Field, "ScalarField, VectorField or ComplexField")
        self.components = self._collect_components()
        self.lattice: Lattice = self.components[0].lattice
        self.symmetries = self._check_list(
            symmetries,
            "symmetries",
            Symmetry | Sitewise | LieSymmetry | AngleRotation,
            "groups such as sd.Z2(phi)",
        )
        self.action = self._check_expression(action, "action")
        self.observables = {
            key: self._check_expression(value, f"observable {key}")
            for key, value in self._check_names(observables, "observable").items()
        }
        self.derived = {
            key: self._check_derived(value, key)
            for key, value in self._check_names(derived, "derived quantity", self.observables).items()
        }
        self.notes = self._check_list([notes] if isinstance(notes, str) else notes, "notes", str, "texts")
        if not (precision is None or (isinstance(precision, str) and precision in ("float32", "float64"))):
            raise TheoryError(
                f"theory {name}",
                expected="precision 'float32' or 'float64'",
                found=checks.shown(precision),
                remedy="choose one of the two",
            )
        if precision == "float32" and self.has_determinants:
            raise TheoryError(
                f"theory {name}",
                expected="precision 'float64': log det(1 + B_Nt … B_1) cancels many digits",
                found="precision='float32'",
                remedy="leave precision out",
            )
        self.requested_precision: Precision | None = precision
        self.precision: Precision = precision or ("float64" if self.has_determinants else "float32")
        self.parameters, self.site_constants = self._collect_parameters()
        self.defaults = self.checked_values({} if defaults is None else defaults)
        check_determinants(self.action, numbers_only(self.defaults), f"theory {name}")
        self._check_real(self.action, "action")
        for key, value in self.observables.items():
            self._check_real(value, f"observable {key}")

    def _check_list(self, values: Any, what: str, kind: Any, kinds: str) -> tuple[Any, ...]:
        several = isinstance(values, Sequence) and not isinstance(values, str | bytes)
        if not several or not all(isinstance(value, kind) for value in values):
            wrong = next((v for v in values if not isinstance(v, kind)), values) if several else values
            raise TheoryError(
                f"{what} of theory {self.name}",
                expected=f"a list of {kinds}",
                found=f"{type(wrong).__name__} {checks.shown(wrong)}",
                remedy=f"write {what}=[…]",
            )
        return tuple(values)

    def _check_names(
        self, declared: Any, what: str, others: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The declarations by their names in NFKC; raises TheoryError for a name that is taken."""
        if declared is not None and not isinstance(declared, Mapping):
            raise TheoryError(
                f"theory {self.name}",
                expected=f"a dictionary of expressions, one for each {what}",
                found=checks.shown(declared),
                remedy='write for instance {"m_squared": …}',
            )
        found: dict[str, Any] = {}
        for key, value in (declared or {}).items():
            name = checks.name(key, what)
            if name == "action" or name in found or name in (others or {}):
                raise TheoryError(
                    f"{what} {name} of theory {self.name}",
                    expected="a name of its own",
                    found="the name of the action" if name == "action" else "a name that is taken",
                    remedy=f"rename the {what}",
                )
            found[name] = value
        return found

    def _collect_components(self) -> tuple[FieldComponent, ...]:
        if not self.fields:
            raise TheoryError(
                f"theory {self.name}",
                expected="fields=[…] with at least one ScalarField, VectorField or ComplexField",
                found="none",
                remedy="list the fields the action is a function of",
            )
        components = tuple(c for field in self.fields for c in field.components)
        if len({c.label for c in components}) < len(components):
            raise FieldError(
                f"theory {self.name}",
                expected="distinct names for all field components",
                found=", ".join(c.label for c in components),
                remedy="rename one of the fields",
            )
        for component in components:
            if component.lattice != components[0].lattice:
                raise LatticeError(
                    f"theory {self.name}",
                    expected=f"all fields on {components[0].lattice}",
                    found=f"{component} on {component.lattice}",
                    remedy="declare all fields of a theory on the same lattice",
                )
            if any(component.offset) or component.hops is not None or component.end:
                raise FieldError(
                    f"theory {self.name}",
                    expected="fields at the running site",
                    found=str(component),
                    remedy="list the field itself, not a shifted one",
                )
        return components

    def _check_expression(self, expr: Any, what: str) -> sp.Expr:
        subject = f"{what} of theory {self.name}"
        if not isinstance(expr, sp.Expr):
            raise TheoryError(
                subject,
                expected="a SymPy expression",
                found=f"{type(expr).__name__}: {checks.shown(expr)}",
                remedy="build it from fields, parameters and lattice.sum(…)",
            )
        expr = rational(_evaluated(expr, subject))
        wound = {f: f.in_place for f in expr.atoms(FieldComponent) if f.around}
        if what == "action":
            self.wound_axes = tuple(sorted({mu for f in wound for mu in f.around}))
        expr = real_expression(expr.xreplace(wound), subject)
        check_walls(expr, subject)
        free = sorted(_outside_sums(expr), key=str)
        if free:
            if self.lattice.volume > 1:
                raise TheoryError(
                    subject,
                    expected="every field and site constant inside lattice.sum(…)",
                    found=f"{free[0]} at a free site",
                    remedy="sum the density over the sites: lattice.sum(…); what differs between sites is a "
                    'SiteConstant("h", lattice, array)',
                )
            expr = self.lattice.sum(_strip_sums(expr))
        for node in sorted(expr.atoms(SiteSum, FermionLogDet), key=str):
            nested = isinstance(node, SiteSum) and node.density.atoms(Functional)
            if node.lattice != self.lattice or nested:
                raise LatticeError(
                    subject,
                    expected=f"plain sums over {self.lattice}, and determinants of fields on it",
                    found=str(node),
                    remedy="use the lattice of the fields, and no sum inside a sum, nor a determinant",
                )
        for atom in sorted(expr.atoms(FieldComponent), key=str):
            if atom.at((0,) * self.lattice.dimension).with_hops(None).at_end(0) not in self.components:
                raise FieldError(
                    subject,
                    expected=f"fields among {', '.join(map(str, self.components))}",
                    found=str(atom),
                    remedy="list its field in Theory(fields=[…])",
                )
        for h in sorted(expr.atoms(SiteConstant), key=str):
            if h.lattice != self.lattice:  # in a determinant; sums have been checked
                raise LatticeError(
                    subject,
                    expected=f"site constants on {self.lattice}",
                    found=f"{h} on {h.lattice}",
                    remedy="declare it on the lattice of the fields",
                )
        check_periodic(expr, subject)
        for symbol in sorted(expr.free_symbols, key=str):
            if not isinstance(symbol, FieldComponent | Parameter | SiteConstant | BondWeight):
                raise ParameterError(
                    subject,
                    expected="only fields and declared couplings",
                    found=f"the symbol {symbol}",
                    remedy=f'declare it: {symbol} = parameters("{symbol}"), or '
                    f'{symbol} = SiteConstant("{symbol}", lattice, array) if it depends on the site',
                )
        return expr

    def _check_derived(self, expr: Any, name: str) -> Derived:
        symbols = sorted(expr.free_symbols, key=str) if isinstance(expr, sp.Expr) else []
        known = ("action", *self.observables)
        unknown = next((symbol for symbol in symbols if checks.spelling(str(symbol)) not in known), None)
        if not isinstance(expr, sp.Expr) or unknown is not None or not symbols:
            raise TheoryError(
                f"derived quantity {name} of theory {self.name}",
                expected=f"a SymPy expression in symbols among {', '.join(known)}",
                found=checks.shown(expr) if unknown is None else f"the symbol {unknown} in {expr}",
                remedy='name the observables: m2 = sympy.Symbol("m_squared")',
            )
        return Derived(Formula(expr), tuple(checks.spelling(str(symbol)) for symbol in symbols))

    def _collect_parameters(self) -> tuple[tuple[Parameter | SiteConstant, ...], tuple[SiteConstant, ...]]:
        """(couplings whose values come at run time, site constants with given values), by name."""
        expressions = (self.action, *self.observables.values())
        couplings = {h.base for expr in expressions for h in expr.atoms(SiteConstant)}
        couplings |= {symbol for expr in expressions for symbol in expr.atoms(Parameter)}
        ordered = sorted(couplings, key=lambda symbol: symbol.name)
        taken = {component.label for component in self.components}
        for symbol in ordered:
            if symbol.name in taken:
                raise ParameterError(
                    f"theory {self.name}",
                    expected="couplings named differently from fields and from each other",
                    found=f"{symbol.name} twice",
                    remedy="rename one of them",
                )
            taken.add(symbol.name)
        given = tuple(h for h in ordered if isinstance(h, SiteConstant) and h.values is not None)
        return tuple(symbol for symbol in ordered if symbol not in given), given

    def checked_values(self, values: Mapping[Any, Any]) -> dict[str, Coupling]:
        """The given values of couplings by name; ParameterError for unknown couplings and wrong values."""
        known = {p.name: p for p in self.parameters}
        given = {h.name for h in self.site_constants}
        if not isinstance(values, Mapping):
            raise ParameterError(
                f"parameters of theory {self.name}",
                expected="a dictionary of values",
                found=checks.shown(values),
                remedy="write for instance {'h': 0.1}",
            )
        checked: dict[str, Coupling] = {}
        for key, value in values.items():
            name = key.name if isinstance(key, Parameter) else checks.spelling(str(key))
            if name in checked:
                raise ParameterError(
                    f"parameter {name} of theory {self.name}",
                    expected="one value",
                    found="two, under a symbol and its name",
                    remedy="give it once",
                )
            if name not in known:
                raise ParameterError(
                    f"parameter {name} of theory {self.name}",
                    expected=f"one of: {', '.join(sorted(known)) or 'none, the theory has no parameters'}",
                    found=name,
                    remedy="declare the SiteConstant without values to give them at run time"
                    if name in given
                    else "check the spelling",
                )
            subject = f"parameter {name} of theory {self.name}"
            site_dependent = isinstance(known[name], SiteConstant)
            if site_dependent and isinstance(value, np.ndarray | list | tuple):
                checked[name] = site_values(value, self.lattice, subject)
                continue
            checked[name] = checks.real(
                value,
                subject,
                expected="a finite real number",
                least=-math.inf,
                error=ParameterError,
                remedy="give a number, or an array over the sites"
                if site_dependent
                else "give a number; what depends on the site is declared as SiteConstant",
            )
            if site_dependent:  # the same at every site
                checked[name] = site_values(np.full(self.lattice.shape, checked[name]), self.lattice, subject)
        return checked

    def parameter_values(self, overrides: Mapping[Any, Any] | None = None) -> dict[str, Coupling]:
        """All parameter values by name, defaults replaced by ``overrides``; raises ParameterError."""
        values = {**self.defaults, **self.checked_values({} if overrides is None else overrides)}
        check_determinants(self.action, numbers_only(values), f"theory {self.name}")
        missing = [p.name for p in self.parameters if p.name not in values]
        if missing:
            raise ParameterError(
                f"theory {self.name}",
                expected=f"a value for each of {', '.join(p.name for p in self.parameters)}",
                found=f"none for {', '.join(missing)}",
                remedy=f"pass parameters={{'{missing[0]}': …}} or give it a default",
            )
        return {p.name: values[p.name] for p in self.parameters}

    @property
    def angles(self) -> tuple[FieldComponent, ...]:
        """The components that are angles in (−π, π], with the measure dθ."""
        return tuple(c for c in self.components if c.manifold == "circle")

    @property
    def manifolds(self) -> tuple[Manifold, ...]:
        """``"line"`` or ``"circle"`` for each component; () if all of them are real numbers."""
        return tuple(c.manifold for c in self.components) if self.angles else ()

    @property
    def has_determinants(self) -> bool:
        """Whether action or observables contain fermion determinants."""
        return any(e.has(FermionLogDet) for e in (self.action, *self.observables.values()))

    @property
    def is_site_dependent(self) -> bool:
        """Whether couplings of the action differ from site to site."""
        return self.action.has(SiteConstant)

    @property
    def degrees_of_freedom(self) -> int:
        """n: number of real integration variables."""
        return len(self.components) * self.lattice.volume

    @property
    def configuration_shape(self) -> tuple[int, ...]:
        """Shape of one configuration, (components, *lattice)."""
        return (len(self.components), *self.lattice.shape)

    def _check_real(self, expr: sp.Expr, what: str) -> None:
        """Refute a complex or undefined expression at generic points (SymPy's assumptions decide little)."""
        sums = expr.atoms(SiteSum, FermionLogDet)
        parts = [part for node in sums for part in _summands(node)]
        parts.append(expr.xreplace({node: sp.Dummy(real=True) for node in sums}))
        for part in parts:
            symbols = sorted(part.free_symbols, key=str)
            for trial in range(3):
                point = {}
                for i, symbol in enumerate(symbols):
                    # irrational, of both signs for fields, in (0, 1) for parameters without a default
                    generic = mpmath.mpf((math.sqrt(2) + 1) * (7 * i + 3 * trial + 1) % 1)
                    coupling = isinstance(symbol, Parameter | SiteConstant)
                    point[symbol] = generic if coupling else 2 * (-1) ** (i + trial) * generic
                    if isinstance(symbol, SiteConstant):
                        known = self.defaults.get(symbol.coupling) if symbol.values is None else symbol.values
                        if known is not None:  # the least, the middle and the largest value
                            point[symbol] = mpmath.mpf(float(np.quantile(known, trial / 2, method="nearest")))
                    elif isinstance(symbol, Parameter) and symbol.name in self.defaults:
                        point[symbol] = mpmath.mpf(cast(float, self.defaults[symbol.name]))
                value = sp.N(part.xreplace(point))
                if value is sp.oo and part.has(sp.oo):
                    continue  # within a wall
                if not (value.is_number and value.is_finite and abs(sp.im(value)) < 1e-12 * (1 + abs(value))):
                    raise TheoryError(
                        f"{what} of theory {self.name}",
                        expected="a real number for every configuration",
                        found=f"{value} from {part} at { ({str(k): float(v) for k, v in point.items()}) }",
                        remedy="an action has to be real and finite; for |φ|² write phi.abs2 or Abs(…)",
                    )

    def held(self, values: Mapping[Any, Any]) -> Theory:
        """The theory with some couplings replaced by fixed values, so that it has fewer couplings.

        Raises ParameterError for unknown names and TheoryError where the action is not finite at the values.
        """
        checked = self.checked_values(values)
        if not checked:
            return self
        check_determinants(self.action, numbers_only({**self.defaults, **checked}), f"theory {self.name}")
        numbers: dict[sp.Basic, sp.Expr] = {
            p: sp.nsimplify(str(checked[p.name]), rational=True)
            for p in self.parameters
            if p.name in checked and isinstance(p, Parameter)
        }
        for expr in (self.action, *self.observables.values()):
            constants = expr.atoms(SiteConstant)
            numbers |= {h: h.held(checked[h.coupling]) for h in constants if h.coupling in checked}
        other = copy.copy(self)
        other.action = self.action.xreplace(cast(Any, numbers))
        other.observables = {
            name: value.xreplace(cast(Any, numbers)) for name, value in self.observables.items()
        }
        other.parameters, other.site_constants = other._collect_parameters()
        names = {p.name for p in other.parameters}
        other.defaults = {name: value for name, value in self.defaults.items() if name in names}
        other._check_real(other.action, "action")
        for name, value in other.observables.items():
            other._check_real(value, f"observable {name}")
        return other

    def with_action(self, action: sp.Expr) -> Theory:
        """The same theory with another action, for the compiler's own use: nothing is checked again."""
        other = copy.copy(self)
        other.action = action
        return other

    @property
    def sheet(self) -> Sheet:
        """The declaration."""
        from ..symbols.mathml import mathml  # parses XML, which few sessions need

        couplings = {p.name: self.defaults.get(p.name) for p in self.parameters}
        values = [
            f"{n} = {coupling_text(v)}" if v is not None else f"{n} without a default"
            for n, v in couplings.items()
        ]
        parts: list[Line | Table] = [
            row("lattice", f"{self.lattice}, {self.degrees_of_freedom} real degrees of freedom"),
            row("fields", ", ".join(component.label for component in self.components)),
            *([row("angles", _listed_angles(self.angles))] if self.angles else []),
            row("couplings", ", ".join([*values, *(f"{h.name}(x)" for h in self.site_constants)]) or "none"),
            row("symmetries", ", ".join(symmetry.name for symmetry in self.symmetries) or "none"),
            row("action", str(self.action), markup=mathml(self.action)),
        ]
        declared = [row(name, str(expr), markup=mathml(expr)) for name, expr in self.observables.items()]
        if declared:
            parts.append(Table("observables", tuple(declared)))
        return Sheet(f"Theory {self.name}", parts, notes=self.notes)

    def _repr_html_(self) -> str:
        return self.sheet.html()

    def _repr_latex_(self) -> str:
        from ..symbols.latex import latex

        return f"$\\displaystyle S = {latex(self.action)}$"

    def __repr__(self) -> str:
        return f"Theory({self.name!r}, {self.lattice}, n={self.degrees_of_freedom})"


def check_theory(value: Any) -> Theory:
    """The value if it is a theory; raises TheoryError for anything else."""
    if not isinstance(value, Theory):
        raise TheoryError(
            "theory",
            expected="a sesamo_dsl.Theory",
            found=f"{type(value).__name__} {checks.shown(value)}",
            remedy="declare one, or load it: load_theory('scalar_phi4')",
        )
    return value


_NO_FUNCTIONS = (sp.DiracDelta, sp.SingularityFunction, sp.Order, sp.AccumBounds)
_CONDITIONS = (Relational, BooleanAtom, sp.And, sp.Or, sp.Not, sp.Xor, sp.ITE)


def _evaluated(expr: sp.Expr, subject: str) -> sp.Expr:
    """The expression; raises LoweringError if a part of it has no number at a configuration.

    These parts are unevaluated derivatives, integrals, sums and limits, distributions, order terms, and
    conditions that compare no numbers.
    """
    for node in sp.preorder_traversal(expr):
        condition = isinstance(node, Boolean) and not isinstance(node, sp.Symbol)
        if isinstance(node, _NO_FUNCTIONS) or (condition and not isinstance(node, _CONDITIONS)):
            raise LoweringError(
                subject,
                expected="functions of the fields, with branches by <, ≤, >, ≥, =, ≠, And, Or and Not",
                found=f"{type(node).__name__}, which has no number at a configuration: {node}",
                remedy="write a function in its place, such as a narrow Gaussian for a DiracDelta, and "
                "conditions as inequalities",
            )
        if isinstance(node, sp.Derivative | sp.Subs | sp.Limit | ExprWithLimits):
            raise LoweringError(
                subject,
                expected="functions of the fields",
                found=f"{type(node).__name__}, not evaluated: {node}",
                remedy="evaluate it with .doit(), and write what comes out",
            )
    return expr


def _summands(node: SiteSum | FermionLogDet) -> list[sp.Expr]:
    """The summand of a sum, once for every weight of its bonds, or the field of a determinant."""
    if isinstance(node, FermionLogDet):
        return [node.field]
    if node.bonds is None or not node.density.has(WEIGHT):
        return [node.density]
    weights = dict.fromkeys(weight for *_, weight in node.bonds.bonds)
    return [node.density.xreplace({WEIGHT: weight}) for weight in weights]


def _listed_angles(angles: Sequence[FieldComponent]) -> str:
    return ", ".join(angle.label for angle in angles) + " in (−π, π], with the measure dθ"


def _outside_sums(expr: sp.Basic) -> set[FieldComponent | SiteConstant]:
    if isinstance(expr, Functional):
        return set()
    if isinstance(expr, FieldComponent | SiteConstant):
        return {expr}
    return set().union(*(_outside_sums(arg) for arg in expr.args)) if expr.args else set()


def _strip_sums(expr: sp.Expr) -> sp.Expr:
    return expr.replace(lambda e: isinstance(e, SiteSum), lambda e: e.density)
