"""Whether an output is affine in the input, and the weight and bias that say the same.

`y' = E` with `E = x@W' + b'` merges like any weight. The rules are the operators' linearity; what they cannot open
is not affine, and the innermost such part is the reason shown to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from specdsl.elaborate.elaborator import SITE_SHAPES
from specdsl.ir import Apply, Choice, Fold, Given, Node, Scalar, Site, SpecIR, interned, reads, transform
from specdsl.nodes import apply, negated, scaled
from specdsl.printing.expression_text import expression_text
from specdsl.sizes import Size

W = interned(Site(SITE_SHAPES["W"], "W"))
B = interned(Site(SITE_SHAPES["b"], "b"))
X = interned(Site(SITE_SHAPES["x"], "x"))
Y = interned(Site(SITE_SHAPES["y"], "y"))


class NotAffine(Exception):
    """The output is not affine in the input; `args[0]` says which part is not."""


@dataclass(frozen=True)
class Affine:
    """A value `x @ matrix + offset`; a matrix of None is the identity, an offset of None is zero."""

    matrix: Node | None
    offset: Node | None
    width: Size


def adapted_weight(ir: SpecIR) -> dict[str, Node]:
    """`W'` and `b'` of a spec, whichever equations it has; absent where unchanged.

    Raises:
        NotAffine: the output is no affine function of the input.
    """
    targets = at_rest(ir, ir.targets)
    if "y" in targets:
        if targets["y"].shape[:1] != X.shape[:1]:
            raise NotAffine("y' has more rows than y")
        return _as_weight(affine(targets["y"]))
    weight, bias = targets.get("W", W), targets.get("b", B)
    if "x" in targets:
        before = affine(targets["x"])
        result = {"W": weight if before.matrix is None else product(before.matrix, weight)}
        if before.offset is not None:
            result["b"] = total(bias, product(before.offset, weight))
        elif "b" in targets:
            result["b"] = bias
        return result
    return {name: targets[name] for name in ("W", "b") if name in targets}


def at_rest(ir: SpecIR, targets: Mapping[str, Node]) -> dict[str, Node]:
    """The targets with every noise at its mean.

    Raises:
        NotAffine: a target reads an input that is given at run time.
    """
    if not ir.given:
        return dict(targets)
    for node in targets.values():
        for name in sorted(reads(node)):
            if name in ir.given and ir.given[name].kind == "input":
                raise NotAffine(f"it depends on the input `{name}`")

    def change(node: Node) -> Node:
        if isinstance(node, Apply):
            return _without_zeros(node)
        rest = ir.given[node.name].rest if isinstance(node, Given) else None
        return node if rest is None else rest

    changed = transform(targets.values(), change)
    return {name: changed[node] for name, node in targets.items()}


def _without_zeros(node: Apply) -> Node:
    """A product with a noise whose mean is zero is zero, and a sum goes without it."""
    if node.operator in ("times", "scale", "matmul", "negative", "dropout") and any(map(_is_zero, node.arguments)):
        return _zero(node.shape)
    if node.operator == "add":
        kept = [term for term in node.arguments if not _is_zero(term)]
        if len(kept) == 1 and kept[0].shape == node.shape:
            return kept[0]
    return node


def _as_weight(value: Affine) -> dict[str, Node]:
    result: dict[str, Node] = {}
    matrix = value.matrix if value.matrix is not None else _eye(value.width)
    if matrix is not W:
        result["W"] = matrix
    if value.offset is not B:
        result["b"] = value.offset if value.offset is not None else apply("zeros", (), B.shape, shape=B.shape)
    return result


def affine(node: Node) -> Affine:
    """`node`, an expression of tokens, as an affine function of x.

    Raises:
        NotAffine: it is none.
    """
    width = node.shape[-1] if node.shape else Size.of(1)
    if node is X or node == X:
        return Affine(None, None, width)
    if node == Y:
        return Affine(W, B, width)
    if not (reads(node) & {"x", "y"}):
        return Affine(_zero((X.shape[1], width)), _of_all_tokens(node), width)
    if isinstance(node, Choice):
        raise NotAffine(f"`{expression_text(node)}` chooses between outputs")
    if isinstance(node, Fold) and node.kind == "sum":
        return _fold(node)
    if not isinstance(node, Apply):
        raise NotAffine(f"`{expression_text(node)}`")
    rule = _RULES.get(node.operator)
    if rule is None:
        raise NotAffine(f"`{expression_text(node)}` is not linear in the input")
    return rule(node)


def _of_all_tokens(term: Node) -> Node:
    """A term without the input, if it is one row for all tokens."""
    if term.ndim > 1:
        raise NotAffine(f"`{expression_text(term)}` differs from token to token")
    return term


def _add(node: Apply) -> Affine:
    width = node.shape[-1]
    matrix: Node | None = None
    offset: Node | None = None
    first = True
    for term in node.arguments:
        if not (reads(term) & {"x", "y"}):
            offset = _of_all_tokens(term) if offset is None else total(offset, _of_all_tokens(term))
            continue
        part = affine(term)
        piece = part.matrix if part.matrix is not None else _eye(width)
        matrix = piece if first else total(matrix, piece)  # type: ignore[arg-type]
        first = False
        if part.offset is not None:
            offset = part.offset if offset is None else total(offset, part.offset)
    if offset is not None and not offset.shape:
        offset = apply("fill", (offset,), (width,), shape=(width,))
    return Affine(matrix, offset, width)


def _fold(node: Fold) -> Affine:
    inner = affine(node.body)
    matrix = inner.matrix if inner.matrix is not None else _eye(inner.width)

    def folded(part: Node) -> Node:
        return interned(Fold(part.shape, "sum", node.index, node.count, part))

    return Affine(folded(matrix), None if inner.offset is None else folded(inner.offset), inner.width)


def _negative(node: Apply) -> Affine:
    inner = affine(node.arguments[0])
    matrix = inner.matrix if inner.matrix is not None else _eye(inner.width)
    return Affine(negated(matrix), None if inner.offset is None else negated(inner.offset), inner.width)


def _matmul(node: Apply) -> Affine:
    first, *rest = node.arguments
    late = next((operand for operand in rest if reads(operand) & {"x", "y"}), None)
    if late is not None:
        raise NotAffine(f"`{expression_text(node)}` multiplies the input by `{expression_text(late)}`")
    value = affine(first)
    matrix, offset = value.matrix, value.offset
    for operand in rest:
        matrix = operand if matrix is None else product(matrix, operand)
        offset = None if offset is None else product(offset, operand)
    return Affine(matrix, offset, node.shape[-1])


def _scale(node: Apply) -> Affine:
    factor, body = node.arguments
    if reads(factor) & {"x", "y"}:
        raise NotAffine(f"`{expression_text(factor)}` depends on the input")
    inner = affine(body)
    matrix = inner.matrix if inner.matrix is not None else _eye(inner.width)
    return Affine(scaled(factor, matrix), None if inner.offset is None else scaled(factor, inner.offset), inner.width)


def _columns(operator: str) -> Callable[[Apply], Affine]:
    def rule(node: Apply) -> Affine:
        left, right = node.arguments
        if reads(left) & {"x", "y"} and reads(right) & {"x", "y"}:
            raise NotAffine(f"`{expression_text(node)}` multiplies the input by itself")
        tokens, scale = (left, right) if reads(left) & {"x", "y"} else (right, left)
        if operator == "divide" and tokens is right:
            raise NotAffine(f"`{expression_text(node)}` divides by the input")
        if scale.ndim > 1:
            raise NotAffine(f"`{expression_text(scale)}` differs from token to token")
        inner = affine(tokens)
        if inner.matrix is None and operator == "times" and scale.ndim:
            return Affine(apply("diag", (scale,), (inner.width, inner.width)), None, inner.width)
        matrix = inner.matrix if inner.matrix is not None else _eye(inner.width)
        scaled_matrix = apply(operator, (matrix, scale), matrix.shape)
        offset = None if inner.offset is None else apply(operator, (inner.offset, scale), node.shape[1:])
        return Affine(scaled_matrix, offset, inner.width)

    return rule


def _dropout(node: Apply) -> Affine:
    return affine(node.arguments[0])


def _hcat(node: Apply) -> Affine:
    parts = [affine(argument) for argument in node.arguments]
    matrices = [part.matrix if part.matrix is not None else _eye(part.width) for part in parts]
    offsets = [part.offset for part in parts]
    joined = apply("hcat", matrices, (X.shape[1], node.shape[-1]))
    if all(offset is None for offset in offsets):
        return Affine(joined, None, node.shape[-1])
    filled = [_zero((part.width,)) if part.offset is None else part.offset for part in parts]
    return Affine(joined, apply("hcat", filled, (node.shape[-1],)), node.shape[-1])


def _slice(node: Apply) -> Affine:
    items = node.option("items")
    whole = (Size.of(0), node.arguments[0].shape[0], Size.of(1))
    if items[0] != whole:
        raise NotAffine(f"`{expression_text(node)}` picks some tokens")
    inner = affine(node.arguments[0])
    if len(items) == 1:
        return inner
    matrix = inner.matrix if inner.matrix is not None else _eye(inner.width)
    rows = (Size.of(0), matrix.shape[0], Size.of(1))
    cut = apply("slice", (matrix,), (matrix.shape[0], node.shape[-1]), items=(rows, items[1]))
    offset = inner.offset
    if offset is not None:
        offset = apply("slice", (offset,), (node.shape[-1],), items=(items[1],))
    return Affine(cut, offset, node.shape[-1])


_RULES: dict[str, Callable[[Apply], Affine]] = {
    "add": _add,
    "negative": _negative,
    "matmul": _matmul,
    "scale": _scale,
    "times": _columns("times"),
    "divide": _columns("divide"),
    "dropout": _dropout,
    "hcat": _hcat,
    "slice": _slice,
}


def product(left: Node, right: Node) -> Node:
    """`left @ right`, flat."""
    parts = left.arguments if isinstance(left, Apply) and left.operator == "matmul" else (left,)
    return apply("matmul", (*parts, right), (*left.shape[:-1], right.shape[-1]))


def total(left: Node, right: Node) -> Node:
    """`left + right`, flat."""
    terms: list[Node] = []
    for side in (left, right):
        terms += side.arguments if isinstance(side, Apply) and side.operator == "add" else [side]
    kept = [term for term in terms if not _is_zero(term)] or terms[:1]
    return kept[0] if len(kept) == 1 else apply("add", kept, left.shape or right.shape)


def _is_zero(node: Node) -> bool:
    if isinstance(node, Apply) and node.operator == "fill":
        return _is_zero(node.arguments[0])
    return (isinstance(node, Apply) and node.operator == "zeros") or (
        isinstance(node, Scalar) and node.size.constant == 0
    )


def _eye(size: Size) -> Node:
    return apply("eye", (), (size, size), size=size)


def _zero(shape: tuple[Size, ...]) -> Node:
    return apply("zeros", (), shape, shape=shape)
