"""The syntax tree: what was written, with the place of every part. Plain data, closed unions, nothing resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from specdsl.source import Span


@dataclass(frozen=True)
class Syntax:
    """A part of a spec's text. Two parts are equal if they say the same, wherever they stand."""

    span: Span = field(compare=False, repr=False)


# ------------------------------------------------------------------------------------------ expressions


@dataclass(frozen=True)
class Number(Syntax):
    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True)
class Name(Syntax):
    name: str


@dataclass(frozen=True)
class Primed(Syntax):
    """`W'`, `b'`, `y'` or `x'`; `name` is without the prime."""

    name: str


@dataclass(frozen=True)
class Text(Syntax):
    value: str


@dataclass(frozen=True)
class Group(Syntax):
    """An expression in brackets, kept so that the printer gives back what was written."""

    body: Expr


@dataclass(frozen=True)
class Sum(Syntax):
    """`a + b - c`: `signs` holds `+` or `-` for every term but the first."""

    terms: tuple[Expr, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Product(Syntax):
    """`a @ b .* c`, from left to right: one operator fewer than operands."""

    operands: tuple[Expr, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Negative(Syntax):
    body: Expr


@dataclass(frozen=True)
class Power(Syntax):
    """`base ^ exponent`, or elementwise with the operator `.^`."""

    base: Expr
    operator: str
    exponent: Expr


@dataclass(frozen=True)
class Transpose(Syntax):
    body: Expr


@dataclass(frozen=True)
class Range(Syntax):
    """`start:stop:step` between square brackets."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True)
class Subscript(Syntax):
    body: Expr
    items: tuple[Expr | Range, ...]


@dataclass(frozen=True)
class Each(Syntax):
    """`for i < k`."""

    name: str
    count: Expr


@dataclass(frozen=True)
class Call(Syntax):
    function: str
    arguments: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...] = ()
    eaches: tuple[Each, ...] = ()


@dataclass(frozen=True)
class Block(Syntax):
    """`[A, B; C, D]`."""

    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True)
class Stack(Syntax):
    """`[E for i < k]`."""

    body: Expr
    eaches: tuple[Each, ...]


@dataclass(frozen=True)
class Compare(Syntax):
    left: Expr
    operator: str
    right: Expr


@dataclass(frozen=True)
class Choose(Syntax):
    """`yes if condition else no`."""

    yes: Expr
    condition: Expr
    no: Expr


Expr = (
    Number | Name | Primed | Text | Group | Sum | Product | Negative | Power | Transpose | Subscript
    | Call | Block | Stack | Compare | Choose
)  # fmt: skip

# ---------------------------------------------------------------------------------------------- clauses


@dataclass(frozen=True)
class Header(Syntax):
    key: str
    text: str


@dataclass(frozen=True)
class Item(Syntax):
    """One entry of `on` or `train`: a role, or a pattern for the whole module name."""

    text: str
    is_pattern: bool


@dataclass(frozen=True)
class On(Syntax):
    """`on ITEM, ... except ITEM, ... layers 0..5, 11`; a span of layers holds both its ends."""

    items: tuple[Item, ...]
    excluded: tuple[Item, ...] = ()
    layers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Train(Syntax):
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Penalty(Syntax):
    value: Expr


@dataclass(frozen=True)
class Bare(Syntax):
    """Expressions without a clause word: the target, or a penalty."""

    values: tuple[Expr, ...]


@dataclass(frozen=True)
class Equation(Syntax):
    left: tuple[Expr, ...]
    right: tuple[Expr, ...]


@dataclass(frozen=True)
class Kind(Syntax):
    """`frozen`, `index`, `noise`, `input` or `shared(keys)`."""

    word: str
    keys: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class Attribute(Syntax):
    name: str
    value: Expr | None = None


@dataclass(frozen=True)
class FactorLine(Syntax):
    """`[KIND...] A, B : SHAPE ~ START, ATTRIBUTE...`."""

    names: tuple[Expr, ...]
    kinds: tuple[Kind, ...] = ()
    shape: tuple[Expr, ...] | None = None
    each: Each | None = None
    start: Expr | None = None
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class Event(Syntax):
    name: str
    arguments: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class At(Syntax):
    event: Event
    clause: Clause


@dataclass(frozen=True)
class OnClause(Syntax):
    """`on ITEM, ...: CLAUSE`."""

    items: tuple[Item, ...]
    clause: Clause


Clause = Header | On | Train | Penalty | Bare | Equation | FactorLine | At | OnClause


@dataclass(frozen=True)
class SpecTree(Syntax):
    """A whole spec in the order of its text."""

    clauses: tuple[Clause, ...]


def children(node: Syntax) -> list[Syntax]:
    """The syntax nodes directly inside `node`, in reading order."""
    found: list[Syntax] = []

    def gather(value: object) -> None:
        if isinstance(value, Syntax):
            found.append(value)
        elif isinstance(value, tuple):
            for entry in value:
                gather(entry)

    for name in node.__dataclass_fields__:
        if name != "span":
            gather(getattr(node, name))
    return found
