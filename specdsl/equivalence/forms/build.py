"""From the typed expression to its form: every operator by its own rule, what has none as an atom of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from specdsl.equivalence.forms.arrays import FormArrays, with_options
from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World, atom_form
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, Place, Slot, Var
from specdsl.equivalence.forms.opening import opened
from specdsl.equivalence.subject import Subject
from specdsl.folds import unrolled
from specdsl.ir import Apply, Choice, Factor, Fold, Given, Initial, Measured, Node, Part, Scalar, Site, topological
from specdsl.operators.registry import is_built_in
from specdsl.sizes import Size

MOST_UNROLLED = 16


class Builder:
    """Makes forms of one subject's expressions.

    Args:
        subject: the spec.
        world: shared by both specs of a question.
        decompose: whether W is written as `U @ diag(S) @ V`, because one of the specs reads its parts.
        resolve: puts what is known of sizes (`m = n`, `min(n, m) = n`) into a size.
    """

    def __init__(
        self,
        subject: Subject,
        world: World,
        decompose: bool = False,
        resolve: Callable[[Size], Size] = lambda size: size,
    ) -> None:
        self.subject = subject
        self.world = world
        self.decompose = decompose
        self.resolve = resolve
        self.forms = FormArrays(world)
        self._values: dict[Node, Form] = {}
        self._starting = False

    def size(self, size: Size) -> Size:
        return self.resolve(self.subject.size(size))

    def axes(self, shape: tuple[Size, ...]) -> tuple[Size, ...]:
        return tuple(map(self.size, shape))

    def form(self, root: Node) -> Form:
        """The form of an expression.

        Raises:
            NoForm: it has none.
        """
        for node in topological([root]):
            if node not in self._values and not self._is_hidden(node, root):
                self._values[node] = self._made(node)
        return self._values[root]

    def at_start(self, root: Node) -> Form:
        """The form of an expression with every trained factor at its start."""
        value = self.form(root)
        names = sorted(value.trained)
        return value.put({name: self.start(name) for name in names})

    def start(self, name: str) -> Form:
        """The start of a factor, without its axes of size 1; random draws stand for themselves."""
        factor = self.subject.ir.factors[name]
        axes = self.axes(factor.shape)
        if factor.start is None:
            raise NoForm(f"the index `{name}` is not given")
        value = self._start_value(name, factor.start, axes)
        if value.axes != axes:
            value = value * self.forms.full(axes, 1)
        return value

    def _start_value(self, name: str, start: Node, axes: tuple[Size, ...]) -> Form:
        if isinstance(start, Apply) and start.definition.draw is not None:
            return self._drawn(name, start, axes)
        return self.at_start(start)

    def _drawn(self, name: str, start: Apply, axes: tuple[Size, ...]) -> Form:
        seed = start.option("seed")
        kept = tuple(size for size in axes if size != ONE)
        label = "start" if seed is None else "draw"
        who = name if seed is None else f"{start.operator}({seed})"
        law = self.law(start)
        if seed is None or start.operator not in ("normal", "uniform", "kaiming"):
            return atom_form(Key(label, who, kept, law), axes, self.world)
        unit = atom_form(Key(label, who, kept, (start.operator, "")), axes, self.world)
        options = {key: self._option(value) for key, value in start.options}
        match start.operator:
            case "normal":
                return unit.scaled(Size.of(options.get("std", 1)))
            case "uniform":
                low, high = Size.of(options["low"]), Size.of(options["high"])
                return unit.scaled(high - low) + low
        fan = options.get("fan")
        rows = axes[-2] if len(axes) > 1 else axes[0] if axes else ONE
        return unit.scaled(Size.of(rows if fan is None else fan).power(Fraction(-1, 2)))

    def law(self, draw: Apply) -> tuple[str, ...]:
        """The law of a random value, as text: only draws of equal laws may be equal."""
        options = {name: self._option(value) for name, value in draw.options if name != "shape"}
        return (draw.operator, *with_options(options))

    def _is_hidden(self, node: Node, root: Node) -> bool:
        """Nodes whose value is never asked for: bodies of folds, what an `init` stands for."""
        return False if node is root else isinstance(node, Apply) and len(node.definition.outputs) > 1

    def _made(self, node: Node) -> Form:
        match node:
            case Site():
                return self._site(node)
            case Factor():
                return self._factor(node)
            case Scalar():
                return self._number(node)
            case Initial():
                return self.at_start(node.of)
            case Part():
                return self._part(node)
            case Choice():
                return self._choice(node)
            case Fold():
                return self._fold(node)
            case Apply():
                return self._apply(node)
            case Measured():
                arguments = tuple(self._values[child] for child in node.children)
                return self._opaque("measured", node.name, node, dict(node.options), arguments)
            case Given():
                axes = self.axes(node.shape)
                kept = tuple(size for size in axes if size != ONE)
                return atom_form(Key("site", f"{node.name} (given)", kept), axes, self.world)
        raise NoForm(f"a value of all modules ({type(node).__name__})")

    def _number(self, node: Scalar) -> Form:
        return self.forms.number(self.size(node.size))

    def _site(self, node: Site) -> Form:
        axes = self.axes(node.shape)
        if node.name == "W" and self.decompose:
            U, S, V = (self._base_part(index) for index in range(3))
            return (U * S) @ V
        return atom_form(Key("site", node.name, tuple(size for size in axes if size != ONE)), axes, self.world)

    def _base_part(self, index: int) -> Form:
        n, m = self.axes((Size.symbol("n"), Size.symbol("m")))
        k = self.size(Size.opaque("min", n, m))
        if self.world.at_most(n, m):
            k = n
        elif self.world.at_most(m, n):
            k = m
        if ONE in (n, m):
            raise NoForm("the singular value decomposition of a vector")
        axes = ((n, k), (k,), (k, m))[index]
        marks = {0: {0}, 1: set(), 2: {1}}[index]
        if index == 0 and k == n:
            marks = {0, 1}
        if index == 2 and k == m:
            marks = {0, 1}
        key = Key("part", "USV"[index], axes, orthonormal=frozenset(marks))
        return atom_form(key, axes, self.world)

    def _factor(self, node: Factor) -> Form:
        factor = self.subject.ir.factors[node.name]
        axes = self.axes(factor.shape)
        kept = tuple(size for size in axes if size != ONE)
        if factor.kind == "trained":
            marks: frozenset[int] = frozenset()
            if factor.orthonormal and len(kept) != 2:
                raise NoForm(f"`{node.name}` is orthonormal and no matrix")
            if factor.orthonormal:
                tall, wide = self.world.at_most(kept[1], kept[0]), self.world.at_most(kept[0], kept[1])
                marks = frozenset(([0] if tall else []) + ([1] if wide else []))
                if not marks:
                    raise NoForm(f"whether `{node.name}` is tall or wide is not known")
            return atom_form(Key("trained", node.name, kept, orthonormal=marks), axes, self.world)
        if factor.start is None:
            return atom_form(Key("frozen", node.name, kept), axes, self.world)
        if isinstance(factor.start, Apply) and factor.start.definition.draw is not None:
            if factor.start.option("seed") is not None:
                return self._drawn(node.name, factor.start, axes)
            return atom_form(Key("frozen", node.name, kept, self.law(factor.start)), axes, self.world)
        return self.start(node.name)

    def _part(self, node: Part) -> Form:
        of = node.of
        assert isinstance(of, Apply)
        (argument,) = (self._values[child] for child in of.children)
        if of.operator == "svd" and argument == self._site_form("W"):
            return self._base_part(node.index)
        axes = self.axes(node.shape)
        marks: frozenset[int] = frozenset()
        if len(axes) == 2 and (of.operator, node.index) in (("svd", 0), ("qr", 0), ("eigh", 1)):
            marks = frozenset({0})
        if (of.operator, node.index) == ("svd", 2):
            marks = frozenset({1})
        key = Key("operator", f"{of.operator}.{node.index}", axes, (), (argument,), marks)
        return atom_form(key, axes, self.world)

    def _site_form(self, name: str) -> Form:
        from specdsl.affine import W

        assert name == "W"
        if W not in self._values:
            self._values[W] = self._made(W)
        return self._values[W]

    def _choice(self, node: Choice) -> Form:
        condition = self.size(node.condition)
        if condition.constant is None:
            raise NoForm(f"a choice by `{condition}`")
        return self._values[node.yes if condition.constant else node.no]

    def _fold(self, node: Fold) -> Form:
        count = self.size(node.count)
        if count.constant is not None and count.constant <= MOST_UNROLLED:
            return self.form(unrolled(node, int(count.constant)))
        if node.kind != "sum":
            raise NoForm(f"a {node.kind} over {count} values")
        return _summed_over(self.form(node.body), node.index, count)

    def _apply(self, node: Apply) -> Form:
        if node.definition.draw is not None:
            raise NoForm(f"a draw inside an expression ({node.operator})")
        arguments = tuple(self._values[child] for child in node.children)
        options = {name: self._option(value) for name, value in node.options if name != "label"}
        rule = node.definition.form
        if rule is not None:
            try:
                found = (node.definition.value if rule == "value" else rule)(self.forms, *arguments, **options)
            except NoForm:
                found = None
            except (TypeError, ValueError, AttributeError, IndexError):
                if is_built_in(node.operator):
                    raise
                found = None
            if found is not None:
                return found if isinstance(found, Form) else self.forms.number(found)
        return self._opaque("operator", node.operator, node, options, arguments)

    def _option(self, value: Any) -> Any:
        if isinstance(value, Size):
            size = self.size(value)
            if size.constant is None:
                return size
            return int(size.constant) if size.constant.denominator == 1 else size.constant
        if isinstance(value, tuple):
            return tuple(self._option(one) for one in value)
        return value

    def _opaque(
        self, kind: str, name: str, node: Node, options: Mapping[str, Any], arguments: tuple[Form, ...]
    ) -> Form:
        axes = self.axes(node.shape)
        kept = tuple(size for size in axes if size != ONE)
        key = Key(kind, name, kept, with_options(options), arguments)
        if kept == axes:
            return opened(key, self.world)
        return atom_form(key, axes, self.world)


def _summed_over(body: Form, index: str, count: Size) -> Form:
    """The sum over an index that stands in the body as the place `index` of an axis."""
    symbol = Size.symbol(index)
    terms = []
    for term in body.fresh():
        if index in term.coefficient.symbols:
            raise NoForm(f"a sum over {index} with {index} as a number")
        running = Var(count)
        atoms = []
        for atom in term.atoms:
            if any(index in argument.token for argument in atom.key.arguments):
                raise NoForm(f"a sum over {index} inside `{atom.key.name}`")
            slots = tuple(_running(slot, symbol, running) for slot in atom.slots)
            atoms.append(Atom(atom.key, slots, atom.power))
        out = tuple(_running(slot, symbol, running) for slot in term.out)
        if any(place.var is running for slot in out for place in slot):
            raise NoForm("a sum over the places of its own value")
        changed = Term(term.coefficient, tuple(atoms), out)
        if running not in changed.vars:
            changed = Term(changed.coefficient * count, changed.atoms, changed.out)
        terms.append(changed)
    return Form.of(body.axes, terms, body.world)


def _running(slot: Slot, symbol: Size, running: Var) -> Slot:
    result = []
    for place in slot:
        if symbol.as_symbol in place.offset.symbols:
            if place.offset != symbol or place.var.size != ONE:
                raise NoForm("a place that is computed from the index of a sum")
            result.append(Place(running, ZERO))
        else:
            result.append(place)
    return tuple(result)
