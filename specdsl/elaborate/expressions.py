"""Syntax to typed expressions: names are looked up, operators applied, shapes checked as they meet."""

from __future__ import annotations

from specdsl import tree
from specdsl.elaborate.calls import Calls
from specdsl.elaborate.products import Products
from specdsl.elaborate.subscripts import Subscripts
from specdsl.errors import (
    SpecShapeError,
    SpecSyntaxError,
)
from specdsl.ir import Choice, Node, Scalar, interned
from specdsl.nodes import scalar
from specdsl.operators.registry import find_operator
from specdsl.sizes import Size


class Expressions(Products, Subscripts, Calls):
    """Turns syntax into nodes; see `Reading`."""

    def _read_number(self, syntax: tree.Number) -> Node:
        return scalar(Size.of(syntax.value))

    def _read_text(self, syntax: tree.Text) -> Node:
        raise SpecSyntaxError("a text in quotes is no value", syntax.span, "patterns belong to `on` and `train`")

    def _read_name(self, syntax: tree.Name) -> Node:
        if syntax.name in self.local:
            return self.local[syntax.name]
        operator = find_operator(syntax.name)
        if operator is not None and syntax.name not in self.names.known():
            if operator.is_start or operator.name == "eye":
                return self._call_operator(operator, tree.Call(syntax.span, syntax.name, ()))
            raise SpecSyntaxError(
                f"`{syntax.name}` is an operator and needs arguments", syntax.span, f"write `{syntax.name}(...)`"
            )
        return self.names.look_up(syntax.name, syntax.span)

    def _read_primed(self, syntax: tree.Primed) -> Node:
        return self.names.primed(syntax.name, syntax.span)

    def _read_group(self, syntax: tree.Group) -> Node:
        return self.read(syntax.body)

    def _read_compare(self, syntax: tree.Compare) -> Node:
        left = self.size(syntax.left, "a comparison")
        right = self.size(syntax.right, "a comparison")
        return scalar(Size.opaque(syntax.operator, left, right))

    def _read_choose(self, syntax: tree.Choose) -> Node:
        condition = self._operand(syntax.condition)
        if not isinstance(condition, Scalar):
            raise SpecShapeError("a condition compares sizes and hyper-parameters", syntax.condition.span)
        yes, no = self.read(syntax.yes), self.read(syntax.no)
        if isinstance(yes, Scalar) and isinstance(no, Scalar):
            return scalar(Size.opaque("if", condition.size, yes.size, no.size))
        if yes.ndim != no.ndim:
            raise SpecShapeError("the two sides of `if ... else` have different shapes", syntax.span)
        for left, right in zip(yes.shape, no.shape, strict=True):
            self.solver.span = syntax.span
            self.solver.same(left, right, "the two sides of `if ... else` have different shapes")
        if condition.size.constant is not None:
            return yes if condition.size.constant else no
        return interned(Choice(yes.shape, condition.size, yes, no))
