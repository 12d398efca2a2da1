"""Sums, products, powers and transposition."""

from __future__ import annotations

from fractions import Fraction

from specdsl import limits, tree
from specdsl.elaborate.broadcasting import elementwise_shape, matmul_shape
from specdsl.elaborate.reading import Reading
from specdsl.elaborate.slips import TRANSPOSED
from specdsl.elaborate.solver import shape_text
from specdsl.errors import (
    SpecLimitError,
    SpecShapeError,
    SpecSyntaxError,
)
from specdsl.ir import Apply, Node, Scalar, topological
from specdsl.nodes import apply, divided, negated, numbers_in_front, scalar, scaled
from specdsl.operators.registry import Shape, find_operator
from specdsl.sizes import Size
from specdsl.source import Span


class Products(Reading):
    """Reads what the signs of the language join."""

    def _read_sum(self, syntax: tree.Sum) -> Node:
        nodes: list[Node] = []
        for position, term in enumerate(syntax.terms):
            node = self._operand(term)
            nodes.append(negated(node) if position and syntax.signs[position - 1] == "-" else node)
        if all(isinstance(node, Scalar) for node in nodes):
            total = Size.of(0)
            for node in nodes:
                assert isinstance(node, Scalar)
                total = total + node.size
            return scalar(total)
        self._warn_of_products_with_W(syntax)
        shape = nodes[0].shape
        for term, node in zip(syntax.terms[1:], nodes[1:], strict=True):
            self.solver.span = term.span
            shape = elementwise_shape(self.solver, "+", shape, node.shape, syntax.terms[0], term)
        return apply("add", nodes, shape)

    def _warn_of_products_with_W(self, syntax: tree.Sum) -> None:
        for term in syntax.terms:
            if isinstance(term, tree.Product) and "*" in term.operators and len(syntax.terms) > 1:
                for left, sign, right in zip(term.operands, term.operators, term.operands[1:], strict=False):
                    pair = [side.name for side in (left, right) if isinstance(side, tree.Name)]
                    if sign == "*" and len(pair) == 2 and "W" in pair and all(name.isupper() for name in pair):
                        self.names.warn(f"`{left.span.text}*{right.span.text}` is a matrix product; "
                                        "the elementwise product is `.*`", term.span)  # fmt: skip

    def _read_product(self, syntax: tree.Product) -> Node:
        self._refuse_unclear_chain(syntax)
        expected = self.expected
        node = self._factor_of(syntax.operands[0], expected)
        written = syntax.operands[0]
        for sign, operand in zip(syntax.operators, syntax.operands[1:], strict=True):
            right = self._factor_of(operand, expected)
            span = written.span.to(operand.span)
            self.solver.span = span
            node = self._multiply(sign, node, right, written, operand, span)
            written = tree.Group(span, operand)
        return node

    def _factor_of(self, syntax: tree.Expr, expected: Shape | None) -> Node:
        """A factor of a product; `0.1 * kaiming` passes on the shape that is to be filled."""
        inner = syntax
        while isinstance(inner, tree.Group):
            inner = inner.body
        name = inner.name if isinstance(inner, tree.Name) else inner.function if isinstance(inner, tree.Call) else ""
        operator = find_operator(name)
        if operator is not None and operator.is_start:
            before, self.expected = self.expected, expected
            try:
                return self.read(syntax)
            finally:
                self.expected = before
        return self._operand(syntax)

    def _refuse_unclear_chain(self, syntax: tree.Product) -> None:
        signs = syntax.operators
        for place, sign in enumerate(signs):
            if sign in (".*", "./") and "@" in signs[place + 1 :]:
                raise SpecSyntaxError(
                    f"`@` to the right of `{sign}` without brackets can be read two ways", syntax.span,
                    "write the brackets",
                )  # fmt: skip

    def _multiply(
        self, sign: str, left: Node, right: Node, left_syntax: tree.Expr, right_syntax: tree.Expr, span: Span
    ) -> Node:
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return scalar(self._size_product(sign, left.size, right.size, span))
        match sign:
            case "*":
                return self._star(left, right, left_syntax, right_syntax, span)
            case "@":
                return self._matmul(left, right, left_syntax, right_syntax)
            case "/":
                if right.ndim:
                    raise SpecShapeError(
                        f"`/` divides by a number, but `{right_syntax.span.text}` is "
                        f"{shape_text(self.solver.shape(right.shape))}", right_syntax.span,
                        "`./` divides entry by entry",
                    )  # fmt: skip
                return divided(left, self._divisor(right, right_syntax))
            case ".*" | "./":
                shape = elementwise_shape(self.solver, sign, left.shape, right.shape, left_syntax, right_syntax)
                if sign == "./":
                    return divided(left, self._divisor(right, right_syntax), shape)
                if isinstance(left, Scalar) or isinstance(right, Scalar):
                    return scaled(*((left, right) if isinstance(left, Scalar) else (right, left)))
                return apply("times", (left, right), shape)
            case _:
                raise SpecShapeError(f"`{sign}` is for sizes and hyper-parameters only", span)

    def _divisor(self, node: Node, syntax: tree.Expr) -> Node:
        if isinstance(node, Scalar) and not node.size.terms:
            raise SpecShapeError("division by zero", syntax.span)
        if isinstance(node, Scalar):
            self._refuse_undefined(Size.of(1) / node.size, syntax)
        return node

    def _size_product(self, sign: str, left: Size, right: Size, span: Span) -> Size:
        if sign in ("*", ".*", "@"):
            return left * right
        if not right.terms:
            raise SpecShapeError("division by zero", span)
        if sign in ("/", "./"):
            return left / right
        return left // right if sign == "//" else left % right

    def _star(self, left: Node, right: Node, left_syntax: tree.Expr, right_syntax: tree.Expr, span: Span) -> Node:
        if left.ndim == 0 or right.ndim == 0:
            self.scalings.append(right_syntax.span)
            return scaled(left, right) if left.ndim == 0 else scaled(right, left)
        if left.ndim == 1 and right.ndim == 1:
            raise SpecShapeError(
                f"`*` between two vectors, `{left_syntax.span.text}` and `{right_syntax.span.text}`, is unclear",
                span, "`u .* v` multiplies entry by entry, `outer(u, v)` gives a matrix",
            )  # fmt: skip
        if left.ndim == 1 and isinstance(left_syntax, tree.Name) and self._is_undeclared(left):
            name = left_syntax.name
            raise SpecShapeError(
                f"`{name}` is not declared, and a small letter times a matrix could be a number or a row", span,
                f"write `{name} = alpha/r` or `{name} : 1 ~ 1` for a number, `{name}@...` for a row",
            )  # fmt: skip
        self.matrix_products.append(right_syntax.span)
        return self._matmul(left, right, left_syntax, right_syntax)

    def _is_undeclared(self, node: Node) -> bool:
        return bool(getattr(self.names, "is_undeclared", lambda node: False)(node))

    def _matmul(self, left: Node, right: Node, left_syntax: tree.Expr, right_syntax: tree.Expr) -> Node:
        shape = matmul_shape(self.solver, left.shape, right.shape, left_syntax, right_syntax)
        factor, left, right = numbers_in_front(left, right)
        parts: list[Node] = []
        is_chain = isinstance(left, Apply) and left.operator == "matmul"
        again = is_chain and left in topological([right])  # `Z@Z.T` reads Z twice and computes it once
        parts += left.children if is_chain and not again else [left]
        product = apply("matmul", (*parts, right), shape)
        return product if factor is None else scaled(scalar(factor), product)

    def _read_negative(self, syntax: tree.Negative) -> Node:
        return negated(self.read(syntax.body))

    def _read_power(self, syntax: tree.Power) -> Node:
        base = self._operand(syntax.base)
        letter = syntax.exponent.name if isinstance(syntax.exponent, tree.Name) else ""
        if base.ndim and letter in ("T", "t", "H") and letter not in self.names.known():
            raise SpecSyntaxError(
                f"`{syntax.span.text}` is no power", syntax.span, TRANSPOSED.format(matrix=syntax.base.span.text)
            )
        exponent = self.size_of(self._operand(syntax.exponent), syntax.exponent, "an exponent")
        number = exponent.constant
        if number is not None and abs(number) > limits.EXPONENT:
            raise SpecLimitError(f"an exponent is at most {limits.EXPONENT}", syntax.exponent.span)
        if isinstance(base, Scalar):
            if not base.size.terms and (number is None or number <= 0):
                raise SpecShapeError("division by zero", syntax.span)
            return scalar(base.size.power(number) if number is not None else
                          Size.opaque("power", base.size, exponent))  # fmt: skip
        if syntax.operator == ".^" or base.ndim == 0:
            return apply("elpower", (base,), base.shape, exponent=exponent)
        return self._matrix_power(base, number, syntax)

    def _matrix_power(self, base: Node, number: Fraction | None, syntax: tree.Power) -> Node:
        if base.ndim == 1:
            raise SpecShapeError(
                f"`^` is for numbers and square matrices; `{syntax.base.span.text}` is a vector", syntax.span,
                "`.^` is the power of every entry",
            )  # fmt: skip
        if number is None or number.denominator != 1 or (number < 1 and number != -1):
            raise SpecShapeError(
                "the power of a matrix is -1 or a whole number from 1 on", syntax.exponent.span,
                "`.^` is the power of every entry",
            )  # fmt: skip
        self.solver.span = syntax.span
        self.solver.same(base.shape[-2], base.shape[-1], f"`{syntax.span.text}` needs a square matrix")
        if number == -1:
            return apply("inverse", (base,), base.shape)
        return base if number == 1 else apply("matpower", (base,), base.shape, exponent=Size.of(number))

    def _read_transpose(self, syntax: tree.Transpose) -> Node:
        node = self._operand(syntax.body)
        if node.ndim < 2:
            what = "a vector acts as a row" if node.ndim else "a number"
            raise SpecShapeError(
                f"`{syntax.span.text}`: {what} and has no transpose", syntax.span,
                "`outer(u, v)`, `diag(v)` or `.*` say what is meant",
            )  # fmt: skip
        shape = (*node.shape[:-2], node.shape[-1], node.shape[-2])
        if isinstance(node, Apply) and node.operator == "transpose":
            return node.arguments[0]
        return apply("transpose", (node,), shape)
