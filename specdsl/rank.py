"""How far a change of the weight can reach: an upper bound on the rank of W' - W, from its structure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from specdsl.affine import W
from specdsl.errors import SpecLimitError
from specdsl.ir import Apply, Choice, Factor, Initial, Node, Scalar, Site, SpecIR, bottom_up
from specdsl.sizes import Size


def difference_terms(weight: Node) -> list[Node] | None:
    """The terms of W' - W where W' is a sum that holds W once, else None."""
    if weight == W:
        return []
    if isinstance(weight, Apply) and weight.operator == "add" and weight.arguments.count(W) == 1:
        return [term for term in weight.arguments if term != W]
    return None


def rank_bound(ir: SpecIR, weight: Node) -> Size | None:
    """An upper bound on the rank of W' - W that is below min(n, m) in general, or None."""
    terms = difference_terms(weight)
    if terms is None:
        return None
    try:
        return _summed(bottom_up(term, _rank) for term in terms)
    except SpecLimitError:
        return None  # a bound too long to be written tells nothing


def _rank(node: Node, known: Mapping[Node, Size | None]) -> Size | None:
    match node:
        case Factor() | Site():
            return narrow(node.shape)
        case Scalar():
            return Size.of(1)
        case Initial():
            return known[node.of]
        case Choice():
            return None
        case Apply(operator="matmul"):
            bounds = [bound for argument in node.arguments if (bound := known[argument]) is not None]
            return min(bounds, key=lambda bound: len(str(bound)), default=None)
        case Apply(operator="scale"):
            return known[node.arguments[1]]
        case Apply(operator="negative" | "transpose"):
            return known[node.arguments[0]]
        case Apply(operator="times"):
            left, right = (known[argument] for argument in node.arguments)
            if node.arguments[1].ndim == 1:
                return left
            if node.arguments[0].ndim == 1:
                return right
            return None if left is None or right is None else left * right
        case Apply(operator="add"):
            return _smaller(_summed(known[term] for term in node.arguments), narrow(node.shape))
        case Apply(operator="outer"):
            return Size.of(1)
        case Apply(operator="tile"):
            return node.arguments[0].shape[0] if node.arguments[0].ndim == 2 else None
    return narrow(node.shape)


def _smaller(bound: Size | None, other: Size | None) -> Size | None:
    """The other bound where it is smaller for all sizes."""
    if bound is None or other is None:
        return bound
    return other if all(number > 0 for _, number in (bound - other).terms) else bound


def _summed(bounds: Iterable[Size | None]) -> Size | None:
    total = Size.of(0)
    for bound in bounds:
        if bound is None:
            return None
        total = total + bound
    return total


def narrow(shape: tuple[Size, ...]) -> Size | None:
    """The smaller of two sizes where one is plainly an inner size."""
    if len(shape) != 2:
        return None
    inner = [size for size in shape if not size.symbols & {"n", "m", "c", "kh", "kw"}]
    return inner[0] if inner else None
