"""The typed intermediate representation: what a spec means, with every shape known.

An expression is a graph of a few closed kinds of node. Equal expressions are one object (hash-consing), so a pass
visits each subexpression once and facts are remembered per node. Operators are names into `specdsl.operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from specdsl.operators.registry import Operator, Shape, find_operator
from specdsl.sizes import Size, is_zero
from specdsl.source import Span

Options = tuple[tuple[str, Any], ...]

SITE_NAMES = ("W", "b", "x", "y")
"""The values of an adapted module that a spec reads: weight, bias, input, output."""


@dataclass(frozen=True)
class Node:
    """A value: every node has the symbolic `shape` of its array. Compare with `is` or `==`."""

    shape: Shape

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.__dataclass_fields__)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return self  # nothing in it changes, and copies of a model share it

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the hash, which is another one in another process.
        return _remade, (type(self), *(getattr(self, name) for name in self.__dataclass_fields__))

    @property
    def children(self) -> tuple[Node, ...]:
        return ()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @cached_property
    def written(self) -> int:
        """How many nodes the value has with every definition written out, so shared ones counted each time."""
        return 1 + sum(child.written for child in self.children)

    def over(self, children: tuple[Node, ...], shape: Shape) -> Node:
        """The same kind of node over other children; for kinds that a later stage adds."""
        raise AssertionError(f"{type(self).__name__} has no children")


@dataclass(frozen=True)
class Site(Node):
    """`W`, `b`, `x` or `y` of the adapted module."""

    name: str
    __hash__ = Node.__hash__


@dataclass(frozen=True)
class Factor(Node):
    """A factor of the spec, by name; `SpecIR.factors` says what it is."""

    name: str
    __hash__ = Node.__hash__


@dataclass(frozen=True)
class Given(Node):
    """A value that every forward pass brings anew, by name: a `noise` or an `input`; see `SpecIR.given`."""

    name: str
    __hash__ = Node.__hash__


@dataclass(frozen=True)
class Scalar(Node):
    """A number made of hyper-parameters and sizes, `alpha/r`."""

    size: Size
    __hash__ = Node.__hash__


@dataclass(frozen=True)
class Apply(Node):
    """An operator applied to arrays; `options` are its arguments that are no arrays, sizes still symbolic."""

    operator: str
    arguments: tuple[Node, ...]
    options: Options = ()
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments

    @property
    def definition(self) -> Operator:
        found = find_operator(self.operator)
        assert found is not None, self.operator
        return found

    def option(self, name: str, default: Any = None) -> Any:
        return dict(self.options).get(name, default)


@dataclass(frozen=True)
class Part(Node):
    """One of several values of an operator, `U` of `svd(W)`; `of.shape` is unused."""

    of: Node
    index: int
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.of,)


@dataclass(frozen=True)
class Initial(Node):
    """`init(E)`: the value of E at the start, a constant."""

    of: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.of,)


@dataclass(frozen=True)
class Layers(Node):
    """`layers(E)`: E in every adapted module, as a leading axis."""

    of: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.of,)


@dataclass(frozen=True)
class Choice(Node):
    """`yes if condition else no`, decided by sizes and hyper-parameters alone."""

    condition: Size
    yes: Node
    no: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.yes, self.no)


@dataclass(frozen=True)
class Fold(Node):
    """`sum(E for i < k)`, `prod(E for i < k)` or the stack `[E for i < k]`; `index` is a size inside `body` alone."""

    kind: str
    index: str
    count: Size
    body: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.body,)


@dataclass(frozen=True)
class Measured(Node):
    """What only the runtime knows: a statistic of data, a gradient, a running mean; see `specdsl.measures`."""

    name: str
    arguments: tuple[Node, ...]
    options: Options = ()
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(frozen=True)
class Ranked(Node):
    """`top(layers(E), k)[layer]`: 1 at the entries of E that are among the k largest of all modules, else 0."""

    of: Layers
    amount: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.of, self.amount)


N = TypeVar("N", bound=Node)
Found = TypeVar("Found")
_KNOWN: dict[Node, Node] = {}
_KNOWN_LIMIT = 200_000


def interned(node: N) -> N:
    """The one object that stands for `node`."""
    if len(_KNOWN) > _KNOWN_LIMIT:
        _KNOWN.clear()
    return _KNOWN.setdefault(node, node)  # type: ignore[return-value]


def _remade(kind: Callable[..., N], *fields: Any) -> N:
    return interned(kind(*fields))


def topological(roots: Iterable[Node]) -> list[Node]:
    """All nodes under `roots`, every node after its children; without recursion."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children) if child not in seen)
    return order


def rebuilt(node: Node, children: tuple[Node, ...], shape: Shape | None = None) -> Node:
    """`node` over other children (and another shape, if given)."""
    shape = node.shape if shape is None else shape
    match node:
        case Apply():
            made: Node = Apply(shape, node.operator, children, node.options)
        case Part():
            made = Part(shape, children[0], node.index)
        case Initial():
            made = Initial(shape, children[0])
        case Layers():
            made = Layers(shape, children[0])
        case Choice():
            made = Choice(shape, node.condition, children[0], children[1])
        case Fold():
            made = Fold(shape, node.kind, node.index, node.count, children[0])
        case Measured():
            made = Measured(shape, node.name, children, node.options)
        case Ranked():
            assert isinstance(children[0], Layers)
            made = Ranked(shape, children[0], children[1])
        case _:
            made = node.over(children, shape) if children else node
    return interned(made)


def transform(roots: Iterable[Node], change: Callable[[Node], Node]) -> dict[Node, Node]:
    """Every node under `roots` with `change` applied bottom-up; `change` sees nodes whose children are changed."""
    result: dict[Node, Node] = {}
    for node in topological(roots):
        children = tuple(result[child] for child in node.children)
        same = all(new is old for new, old in zip(children, node.children, strict=True))
        result[node] = change(node if same else rebuilt(node, children))
    return result


def bottom_up(root: Node, rule: Callable[[Node, Mapping[Node, Found]], Found]) -> Found:
    """What `rule` finds of `root`, given what it found of every node below; each node is asked once."""
    found: dict[Node, Found] = {}
    for node in topological([root]):
        found[node] = rule(node, found)
    return found[root]


def reads(node: Node) -> frozenset[str]:
    """What a value depends on: site names, factor names."""
    return _reads(node)


_READS: dict[Node, frozenset[str]] = {}


def _reads(root: Node) -> frozenset[str]:
    if root in _READS:
        return _READS[root]
    if len(_READS) > _KNOWN_LIMIT:
        _READS.clear()
    for node in topological([root]):
        if node not in _READS:
            own = {node.name} if isinstance(node, Site | Factor | Given) else set()
            _READS[node] = frozenset(own.union(*(_READS[child] for child in node.children)))
    return _READS[root]


# --------------------------------------------------------------------------------------------- the spec


@dataclass(frozen=True)
class FactorIR:
    """A factor: its shape, what kind it is, and where it starts.

    Attributes:
        kind: `trained`, `frozen` or `index`.
        shared: None for one per module, else the keys of sharing; `()` shares over the whole model.
        start: its value at the start, always stated here, for defaults too; None for an `index` given at attach.
        start_reason: why it starts there, for `explain`.
        shape_reason: where its shape comes from.
        orthonormal: whether a parametrisation keeps its columns (rows, if wide) orthonormal.
        lr, decay: multiples of the optimiser's learning rate and weight decay, or None.
        dtype: the name of its dtype, or None for float32.
    """

    name: str
    shape: Shape
    kind: str
    span: Span = field(compare=False)
    start: Node | None = None
    start_reason: str = ""
    shape_reason: str = ""
    shared: tuple[str | Size, ...] | None = None
    orthonormal: bool = False
    lr: float | None = None
    decay: float | None = None
    dtype: str | None = None

    @property
    def is_trained(self) -> bool:
        return self.kind == "trained"


@dataclass(frozen=True)
class GivenIR:
    """A value that a forward pass brings.

    Attributes:
        kind: `noise`, drawn anew in every training forward and at its mean in eval, or `input`, given at run time.
        start: of a noise its draw, of an input its default (None: it has to be given).
    """

    name: str
    shape: Shape
    kind: str
    span: Span = field(compare=False)
    start: Node | None = None
    shape_reason: str = ""

    @property
    def rest(self) -> Node | None:
        """The mean of a noise, the default of an input (None where there is none)."""
        start = self.start
        if start is None or isinstance(start, Scalar):
            return start
        assert isinstance(start, Apply)
        options = dict(start.options)
        if start.operator == "fill":
            number = start.arguments[0]
        else:
            mean = {
                "ones": Size.of(1),
                "uniform": (options.get("low", Size.of(0)) + options.get("high", Size.of(0))) / 2,
            }
            number = interned(Scalar((), mean.get(start.operator, Size.of(0))))
        kept = tuple(size for size in self.shape if size.as_symbol != "tokens")  # the same for every token
        return interned(Apply(kept, "fill", (number,), (("shape", kept),))) if kept else number


@dataclass(frozen=True)
class Condition:
    """A demand on the sizes of a module: `kind` is `equal`, `whole` or `at_most`."""

    kind: str
    left: Size
    right: Size
    why: str
    span: Span = field(compare=False)

    def __str__(self) -> str:
        match self.kind:
            case "equal":
                return f"{self.left} = {self.right}"
            case "whole":
                return f"{self.left} is a whole number"
            case _:
                return f"{self.left} <= {self.right}"

    def holds(self, environment: Mapping[str, Any], layers: Iterable[Mapping[str, Any]] | None = None) -> bool:
        """Whether the sizes of `environment` meet it."""
        left = self.left.value(environment, layers)
        match self.kind:
            case "equal":
                return is_zero(left - self.right.value(environment, layers))
            case "whole":
                return bool(left >= 1 and is_zero(left - round(left)))
            case _:
                above = left - self.right.value(environment, layers)
                return bool(above <= 0) or is_zero(above)


@dataclass(frozen=True)
class PenaltyIR:
    """A number added to the loss. `once`: it reads the whole model (`layers(..)`) and is added a single time."""

    text: str
    value: Node
    span: Span = field(compare=False)
    once: bool


@dataclass(frozen=True)
class EventIR:
    """`at EVENT: ASSIGNMENT`, checked.

    Attributes:
        event: `step`, `every`, `backward` or `round`, with its number where it has one.
        assigned: what is set: a factor by name, `grad(A)`, or a hyper-parameter.
        values: what each is set to.
        text: the clause as written.
    """

    event: str
    number: Size | None
    assigned: tuple[str, ...]
    values: tuple[Node, ...]
    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True)
class HyperParameter:
    """A number that can be set from outside; `value` may read other hyper-parameters.

    Where the runtime finds it (`r = allocate(layers(s), 8)[layer]`) that is `measured`, and `value` holds until then.
    """

    name: str
    value: Size
    span: Span | None = field(compare=False)
    is_default: bool = False
    measured: Node | None = None


@dataclass(frozen=True)
class SpecIR:
    """A whole spec, checked.

    Attributes:
        given: noise and inputs, which every forward pass brings.
        targets: the adapted values, `W'`, `b'`, `x'`, `y'` without the prime, in that order where given.
        factors: in the order of the formula.
        penalties, conditions, hyper: as their classes say.
        events: what is assigned while training.
        definitions: values of named definitions, for `explain`.
    """

    targets: dict[str, Node]
    factors: dict[str, FactorIR]
    penalties: tuple[PenaltyIR, ...]
    conditions: tuple[Condition, ...]
    hyper: dict[str, HyperParameter]
    definitions: dict[str, Node]
    starts_elsewhere: bool = False
    given: dict[str, GivenIR] = field(default_factory=dict)
    events: tuple[EventIR, ...] = ()

    def roots(self) -> Iterator[Node]:
        """Every expression of the spec."""
        yield from self.targets.values()
        yield from (penalty.value for penalty in self.penalties)
        yield from (factor.start for factor in self.factors.values() if factor.start is not None)
        yield from (given.start for given in self.given.values() if given.start is not None)

    def hyper_values(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The value of every hyper-parameter, with those of `given` put in their place."""
        values: dict[str, Any] = dict(given or {})

        def find(name: str) -> Any:
            if name not in values:
                size = self.hyper[name].value
                values[name] = size.value({inner: find(inner) for inner in size.symbols})
            return values[name]

        for name in self.hyper:
            find(name)
        return values


def joined(parts: Sequence[SpecIR]) -> SpecIR:
    """All that the parts of a spec hold between them; the targets are those of the first part that has one."""
    first, *others = parts
    targets, factors, hyper = dict(first.targets), dict(first.factors), dict(first.hyper)
    definitions, given = dict(first.definitions), dict(first.given)
    penalties = {penalty.text: penalty for penalty in first.penalties}
    conditions = {str(condition): condition for condition in first.conditions}
    events = {event.text: event for event in first.events}
    for part in others:
        targets = {**part.targets, **targets}
        factors |= {name: factor for name, factor in part.factors.items() if name not in factors}
        hyper |= {name: one for name, one in part.hyper.items() if name not in hyper or hyper[name].is_default}
        definitions = {**part.definitions, **definitions}
        given = {**part.given, **given}
        penalties = {penalty.text: penalty for penalty in part.penalties} | penalties
        conditions |= {str(condition): condition for condition in part.conditions}
        events = {event.text: event for event in part.events} | events
    return SpecIR(
        targets, factors, tuple(penalties.values()), tuple(conditions.values()), hyper, definitions,
        first.starts_elsewhere, given, tuple(events.values()),
    )  # fmt: skip
