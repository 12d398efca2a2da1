"""`at EVENT: ASSIGNMENT`: what a spec sets while it trains, checked like every other clause."""

from __future__ import annotations

from typing import Protocol

from specdsl import tree
from specdsl.elaborate.expressions import Expressions
from specdsl.elaborate.solver import shape_text
from specdsl.errors import SpecNameError, SpecShapeError, SpecSyntaxError, did_you_mean
from specdsl.ir import EventIR, Factor, Node, Scalar
from specdsl.measures import EVENTS
from specdsl.operators.registry import Shape
from specdsl.printing.syntax_text import SyntaxText
from specdsl.sizes import Size
from specdsl.source import Span

NUMBERED = {"every": True, "step": None, "backward": False, "round": False}
"""Whether an event has a number: `every(10)` must, `step(1000)` may."""


class Assigned(Protocol):
    """What may be assigned to."""

    def look_up(self, name: str, span: Span) -> Node: ...
    def known(self) -> list[str]: ...


class Events:
    """Reads the events of a spec in order; what one defines, later ones of the same event may read."""

    def __init__(self, expressions: Expressions, names: Assigned) -> None:
        self.expressions = expressions
        self.names = names
        self.defined: dict[str, dict[str, Node]] = {}

    def event(self, clause: tree.At) -> EventIR:
        """A checked event; one that only defines names assigns nothing."""
        name, number = clause.event.name, self._number(clause.event)
        inner = clause.clause
        if not isinstance(inner, tree.Equation):
            raise SpecSyntaxError(
                "an event assigns to factors", inner.span, "for example `at every(10): e = e .* top(e, 4)`"
            )
        local = self.defined.setdefault(name, {})
        if self._is_definition(inner):
            values = [self._value(inner.right[0], name, local, (place, len(inner.left))) for place in
                      range(len(inner.left))] if len(inner.right) < len(inner.left) else [
                      self._value(right, name, local) for right in inner.right]  # fmt: skip
            local.update({part.name: value for part, value in zip(inner.left, values, strict=True)
                          if isinstance(part, tree.Name)})  # fmt: skip
            kept = tuple(value for value in values if value.shape)
            return EventIR(name, number, (), kept, self._text(clause), clause.span)
        if len(inner.left) != len(inner.right):
            raise SpecSyntaxError(
                f"{len(inner.left)} names on the left and {len(inner.right)} values on the right", inner.span
            )
        assigned, values = [], []
        for left, right in zip(inner.left, inner.right, strict=True):
            target, shape = self._target(left, name)
            value = self._value(right, name, local)
            self._fit(left, shape, value, right)
            assigned.append(target)
            values.append(value)
        return EventIR(name, number, tuple(assigned), tuple(values), self._text(clause), clause.span)

    def _text(self, clause: tree.At) -> str:
        """The clause as it is printed, once its values were read: then it is known which `*` join matrices."""
        return SyntaxText(self.expressions.known_products()).clause(clause)

    def _number(self, event: tree.Event) -> Size | None:
        if event.name not in EVENTS:
            raise SpecNameError(
                f"there is no event `{event.name}`", event.span,
                did_you_mean(event.name, EVENTS) or f"events are {', '.join(EVENTS)}",
            )  # fmt: skip
        wanted = NUMBERED[event.name]
        if (wanted and len(event.arguments) != 1) or (wanted is False and event.arguments) or len(event.arguments) > 1:
            form = f"{event.name}(k)" if wanted else event.name
            raise SpecSyntaxError(f"the event is written `{form}`", event.span)
        return self.expressions.size(event.arguments[0], f"the number of `{event.name}`") if event.arguments else None

    def _is_definition(self, clause: tree.Equation) -> bool:
        """Whether new names are defined: none of them is known, as in `at round: U, S, V = svd(A)`."""
        known = set(self.names.known())
        names = [part.name for part in clause.left if isinstance(part, tree.Name)]
        return len(names) == len(clause.left) and len(names) > 1 and not (set(names) - {"_"}) & known

    def _target(self, left: tree.Expr, event: str) -> tuple[str, Shape]:
        match left:
            case tree.Call(function="grad", arguments=(tree.Name(name=name),)):
                if event != "backward":
                    raise SpecNameError("gradients are set `at backward`", left.span)
                return f"grad({name})", self._factor(name, left.span).shape
            case tree.Name(name=name):
                node = self.names.look_up(name, left.span) if name in self.names.known() else None
                if isinstance(node, Scalar):
                    return name, ()
                return name, self._factor(name, left.span).shape
        raise SpecSyntaxError(f"an event cannot assign `{left.span.text}`", left.span, "it assigns factors")

    def _factor(self, name: str, span: Span) -> Node:
        node = self.names.look_up(name, span)
        if not isinstance(node, Factor):
            raise SpecNameError(f"an event cannot assign `{name}`", span, "it assigns factors, never the base")
        return node

    def _value(
        self, syntax: tree.Expr, event: str, local: dict[str, Node], place: tuple[int, int] | None = None
    ) -> Node:
        reader = self.expressions
        reader.in_event = event
        try:
            if place is not None:
                return reader.unpack(syntax, *place, f"at {event}", local)
            return reader.value(syntax, f"at {event}", local=local)
        finally:
            reader.in_event = None

    def _fit(self, left: tree.Expr, shape: Shape, value: Node, syntax: tree.Expr) -> None:
        solver = self.expressions.solver
        found = solver.shape(value.shape)
        written = f"`{left.span.text}` is {shape_text(solver.shape(shape))}, but this is {shape_text(found)}"
        if len(found) != len(shape):
            raise SpecShapeError(written, syntax.span)
        solver.span = syntax.span
        for one, other in zip(shape, found, strict=True):
            solver.same(one, other, written)
