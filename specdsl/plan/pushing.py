"""Factors on activations: `x @ (A@B)` as `(x@A)@B`, where that costs less than the matrix."""

from __future__ import annotations

from collections.abc import Sequence

from specdsl.affine import X
from specdsl.ir import Apply, Node, interned, reads, rebuilt, topological
from specdsl.nodes import apply, negated, scaled
from specdsl.plan.cost import CostModel
from specdsl.plan.forms import LayerTraits, Project, is_chain
from specdsl.plan.sums import sum_of


class Pusher:
    """Multiplies tokens by matrices in the cheaper way: by the parts of the matrix, or by the matrix once it is built.

    Args:
        costs: what decides.
        traits: the layer's type.
    """

    def __init__(self, costs: CostModel, traits: LayerTraits) -> None:
        self.costs = costs
        self.traits = traits
        self.sizes = costs.preparation.sizes

    def tokens(self, root: Node) -> Node:
        """An expression of tokens with every product of tokens and matrices pushed."""
        done: dict[Node, Node] = {}
        for node in topological([root]):
            if not (reads(node) & {"x", "y"}):
                done[node] = node
                continue
            children = tuple(done[child] for child in node.children)
            if is_chain(node):
                done[node] = self._chain(children[0], node.children[1:], None)
            elif isinstance(node, Apply) and node.operator == "scale" and is_chain(node.arguments[1]):
                chain = node.arguments[1].children
                done[node] = self._chain(done[chain[0]], chain[1:], node.arguments[0])
            elif isinstance(node, Apply) and node.operator == "add":
                done[node] = sum_of(children, node.shape)
            else:
                done[node] = rebuilt(node, children) if children else node
        return done[root]

    def push(self, tokens: Node, matrix: Node) -> Node:
        """`tokens @ matrix`, the matrix taken apart where that costs less than building it."""
        built = self._whole(tokens, matrix)
        taken_apart = self._taken_apart(tokens, matrix)
        if taken_apart is None:
            return built
        return min((taken_apart, built), key=lambda node: self.costs.of(node).flops)

    def _whole(self, tokens: Node, matrix: Node) -> Node:
        shape = (*tokens.shape[:-1], matrix.shape[-1])
        if tokens == X:
            return interned(Project(shape, matrix))
        return apply("matmul", (tokens, matrix), shape)

    def _taken_apart(self, tokens: Node, matrix: Node) -> Node | None:
        shape = (*tokens.shape[:-1], matrix.shape[-1])
        match matrix:
            case Apply(operator="add"):
                return sum_of([self.push(tokens, term) for term in matrix.arguments], shape)
            case Apply(operator="negative"):
                return negated(self.push(tokens, matrix.arguments[0]))
            case Apply(operator="scale"):
                return self._scaled(tokens, matrix)
            case Apply(operator="matmul"):
                value = tokens
                for operand in matrix.arguments:
                    value = self.push(value, operand)
                return value
            case Apply(operator="times" | "divide") if matrix.arguments[1].ndim == 1:
                inner = self.push(tokens, matrix.arguments[0])
                return apply(matrix.operator, (inner, matrix.arguments[1]), shape)
            case Apply(operator="kron") if self._is_at_hand(tokens):
                return self._between(tokens, matrix)
            case Apply(operator="transpose", arguments=(Apply(operator="kron", arguments=(A, B)),)):
                sides = [apply("transpose", (side,), side.shape[::-1]) for side in (A, B)]
                return self.push(tokens, apply("kron", sides, matrix.shape))
            case Apply(operator="put_rows", arguments=(base, places, rows)) if (
                tokens != X or self.traits.has_cheap_tokens
            ):
                return self._with_rows_put(tokens, base, places, rows)
            case Apply(operator="diag") if tokens != X or self.traits.has_cheap_tokens:
                return apply("times", (tokens, matrix.arguments[0]), shape)
        return None

    def _between(self, tokens: Node, matrix: Apply) -> Node:
        """`tokens @ kron(A, B, ...)` with each token as a matrix between two sides, split where that is cheapest."""
        sides = _kron_sides(matrix)
        shape = (*tokens.shape[:-1], matrix.shape[-1])
        pairs = [(_kron(sides[:place]), _kron(sides[place:])) for place in range(1, len(sides))]
        forms = [apply("times_kron", (tokens, left, right), shape) for left, right in pairs]
        return min(forms, key=lambda node: self.costs.of(node).flops)

    def _is_at_hand(self, tokens: Node) -> bool:
        """Whether tokens are an array that costs nothing to have."""
        return tokens != X or self.traits.has_cheap_tokens

    def _with_rows_put(self, tokens: Node, base: Node, places: Node, rows: Node) -> Node:
        """`W'[I, :] = P` as what the changed rows add: only the columns I of the tokens meet them."""
        shape = (*tokens.shape[:-1], base.shape[-1])
        taken = apply("columns", (tokens, places), (*tokens.shape[:-1], places.shape[0]))
        change = sum_of([rows, negated(apply("take", (base, places), rows.shape))], rows.shape)
        return sum_of([self.push(tokens, base), apply("matmul", (taken, change), shape)], shape)

    def _scaled(self, tokens: Node, matrix: Apply) -> Node:
        """`tokens @ (s * (A@B))` with the scale where the product is narrowest."""
        factor, body = matrix.arguments
        if isinstance(body, Apply) and body.operator == "matmul":
            return self._chain(tokens, body.arguments, factor)
        if isinstance(body, Apply) and body.operator == "kron":
            left, right = body.arguments
            return self.push(tokens, apply("kron", (scaled(factor, left), right), body.shape))
        return scaled(factor, self.push(tokens, body))

    def _chain(self, tokens: Node, operands: tuple[Node, ...], factor: Node | None) -> Node:
        """`tokens @ A @ B @ ...`, scaled where it is narrowest."""
        widths = [self.sizes.integer(operand.shape[-1]) for operand in operands]
        narrowest = widths.index(min(widths))
        value = tokens
        for position, operand in enumerate(operands):
            value = self.push(value, operand)
            if position == narrowest and factor is not None:
                value = scaled(factor, value)
        return value


def _kron_sides(node: Node) -> list[Node]:
    """The matrices of a Kronecker product, which groups as one likes."""
    if isinstance(node, Apply) and node.operator == "kron":
        return [side for argument in node.arguments for side in _kron_sides(argument)]
    return [node]


def _kron(sides: Sequence[Node]) -> Node:
    """The Kronecker product of several matrices."""
    product = sides[0]
    for side in sides[1:]:
        shape = (product.shape[0] * side.shape[0], product.shape[1] * side.shape[1])
        product = apply("kron", (product, side), shape)
    return product
