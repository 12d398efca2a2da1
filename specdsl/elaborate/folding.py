"""Folds and stacks: `sum(E for i < k)`, `prod(E for i < k)`, `[E for i < k]`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from specdsl import tree
from specdsl.elaborate.reading import Reading
from specdsl.errors import SpecNameError, SpecShapeError, SpecSyntaxError
from specdsl.ir import Fold, Node, Scalar, interned
from specdsl.nodes import scalar
from specdsl.operators.registry import Shape
from specdsl.sizes import Size

FOLDS = ("sum", "prod")


class Folds(Reading):
    """Reads expressions that run over an index."""

    def _read_stack(self, syntax: tree.Stack) -> Node:
        return self._over("stack", syntax, syntax.body, syntax.eaches)

    def _read_fold(self, syntax: tree.Call) -> Node:
        if syntax.function not in FOLDS:
            raise SpecSyntaxError(
                f"`{syntax.function}(E for i < k)` is no fold", syntax.span,
                "sum and prod fold; `[E for i < k]` makes a stack",
            )  # fmt: skip
        return self._over(syntax.function, syntax, syntax.arguments[0], syntax.eaches)

    def _over(self, kind: str, syntax: tree.Expr, body: tree.Expr, eaches: Sequence[tree.Each]) -> Node:
        each, *inner = eaches
        name = each.name
        if name in self.names.known() or name in self.local:
            raise SpecNameError(f"`{name}` is taken and cannot count", each.span, "use another letter, as in `i < k`")
        count = self.size(each.count, f"the count of `{name}`")
        self.solver.span = each.span
        self.solver.whole(count, f"the count of `{name}`")
        before = self.local
        self.local = {**before, name: scalar(Size.symbol(name))}
        self.solver.indices[name] = count
        try:
            node = self._over(kind, syntax, body, inner) if inner else self._operand(body)
        finally:
            self.local = before
            del self.solver.indices[name]
        shape = self._folded_shape(kind, syntax, node, count)
        if any(name in size.symbols for size in shape):
            raise SpecShapeError(f"the shape of `{body.span.text}` depends on `{name}`", body.span)
        is_constant = kind == "sum" or count.constant is not None
        if isinstance(node, Scalar) and kind != "stack" and is_constant and name not in node.size.symbols:
            return scalar(node.size * count if kind == "sum" else node.size.power(Fraction(count.constant or 1)))
        return interned(Fold(shape, kind, name, count, node))

    def _folded_shape(self, kind: str, syntax: tree.Expr, node: Node, count: Size) -> Shape:
        if kind == "stack":
            return (count, *node.shape)
        if kind == "prod" and node.ndim:
            if node.ndim == 1:
                raise SpecShapeError(
                    f"`{syntax.span.text}`: a product over `i` multiplies square matrices, and this is a vector",
                    syntax.span,
                )
            self.solver.span = syntax.span
            self.solver.same(node.shape[-2], node.shape[-1], f"`{syntax.span.text}` multiplies square matrices")
        return node.shape
