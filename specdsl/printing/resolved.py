"""The resolved spec: the same meaning with every factor, start and hyper-parameter written out."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from specdsl import tree
from specdsl.ir import Apply, Choice, FactorIR, Fold, Node, Scalar, SpecIR, topological
from specdsl.operators.registry import find_operator
from specdsl.printing.clause_order import is_definition, names_introduced, names_read, parts
from specdsl.printing.expression_text import expression_text
from specdsl.printing.size_syntax import size_syntax
from specdsl.printing.text import spec_text
from specdsl.sizes import Size
from specdsl.source import Source, Span

if TYPE_CHECKING:
    from specdsl.spec import Spec

_NOWHERE = Span(Source(""), 0, 0)


def resolved_text(spec: Spec) -> str:
    """The spec with a line for every factor (kind, shape, start) and for every hyper-parameter it uses.

    It parses to the same meaning; defaults that a later version might change are in it.

    >>> import specdsl
    >>> print(resolved_text(specdsl.parse("W + A@B | orth(A)")))
    r = 8
    A : n x r ~ kaiming(fan=n)
    B : r x m ~ zeros
    W' = W + A@B
    penalty orth(A)
    """
    brought = [clause for clause in spec.tree.clauses if _is_brought(spec, clause)]
    clauses = [*brought, *_Chain(spec).clauses()]
    for clause in spec.tree.clauses:
        if not isinstance(clause, tree.FactorLine) and not is_definition(clause):
            clauses.append(_resolved(spec, clause))
    return spec_text(tree.SpecTree(_NOWHERE, tuple(clauses)), keep_line=False)


def _is_brought(spec: Spec, line: tree.Clause) -> bool:
    """Whether a clause is the view of W, or a noise or input."""
    if not isinstance(line, tree.FactorLine):
        return False
    if line.shape is not None and line.shape is spec.clauses.view:
        return True
    return any(isinstance(name, tree.Name) and name.name in spec.ir.given for name in line.names)


def used_hyper_parameters(ir: SpecIR) -> set[str]:
    """The hyper-parameters that anything in the spec reads."""
    sizes = [size for condition in ir.conditions for size in (condition.left, condition.right)]
    for factor in ir.factors.values():
        sizes += [*factor.shape, *(key for key in factor.shared or () if isinstance(key, Size))]
    for given in ir.given.values():
        sizes += given.shape
    for event in ir.events:
        sizes += [event.number] if event.number is not None else []
    in_events = [value for event in ir.events for value in event.values]
    for node in topological([*ir.roots(), *ir.definitions.values(), *in_events]):
        sizes += _sizes_in(node)
    pending = {name for size in sizes for name in size.symbols}
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name in ir.hyper and name not in found:
            found.add(name)
            pending |= ir.hyper[name].value.symbols
    return found


def start_syntax(factor: FactorIR, written: tree.Expr | None) -> tree.Expr | None:
    """A factor's start as syntax: as it is written, else the default that it got."""
    start = factor.start
    if written is not None or start is None:
        return written
    if isinstance(start, Apply) and start.option("fan") is not None:
        fan = size_syntax(start.option("fan"))
        return tree.Call(_NOWHERE, start.operator, (), (("fan", fan),))
    if isinstance(start, Apply):
        return tree.Name(_NOWHERE, start.operator)
    text = expression_text(start)
    return tree.Number(_NOWHERE, Fraction(text), text)


def _sizes_in(node: Node) -> list[Size]:
    match node:
        case Scalar(size=size):
            return [size]
        case Choice(condition=size) | Fold(count=size):
            return [size]
        case Apply(options=options):
            return _sizes_of(options)
    return []


def _sizes_of(value: object) -> list[Size]:
    if isinstance(value, tuple):
        return [size for entry in value for size in _sizes_of(entry)]
    return [value] if isinstance(value, Size) else []


# ---------------------------------------------------------------------------------------------- clauses


def _hyper_parameters(spec: Spec) -> list[tree.Clause]:
    used = used_hyper_parameters(spec.ir)
    return [
        tree.Equation(_NOWHERE, (tree.Name(_NOWHERE, name),), (size_syntax(parameter.value),))
        for name, parameter in spec.ir.hyper.items()
        if name in used and name not in spec.clauses.definitions
    ]


class _Chain:
    """Definitions and factors, each after what it reads; otherwise factors in the order of the formula."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        written = [clause for clause in spec.tree.clauses if is_definition(clause)]
        self.definitions = {
            name: clause for clause in [*_hyper_parameters(spec), *written] for name in names_introduced(clause)
        }
        self.limited = {
            name
            for clause in spec.tree.clauses
            if isinstance(clause, tree.OnClause) and isinstance(clause.clause, tree.FactorLine)
            for name in names_introduced(clause)
        }
        self.found: list[tree.Clause] = []
        self.placed: set[str] = set()

    def clauses(self) -> list[tree.Clause]:
        factors = self.spec.ir.factors.keys()
        for name in [*(name for name in self.definitions if not self._reach(name) & factors), *factors]:
            self._place(name)
        for name in self.definitions:
            self._place(name)
        return self.found

    def _reach(self, name: str) -> set[str]:
        """Every name that a definition reads, directly or through others."""
        found: set[str] = set()
        pending = [name]
        while pending:
            clause = self.definitions.get(pending.pop())
            new = names_read(clause) - found if clause is not None else set()
            found |= new
            pending += new
        return found

    def _place(self, name: str) -> None:
        if name in self.placed:
            return
        written = self.definitions.get(name)
        self.placed |= {name} if written is None else names_introduced(written)
        clause = self._clause(name)
        if clause is not None:
            for read in sorted(names_read(clause)):
                self._place(read)
            self.found.append(clause)

    def _clause(self, name: str) -> tree.Clause | None:
        """The clause of a name; a factor of some modules alone keeps the line that it has."""
        if name in self.limited:
            return None
        if name in self.spec.ir.factors:
            declared = self.spec.clauses.factors.get(name)
            return _factor_line(self.spec.ir.factors[name], None if declared is None else declared[0])
        clause = self.definitions.get(name)
        return _as_set(self.spec, clause) if isinstance(clause, tree.Equation) else clause


def _as_set(spec: Spec, clause: tree.Equation) -> tree.Equation:
    """A definition with the values that were set from outside."""
    if len(clause.left) != len(clause.right):
        return clause
    right = [
        size_syntax(spec.ir.hyper[left.name].value)
        if isinstance(left, tree.Name) and left.name in spec.settings
        else value
        for left, value in zip(clause.left, clause.right, strict=True)
    ]
    return tree.Equation(clause.span, clause.left, tuple(right))


def _resolved(spec: Spec, clause: tree.Clause) -> tree.Clause:
    """A target or penalty with its clause word; other clauses as they are."""
    match clause:
        case tree.Bare(values=(value,)) if any(value is penalty for penalty in spec.clauses.penalties):
            return tree.Penalty(clause.span, value)
        case tree.Bare(values=(value,)) if not _draws(value):
            return tree.Equation(clause.span, (tree.Primed(_NOWHERE, next(iter(spec.ir.targets))),), (value,))
    return clause


def _draws(value: tree.Expr) -> bool:
    """Whether an expression draws at random; the draw of a bare expression has a name of its own."""
    names = [part.name if isinstance(part, tree.Name) else part.function for part in parts(value)
             if isinstance(part, tree.Name | tree.Call)]  # fmt: skip
    return any((operator := find_operator(name)) is not None and operator.draw is not None for name in names)


def _factor_line(factor: FactorIR, line: tree.FactorLine | None) -> tree.FactorLine:
    return tree.FactorLine(
        _NOWHERE,
        (tree.Name(_NOWHERE, factor.name),),
        () if line is None else line.kinds,
        line.shape if line is not None and line.shape is not None else _shape_syntax(factor),
        None,
        start_syntax(factor, None if line is None else line.start),
        () if line is None else line.attributes,
    )


def _shape_syntax(factor: FactorIR) -> tuple[tree.Expr, ...]:
    """The sizes of a factor; a vector of one entry is `(1)`, because `1` declares a number."""
    one = tree.Number(_NOWHERE, Fraction(1), "1")
    if not factor.shape:
        return (one,)
    sizes = tuple(size_syntax(size) for size in factor.shape)
    return (tree.Group(_NOWHERE, one),) if sizes == (one,) else sizes
