"""How expressions are read: one method for each kind of syntax, spread over the classes that build on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from specdsl import limits, tree
from specdsl.elaborate.solver import ShapeSolver, shape_text
from specdsl.errors import (
    SpecLimitError,
    SpecShapeError,
)
from specdsl.ir import Node, Scalar
from specdsl.operators.registry import Shape
from specdsl.sizes import Size
from specdsl.source import Span


class Names(Protocol):
    """Where an expression's names come from."""

    def look_up(self, name: str, span: Span) -> Node: ...
    def primed(self, name: str, span: Span) -> Node: ...
    def function(self, name: str) -> tuple[tuple[str, ...], tree.Expr] | None: ...
    def known(self) -> list[str]: ...
    def warn(self, message: str, span: Span) -> None: ...
    def undefined(self, size: Size) -> str | None:
        """Why a number has no value at the present hyper-parameters, or None."""
        ...


class Reading:
    """The state of reading expressions, and what every part of it uses.

    Args:
        names: what names mean.
        solver: collects what the shapes demand.
    """

    def __init__(self, names: Names, solver: ShapeSolver) -> None:
        self.names = names
        self.solver = solver
        self.local: dict[str, Node] = {}
        self.calls: list[str] = []
        self.expected: Shape | None = None
        self.label = ""
        self.draws = 0
        self.count = 0
        self.unpacked: tree.Expr | None = None
        self.places: dict[Node, Span] = {}  # of calls
        self.matrix_products: list[Span] = []  # the right sides of `*` between matrices, which print as `@`
        self.scalings: list[Span] = []

    def value(
        self, syntax: tree.Expr, label: str, expected: Shape | None = None, local: Mapping[str, Node] | None = None
    ) -> Node:
        """The node of an expression; `expected` is the shape it fills, `label` names its random draws."""
        before = (self.label, self.draws, self.expected, self.local, self.calls)
        self.label, self.draws, self.expected, self.local, self.calls = label, 0, expected, dict(local or {}), []
        try:
            return self.read(syntax)
        finally:
            self.label, self.draws, self.expected, self.local, self.calls = before

    def size(self, syntax: tree.Expr, what: str) -> Size:
        """A size or number: an expression of sizes and hyper-parameters only."""
        node = self.read(syntax)
        if not isinstance(node, Scalar):
            raise SpecShapeError(
                f"{what} has to be made of sizes and hyper-parameters, but `{syntax.span.text}` is "
                f"{_article(shape_text(self.solver.shape(node.shape)))}", syntax.span,
            )  # fmt: skip
        return node.size

    def known_products(self) -> tuple[Span, ...]:
        """The `*` that join matrices, wherever they were read, each by the span of its right side."""
        scalings = {id(span) for span in self.scalings}
        return tuple(span for span in self.matrix_products if id(span) not in scalings)

    def read(self, syntax: tree.Expr) -> Node:
        self.count += 1
        if self.count > limits.NODES:
            raise _too_many(limits.NODES, syntax)
        method: Callable[[Any], Node] = getattr(self, f"_read_{type(syntax).__name__.lower()}")
        try:
            node = method(syntax)
        except SpecLimitError as error:
            error.span = error.span or syntax.span
            raise
        if node.written > limits.WRITTEN:
            raise _too_many(limits.WRITTEN, syntax)
        self.solver.span = syntax.span
        if isinstance(syntax, tree.Call):
            self.places.setdefault(node, syntax.span)
        if isinstance(node, Scalar):
            self._refuse_undefined(node.size, syntax)
        return node

    def _refuse_undefined(self, size: Size, syntax: tree.Expr) -> None:
        """Numbers of hyper-parameters alone have a value now; `1/(r - 8)` at `r = 8` has none."""
        why = self.names.undefined(size)
        if why is not None:
            raise SpecShapeError(f"`{syntax.span.text}` has no value: {why}", syntax.span)

    @contextmanager
    def _without_expected(self) -> Iterator[None]:
        before, self.expected = self.expected, None
        try:
            yield
        finally:
            self.expected = before

    def _operand(self, syntax: tree.Expr) -> Node:
        with self._without_expected():
            return self.read(syntax)

    def size_of(self, node: Node, syntax: tree.Expr, what: str) -> Size:
        if not isinstance(node, Scalar):
            raise SpecShapeError(f"{what} is made of numbers, sizes and hyper-parameters", syntax.span)
        return node.size


def _too_many(limit: int, syntax: tree.Expr) -> SpecLimitError:
    return SpecLimitError(f"with its definitions written out the spec has more than {limit:,} parts", syntax.span)


def _article(text: str) -> str:
    return text if text.startswith("a ") else f"an array of shape {text}"
