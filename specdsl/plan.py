"""How one module computes its adapted output: the step between algebra and code.

The output is rewritten so that factors act on activations where that is cheaper than building W', by a simple rule:
fewer floating-point operations over forward and backward, with the base weight's own product counted as given. The
result is printable (`str(plan)`), and nothing here touches torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from specdsl.affine import NotAffine, X, Y, adapted_weight, total
from specdsl.affine import W as BASE_WEIGHT
from specdsl.facts import facts_of, is_diagonal, is_zero
from specdsl.interpret import Sizes
from specdsl.ir import (
    Apply,
    Choice,
    Factor,
    Initial,
    Layers,
    Node,
    Scalar,
    Site,
    SpecIR,
    interned,
    reads,
    rebuilt,
    topological,
    transform,
)
from specdsl.nodes import apply, negated, scalar, scaled
from specdsl.operators.registry import Shape
from specdsl.printing.expression_text import expression_text
from specdsl.sizes import Size

TOKENS = 2048
"""The number of tokens a plan is made for."""

_VIEWS = frozenset({"slice", "transpose", "fill"})


@dataclass(frozen=True)
class Project(Node):
    """`x @ M` in the module's own way: a product, a convolution with kernel M, a gather of M's rows."""

    matrix: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.matrix,)

    def over(self, children: tuple[Node, ...], shape: Shape) -> Node:
        return Project(shape, children[0])


@dataclass(frozen=True)
class Through(Node):
    """The module's own operation with another weight and bias (None: without bias)."""

    weight: Node
    bias: Node | None
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    def over(self, children: tuple[Node, ...], shape: Shape) -> Node:
        return Through(shape, children[0], None if self.bias is None else children[1])


@dataclass(frozen=True)
class LayerTraits:
    """What planning has to know of a layer type.

    Attributes:
        kind: its name in reports.
        has_bias: whether the module has a bias.
        input_is_tokens: whether `x` exists as a tensor of tokens (not for an embedding; a convolution unfolds it).
        free_projection: whether `x @ M` costs no arithmetic (an embedding gathers rows).
        weight_is_diagonal: whether W is diagonal (a norm).
        unfolds: whether `x` as tokens repeats the input many times (a convolution), so that it is avoided.
    """

    kind: str
    has_bias: bool
    input_is_tokens: bool = True
    free_projection: bool = False
    weight_is_diagonal: bool = False
    unfolds: bool = False


@dataclass(frozen=True)
class Plan:
    """The chosen form of one module's output.

    Attributes:
        output: the expression that is computed, over `Project`, `Through`, `y`, factors and constants.
        constants: values computed once at attach and stored.
        flops: floating-point operations of a training step for `tokens` tokens, beyond the frozen layer's own.
        floor: those of the frozen layer with the gradient flowing to its input.
        saved: bytes kept for backward beyond the frozen layer's own, in float32.
        tokens: the number of tokens counted.
    """

    output: Node
    constants: tuple[Node, ...]
    flops: int
    floor: int
    saved: int
    tokens: int

    @cached_property
    def builds_weight(self) -> bool:
        """Whether activations meet a full `n x m` matrix that is built in every step, not one that is stored."""
        stored = {BASE_WEIGHT, *self.constants}
        return any(
            matrix.shape == BASE_WEIGHT.shape and matrix not in stored and not isinstance(matrix, Factor)
            for node in topological([self.output])
            for matrix in _matrices(node)
        )

    @property
    def order(self) -> str:
        """The computation as an expression."""
        return plan_text(self.output)

    def __str__(self) -> str:
        share = self.flops / self.floor if self.floor else 0.0
        lines = [
            f"y' = {self.order}",
            (
                f"{self.flops:,} FLOPs beyond the frozen layer's {self.floor:,} (+{share:.1%}) and "
                f"{self.saved:,} bytes saved for backward, for {self.tokens:,} tokens"
            ),
        ]
        if self.constants:
            lines.append("computed once: " + ", ".join(plan_text(node) for node in self.constants))
        return "\n".join(lines)


def plan_text(node: Node) -> str:
    """An expression of a plan as text: `x@A@B`, `layer(W')`."""
    named: dict[Node, Node] = {}
    for part in topological([node]):
        children = tuple(named[child] for child in part.children)
        match part:
            case Project():
                named[part] = apply("matmul", (X, children[0]), (X.shape[0], part.shape[-1]))
            case Through():
                inner = expression_text(children[0])
                named[part] = interned(Factor(part.shape, f"layer({inner})"))
            case _:
                named[part] = rebuilt(part, children) if children else part
    return expression_text(named[node])


def make_plan(ir: SpecIR, sizes: Sizes, traits: LayerTraits, tokens: int = TOKENS) -> Plan:
    """Choose how a module with these sizes computes the spec's output."""
    planner = _Planner(ir, sizes, traits, tokens)
    output = without_diagonals(planner.output())
    base = planner.frozen_cost()
    flops, saved = planner.total_cost(output)
    return Plan(output, planner.constants([output]), max(0, flops - base), base, saved, tokens)


def prepared_weight(ir: SpecIR, sizes: Sizes, traits: LayerTraits) -> dict[str, Node]:
    """`W'` and `b'` with the module's sizes decided; empty where the output is no weight.

    A module without bias stays without one where b' is zero, as `b .* l` is then.
    """
    try:
        weight = adapted_weight(ir)
    except NotAffine:
        return {}
    planner = _Planner(ir, sizes, traits, TOKENS)
    prepared = {name: without_diagonals(planner.prepared(node)) for name, node in weight.items()}
    if "b" in prepared and not traits.has_bias and is_zero(prepared["b"]):
        del prepared["b"]
    return prepared


def prepared_penalties(ir: SpecIR, sizes: Sizes, traits: LayerTraits) -> tuple[dict[str, Node], tuple[Node, ...]]:
    """The penalties in one module by their text, and what of them is computed once.

    Beside a penalty with `layers(...)` stand the expressions inside, as `TEXT [0]`, whose values are gathered from all
    modules; a list may read those before it.
    """
    planner = _Planner(ir, sizes, traits, TOKENS, lists_are_constant=False)
    found = {penalty.text: planner.prepared(penalty.value) for penalty in ir.penalties}
    lists = {
        f"{text} [{position}]": part.of
        for text, node in found.items()
        for position, part in enumerate(layer_lists(node))
    }
    return found | lists, planner.constants([*found.values(), *lists.values()])


def without_diagonals(root: Node) -> Node:
    """Products with `diag(v)` as scalings of rows or columns, so that no n x n array is built for them."""
    return transform([root], _scaled_by_diagonals)[root]


def _scaled_by_diagonals(node: Node) -> Node:
    if not (isinstance(node, Apply) and node.operator == "matmul"):
        return node
    if not any(map(_is_diag, node.arguments)) or len(node.arguments) < 2:
        return node
    parts: list[Node] = []
    pending: Node | None = None
    for operand in node.arguments:
        if _is_diag(operand) and parts:
            parts = [_joined(parts)]
            parts = [apply("times", (parts[0], operand.children[0]), parts[0].shape)]
        elif _is_diag(operand) and pending is None:
            pending = operand.children[0]
        elif _is_diag(operand):
            assert pending is not None
            pending = apply("times", (pending, operand.children[0]), pending.shape)
        else:
            if pending is not None:
                turned = apply("transpose", (operand,), operand.shape[::-1])
                scaled_rows = apply("times", (turned, pending), turned.shape)
                operand, pending = apply("transpose", (scaled_rows,), operand.shape), None
            parts.append(operand)
    if pending is not None:
        return apply("diag", (pending,), node.shape)
    return _joined(parts)


def _is_diag(node: Node) -> bool:
    return isinstance(node, Apply) and node.operator == "diag"


def _joined(parts: list[Node]) -> Node:
    if len(parts) == 1:
        return parts[0]
    return apply("matmul", parts, (*parts[0].shape[:-1], parts[-1].shape[-1]))


def layer_lists(root: Node) -> list[Layers]:
    """The `layers(...)` inside an expression, inner ones first."""
    return [node for node in topological([root]) if isinstance(node, Layers)]


class _Planner:
    def __init__(
        self, ir: SpecIR, sizes: Sizes, traits: LayerTraits, tokens: int, lists_are_constant: bool = True
    ) -> None:
        self.ir = ir
        self.lists_are_constant = lists_are_constant
        self.sizes = Sizes({**sizes.values, "tokens": tokens}, sizes.layers)
        self.traits = traits
        self.tokens = tokens
        self.trained = {factor.name for factor in ir.factors.values() if factor.is_trained}
        targets = ir.targets
        if "x" in targets and not self._has_cheap_tokens and facts_of(ir).mergeable:
            targets = adapted_weight(ir)  # x is not at hand as an array of tokens, so x' is read as a weight
        self.targets = {name: self.prepared(node) for name, node in targets.items()}

    # ------------------------------------------------------------------------------------- preparation

    def prepared(self, root: Node) -> Node:
        """Sizes decided, the absent bias put to zero, `init(...)` moved to the factors."""
        return transform([root], self._simplified)[root]

    def _simplified(self, node: Node) -> Node:
        match node:
            case Choice():
                return node.yes if self.sizes.number(node.condition) else node.no
            case Site(name="b") if not self.traits.has_bias:
                return apply("zeros", (), node.shape, shape=node.shape)
            case Initial():
                return self._initial(node.of)
            case Apply(operator="add"):
                return _sum(node.arguments, node.shape)
            case Apply(operator="scale", arguments=(Scalar() as factor, body)):
                return body if self.sizes.number(factor.size) == 1 else node
        return node

    def _initial(self, node: Node) -> Node:
        """`init(A@B)` as `init(A)@init(B)`, which needs no n x m array."""
        if isinstance(node, Apply) and node.operator in ("matmul", "add", "negative", "scale") and node.ndim == 2:
            parts = tuple(self._initial(child) for child in node.arguments)
            return rebuilt(node, parts)
        if isinstance(node, Scalar | Initial) or not (reads(node) & self.trained):
            return node
        return interned(Initial(node.shape, node))

    # ------------------------------------------------------------------------------------------ output

    def output(self) -> Node:
        """The cheapest of the forms that are equal to the spec's output."""
        if "y" in self.targets:
            return _with_base_output(self._tokens(self.targets["y"]), self.traits.has_bias)
        weight = self.targets.get("W", BASE_WEIGHT)
        bias = self._bias()
        if "x" in self.targets:
            pushed = self.push(self._tokens(self.targets["x"]), weight)
            return pushed if bias is None else total(pushed, bias)
        if weight == BASE_WEIGHT and bias is not None and "b" in self.targets:
            return self._bias_only(bias)
        if self.traits.weight_is_diagonal and is_diagonal(weight, True):
            return self._diagonal(weight, bias)
        pushed = self.push(X, weight)
        split = _with_base_output(pushed if bias is None else total(pushed, bias), self.traits.has_bias)
        if self.traits.weight_is_diagonal:
            return split  # a norm cannot run with a full matrix
        whole = interned(Through(Y.shape, weight, bias))
        return min((split, whole), key=lambda node: self.total_cost(node)[0])

    def _bias(self) -> Node | None:
        if "b" in self.targets:
            return self.targets["b"]
        return Site((Y.shape[1],), "b") if self.traits.has_bias else None

    def _bias_only(self, bias: Node) -> Node:
        """`b' = b + d`: the layer with another bias, at no cost."""
        return interned(Through(Y.shape, BASE_WEIGHT, bias))

    def _diagonal(self, weight: Node, bias: Node | None) -> Node:
        """A norm's weight stays a vector: the row of ones times a diagonal matrix."""
        ones = apply("ones", (), (X.shape[1],), shape=(X.shape[1],))
        return interned(Through(Y.shape, self._row(ones, weight), bias))

    def _row(self, row: Node, matrix: Node) -> Node:
        match matrix:
            case Site():
                return _times_ones(row, interned(Site((X.shape[1],), "w")))
            case Apply(operator="diag"):
                return _times_ones(row, matrix.arguments[0])
            case Apply(operator="matmul"):
                for operand in matrix.arguments:
                    row = self._row(row, operand)
                return row
            case Apply(operator="add"):
                return apply("add", [self._row(row, term) for term in matrix.arguments], row.shape)
            case Apply(operator="scale"):
                return scaled(matrix.arguments[0], self._row(row, matrix.arguments[1]))
            case Apply(operator="negative"):
                return negated(self._row(row, matrix.arguments[0]))
            case Apply(operator="times" | "divide") if matrix.arguments[1].ndim == 1:
                inner = self._row(row, matrix.arguments[0])
                return apply(matrix.operator, (inner, matrix.arguments[1]), row.shape)
        return apply("matmul", (row, matrix), row.shape)

    def _tokens(self, root: Node) -> Node:
        """An expression of tokens with every product of tokens and matrices pushed."""
        done: dict[Node, Node] = {}
        for node in topological([root]):
            if not (reads(node) & {"x", "y"}):
                done[node] = node
                continue
            children = tuple(done[child] for child in node.children)
            if _is_chain(node):
                done[node] = self._pushed_chain(children[0], node.children[1:], None)
            elif isinstance(node, Apply) and node.operator == "scale" and _is_chain(node.arguments[1]):
                chain = node.arguments[1].children
                done[node] = self._pushed_chain(done[chain[0]], chain[1:], node.arguments[0])
            elif isinstance(node, Apply) and node.operator == "add":
                done[node] = _sum(children, node.shape)
            else:
                done[node] = rebuilt(node, children) if children else node
        return done[root]

    def push(self, tokens: Node, matrix: Node) -> Node:
        """`tokens @ matrix`, the matrix taken apart where that costs less than building it."""
        built = self._joined(tokens, matrix)
        taken_apart = self._taken_apart(tokens, matrix)
        if taken_apart is None:
            return built
        return min((taken_apart, built), key=lambda node: self.total_cost(node)[0])

    def _joined(self, tokens: Node, matrix: Node) -> Node:
        shape = (*tokens.shape[:-1], matrix.shape[-1])
        if tokens == X:
            return interned(Project(shape, matrix))
        return apply("matmul", (tokens, matrix), shape)

    def _taken_apart(self, tokens: Node, matrix: Node) -> Node | None:
        shape = (*tokens.shape[:-1], matrix.shape[-1])
        match matrix:
            case Apply(operator="add"):
                return _sum([self.push(tokens, term) for term in matrix.arguments], shape)
            case Apply(operator="negative"):
                return negated(self.push(tokens, matrix.arguments[0]))
            case Apply(operator="scale"):
                return self._scaled_push(tokens, matrix)
            case Apply(operator="matmul"):
                value = tokens
                for operand in matrix.arguments:
                    value = self.push(value, operand)
                return value
            case Apply(operator="times" | "divide") if matrix.arguments[1].ndim == 1:
                inner = self.push(tokens, matrix.arguments[0])
                return apply(matrix.operator, (inner, matrix.arguments[1]), shape)
            case Apply(operator="diag") if tokens != X or self._has_cheap_tokens:
                return apply("times", (tokens, matrix.arguments[0]), shape)
        return None

    @property
    def _has_cheap_tokens(self) -> bool:
        return self.traits.input_is_tokens and not self.traits.unfolds

    def _scaled_push(self, tokens: Node, matrix: Apply) -> Node:
        """`tokens @ (s * (A@B))` with the scale where the product is narrowest."""
        factor, body = matrix.arguments
        if isinstance(body, Apply) and body.operator == "matmul":
            return self._pushed_chain(tokens, body.arguments, factor)
        return scaled(factor, self.push(tokens, body))

    def _pushed_chain(self, tokens: Node, operands: tuple[Node, ...], factor: Node | None) -> Node:
        """`tokens @ A @ B @ ...`, scaled where it is narrowest."""
        widths = [self.sizes.integer(operand.shape[-1]) for operand in operands]
        narrowest = widths.index(min(widths))
        value = tokens
        for position, operand in enumerate(operands):
            value = self.push(value, operand)
            if position == narrowest and factor is not None:
                value = scaled(factor, value)
        return value

    # -------------------------------------------------------------------------------------------- cost

    def frozen_cost(self) -> int:
        """Operations of the frozen layer: forward, and the gradient of its input."""
        if self.traits.free_projection:
            return 0
        if self.traits.weight_is_diagonal:
            return 2 * self.tokens * self._number(X.shape[1])
        return 4 * self.tokens * self._number(X.shape[1]) * self._number(Y.shape[1])

    def total_cost(self, root: Node) -> tuple[int, int]:
        """Operations over forward and backward, and bytes saved, of an expression."""
        constants = set(self.constants([root]))
        flops, saved = 0, set[Node]()
        for node in self._live([root], constants):
            flops += self._flops(node)
            saved |= self._saved(node)
        return flops, 4 * sum(self._entries(node) for node in saved)

    def _live(self, roots: Iterable[Node], constants: set[Node]) -> list[Node]:
        order: list[Node] = []
        seen = set(constants)
        stack = [(root, False) for root in roots]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((child, False) for child in node.children)
        return order

    def _number(self, size: Size) -> int:
        number = self.sizes.number(size)
        return max(1, int(number + 0.5))

    def _entries(self, node: Node) -> int:
        product = 1
        for size in node.shape:
            product *= self._number(size)
        return product

    def _learns(self, node: Node) -> bool:
        """Whether a gradient flows into the node: it reads a trained factor or tokens."""
        return bool(reads(node) & (self.trained | {"x", "y"})) or isinstance(node, Project | Through)

    def _flops(self, node: Node) -> int:
        match node:
            case Site(name="y"):
                return self.frozen_cost()
            case Project():
                if self.traits.free_projection:
                    return self._entries(node)
                product = 2 * self.tokens * self._number(X.shape[1]) * self._number(node.shape[-1])
                if node.matrix == BASE_WEIGHT:
                    return 2 * product
                return product * (2 + self._learns_weight(node.matrix))
            case Through():
                return self._flops_through(node)
            case Apply(operator="matmul"):
                return self._flops_matmul(node)
            case Apply(operator="slice" | "transpose" | "stop" | "fill" | "zeros" | "ones" | "eye"):
                return 0
            case Apply(operator="svd" | "qr" | "eigh" | "pinv" | "inverse" | "cayley"):
                return 30 * max(self._number(size) for size in node.arguments[0].shape) ** 3
            case Apply():
                width = max([self._entries(node), *(self._entries(argument) for argument in node.arguments)])
                return width * (2 if self._learns(node) else 1)
        return 0

    def _learns_weight(self, node: Node) -> bool:
        return bool(reads(node) & self.trained)

    def _flops_through(self, node: Through) -> int:
        if self.traits.free_projection or self.traits.weight_is_diagonal:
            return 3 * self._entries(node)
        product = 2 * self.tokens * self._number(X.shape[1]) * self._number(Y.shape[1])
        return product * (2 + self._learns_weight(node.weight))

    def _flops_matmul(self, node: Apply) -> int:
        count, left = 0, node.arguments[0]
        rows = 1
        for size in left.shape[:-1]:
            rows *= self._number(size)
        width, learns = self._number(left.shape[-1]), self._learns(left)
        for right in node.arguments[1:]:
            columns = self._number(right.shape[-1])
            if _is_diag(right) or (_is_diag(left) and right is node.arguments[1]):
                count += rows * columns * (1 + learns + self._learns(right))
                width, learns = columns, learns or self._learns(right)
                continue
            count += 2 * rows * width * columns * (1 + learns + self._learns(right))
            width, learns = columns, learns or self._learns(right)
        return count

    def _saved(self, node: Node) -> set[Node]:
        """The activations that this node's backward needs."""
        match node:
            case Project() if self._learns_weight(node.matrix):
                return {X}
            case Through() if self._learns_weight(node.weight):
                return {X} | ({node.weight} if node.weight.ndim == 2 else set())
            case Apply(operator="matmul"):
                return {left for left, right in zip(node.arguments, node.arguments[1:], strict=False)
                        if self._learns_weight(right) and _in_tokens(left)}  # fmt: skip
            case Apply(operator="times" | "divide"):
                left, right = node.arguments
                kept = set()
                if self._learns_weight(right) and _in_tokens(left):
                    kept.add(left)
                if self._learns(left) and _in_tokens(right):
                    kept.add(right)
                return kept
            case Apply() if _in_tokens(node) and node.definition.has("elementwise"):
                return set() if node.definition.has("linear") or node.operator in ("add", "stop") else {node}
        return set()

    # --------------------------------------------------------------------------------------- constants

    def constants(self, roots: Iterable[Node]) -> tuple[Node, ...]:
        """The largest parts that no trained factor and no token reaches; views of stored values are made when read."""
        found: list[Node] = []
        seen: set[Node] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if self._is_constant(node):
                if not self._is_view(node):
                    found.append(node)
                continue
            stack += node.children
        return tuple(found)

    def _is_constant(self, node: Node) -> bool:
        if isinstance(node, Initial):
            return True
        if isinstance(node, Layers):
            return self.lists_are_constant
        if isinstance(node, Project | Through) or (isinstance(node, Apply) and node.operator == "dropout"):
            return False
        live = {"x", "y", *self.trained}
        return not any(
            isinstance(part, Project | Through)
            or (isinstance(part, Site | Factor) and part.name in live)
            or (isinstance(part, Layers) and not self.lists_are_constant)
            for part in topological_outside_initial(node)
        )

    def _is_view(self, node: Node) -> bool:
        """Whether a constant is cheap to make again from what is stored anyway."""
        match node:
            case Site() | Factor() | Scalar():
                return True
            case Apply() if node.operator in _VIEWS or node.operator in ("zeros", "ones", "eye"):
                return all(self._is_view(argument) for argument in node.arguments)
        return False


def topological_outside_initial(root: Node) -> list[Node]:
    """The nodes under `root`, not looking into `init(...)` and `layers(...)`."""
    found: list[Node] = []
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            found.append(node)
            if not isinstance(node, Initial | Layers):
                stack += node.children
    return found


def _matrices(node: Node) -> tuple[Node, ...]:
    """The matrices that activations are multiplied by."""
    match node:
        case Project():
            return (node.matrix,)
        case Through():
            return (node.weight,)
        case Apply(operator="matmul") if _in_tokens(node):
            return node.arguments[1:]
    return ()


def _times_ones(row: Node, vector: Node) -> Node:
    is_ones = isinstance(row, Apply) and row.operator == "ones"
    return vector if is_ones else apply("times", (row, vector), row.shape)


def _in_tokens(node: Node) -> bool:
    return bool(node.shape) and "tokens" in node.shape[0].symbols


def _is_chain(node: Node) -> bool:
    """Whether a node is a product of tokens with matrices that no token reaches."""
    return (
        isinstance(node, Apply)
        and node.operator == "matmul"
        and bool(reads(node.arguments[0]) & {"x", "y"})
        and not any(reads(operand) & {"x", "y"} for operand in node.arguments[1:])
    )


def _sum(terms: Iterable[Node], shape: tuple[Size, ...]) -> Node:
    flat: list[Node] = []
    for term in terms:
        flat += term.arguments if isinstance(term, Apply) and term.operator == "add" else [term]
    kept = [
        term
        for term in flat
        if not (isinstance(term, Apply) and term.operator == "zeros") and term != scalar(Size.of(0))
    ]
    if not kept:
        return flat[0]
    return kept[0] if len(kept) == 1 else apply("add", kept, shape)


def _with_base_output(node: Node, has_bias: bool) -> Node:
    """`x@W + b` read as the layer's own output `y`."""
    terms = list(node.arguments) if isinstance(node, Apply) and node.operator == "add" else [node]
    product = interned(Project(Y.shape, BASE_WEIGHT))
    if product not in terms:
        return node
    bias = next((term for term in terms if isinstance(term, Site) and term.name == "b"), None)
    if has_bias and bias is None:
        return node
    rest = [term for term in terms if term not in (product, bias)]
    return _sum([Y, *rest], node.shape)
