"""What holds of a spec for all models: shown by `explain`, stored in reports, tested against numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from specdsl.affine import NotAffine, W, X, adapted_weight
from specdsl.ir import (
    Apply,
    Choice,
    Factor,
    FactorIR,
    Fold,
    GivenIR,
    Initial,
    Measured,
    Node,
    Scalar,
    Site,
    SpecIR,
    interned,
    reads,
    topological,
    transform,
)
from specdsl.operators.registry import find_operator
from specdsl.printing.expression_text import expression_text
from specdsl.sizes import Size

TOKENS = X.shape[0]


@dataclass(frozen=True)
class Facts:
    """Facts of a spec.

    Attributes:
        reads_tokens: whether the adapted value depends on the input itself (x or y).
        mergeable: whether it is a weight; `why_not` says which part prevents it.
        rank_bound: an upper bound on the rank of W' - W, or None where only min(n, m) is known.
        exactly_lora: whether W' - W is one product of an n x r and an r x m factor.
        starts_at_base: whether the adapted module starts as the bare one.
        trained: trained parameters per module, as a formula in n and m; shared factors apart.
        shared: trained parameters of factors that modules share, each counted once per key.
        derived: names of frozen factors and constants computed from W or b at attach.
        regenerated: names of frozen factors drawn from a seed and not in the saved adapter.
        creates_bias: whether a module without bias gets one: b' is not zero where b is.
        base_reads: which of W, b, x, y the targets read.
        added_rows: how many rows `y' = [P; y]` adds to the tokens, or None.
        inputs, noise: the names of what is given at run time, and of what is drawn in every training forward.
        needs: what beside the model is needed, as it is written: statistics of data, events, workers.
    """

    reads_tokens: bool
    mergeable: bool
    why_not: str | None
    rank_bound: Size | None
    exactly_lora: bool
    starts_at_base: bool
    trained: Size
    shared: Size
    derived: tuple[str, ...]
    regenerated: tuple[str, ...]
    creates_bias: bool
    base_reads: tuple[str, ...]
    added_rows: Size | None = None
    inputs: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The facts as plain values for reports and `--json`."""
        return {
            "mergeable": self.mergeable,
            "why_not_mergeable": self.why_not,
            "rank_bound": None if self.rank_bound is None else str(self.rank_bound),
            "exactly_lora": self.exactly_lora,
            "starts_at_base": self.starts_at_base,
            "trained_parameters": str(self.trained),
            "shared_parameters": str(self.shared),
            "derived_from_base": list(self.derived),
            "regenerated_from_seed": list(self.regenerated),
            "creates_bias": self.creates_bias,
            "reads": list(self.base_reads),
            "added_rows": None if self.added_rows is None else str(self.added_rows),
            "inputs": list(self.inputs),
            "noise": list(self.noise),
            "needs": list(self.needs),
        }


def facts_of(ir: SpecIR) -> Facts:
    """The facts of a checked spec."""
    read = frozenset().union(*(reads(node) for node in ir.targets.values()))
    weight: dict[str, Node] | None
    try:
        weight, why_not = adapted_weight(ir), None
    except NotAffine as reason:
        weight, why_not = None, str(reason)
    bound = rank_bound(ir, weight["W"]) if weight is not None and "W" in weight else None
    if weight is not None and "W" not in weight:
        bound = Size.of(0)
    return Facts(
        reads_tokens=bool(read & {"x", "y"}) or any(_of_tokens(given) for given in ir.given.values()),
        mergeable=weight is not None,
        why_not=why_not,
        rank_bound=bound,
        exactly_lora=weight is not None and "W" in weight and _is_lora(ir, weight["W"]),
        starts_at_base=not ir.starts_elsewhere,
        trained=_count(factor for factor in ir.factors.values() if factor.is_trained and factor.shared is None),
        shared=_count(factor for factor in ir.factors.values() if factor.is_trained and factor.shared is not None),
        derived=tuple(name for name, factor in ir.factors.items() if _is_derived(ir, factor)),
        regenerated=tuple(name for name, factor in ir.factors.items() if _is_regenerated(ir, factor)),
        creates_bias=weight is not None and "b" in weight and not is_zero(_without_bias(weight["b"])),
        base_reads=tuple(name for name in ("W", "b", "x", "y") if name in read),
        added_rows=added_rows(ir),
        inputs=tuple(name for name, given in ir.given.items() if given.kind == "input"),
        noise=tuple(name for name, given in ir.given.items() if given.kind == "noise"),
        needs=needs_of(ir),
    )


def _of_tokens(given: GivenIR) -> bool:
    return bool(given.shape) and TOKENS.symbols <= given.shape[0].symbols


def added_rows(ir: SpecIR) -> Size | None:
    """How many rows y' has beside those of the tokens, or None."""
    target = ir.targets.get("y")
    if target is None or target.ndim != 2 or target.shape[0] == TOKENS:
        return None
    return target.shape[0] - TOKENS


def needs_of(ir: SpecIR) -> tuple[str, ...]:
    """The measures and events of a spec, as they are written."""
    outside = [*ir.roots(), *(one.measured for one in ir.hyper.values() if one.measured is not None)]
    measured = [expression_text(node) for node in topological(outside) if isinstance(node, Measured)]
    return tuple(dict.fromkeys([*measured, *(event.text for event in ir.events)]))


def joined_facts(parts: Sequence[Facts]) -> Facts:
    """What holds of a spec in parts: of every module, or, for counts, at most."""
    first = parts[0]

    def largest(sizes: Sequence[Size]) -> Size:
        return Size.opaque("max", *sizes) if len(set(sizes)) > 1 else sizes[0]

    def together(field: str) -> Any:
        return tuple(dict.fromkeys(entry for part in parts for entry in getattr(part, field)))

    bounds = [part.rank_bound for part in parts if part.rank_bound is not None]
    added = [part.added_rows for part in parts if part.added_rows is not None]
    return replace(
        first,
        reads_tokens=any(part.reads_tokens for part in parts),
        mergeable=all(part.mergeable for part in parts),
        why_not=next((part.why_not for part in parts if part.why_not), None),
        rank_bound=largest(bounds) if len(bounds) == len(parts) else None,
        exactly_lora=all(part.exactly_lora for part in parts),
        trained=largest([part.trained for part in parts]),
        shared=largest([part.shared for part in parts]),
        creates_bias=any(part.creates_bias for part in parts),
        added_rows=added[0] if added else None,
        **{name: together(name) for name in ("derived", "regenerated", "base_reads", "inputs", "noise", "needs")},
    )


def entries(factor: FactorIR) -> Size:
    """The number of entries of a factor."""
    product = Size.of(1)
    for size in factor.shape:
        product = product * size
    return product


def _count(factors: Any) -> Size:
    total = Size.of(0)
    for factor in factors:
        total = total + entries(factor)
    return total


def depends_on_base(ir: SpecIR, node: Node) -> bool:
    """Whether a start reads W or b, directly or through the starts of other factors."""
    pending, seen = set(reads(node)), set()
    while pending:
        name = pending.pop()
        if name in ("W", "b"):
            return True
        seen.add(name)
        factor = ir.factors.get(name)
        if factor is not None and factor.start is not None:
            pending |= reads(factor.start) - seen
    return False


def _is_derived(ir: SpecIR, factor: FactorIR) -> bool:
    return not factor.is_trained and factor.start is not None and depends_on_base(ir, factor.start)


def _is_regenerated(ir: SpecIR, factor: FactorIR) -> bool:
    if factor.is_trained or factor.start is None or _is_derived(ir, factor):
        return False
    return any(isinstance(node, Apply) and node.definition.draw is not None for node in topological([factor.start]))


# -------------------------------------------------------------------------------------------- rank


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
    total = Size.of(0)
    for term in terms:
        bound = _rank(term)
        if bound is None:
            return None
        total = total + bound
    return total


def _rank(node: Node) -> Size | None:
    match node:
        case Factor() | Site():
            return _narrow(node.shape)
        case Scalar():
            return Size.of(1)
        case Initial():
            return _rank(node.of)
        case Choice():
            return None
        case Apply(operator="matmul"):
            bounds = [bound for bound in map(_rank, node.arguments) if bound is not None]
            return min(bounds, key=lambda bound: len(str(bound)), default=None)
        case Apply(operator="scale"):
            return _rank(node.arguments[1])
        case Apply(operator="negative" | "transpose"):
            return _rank(node.arguments[0])
        case Apply(operator="times"):
            left, right = map(_rank, node.arguments)
            if node.arguments[1].ndim == 1:
                return left
            if node.arguments[0].ndim == 1:
                return right
            return None if left is None or right is None else left * right
        case Apply(operator="add"):
            parts = [_rank(term) for term in node.arguments]
            known = [part for part in parts if part is not None]
            if len(known) < len(parts):
                return None
            summed = Size.of(0)
            for part in known:
                summed = summed + part
            narrow = _narrow(node.shape)
            is_wider = narrow is not None and all(number > 0 for _, number in (summed - narrow).terms)
            return narrow if is_wider else summed
        case Apply(operator="outer"):
            return Size.of(1)
        case Apply(operator="tile"):
            return node.arguments[0].shape[0] if node.arguments[0].ndim == 2 else None
    return _narrow(node.shape)


def _narrow(shape: tuple[Size, ...]) -> Size | None:
    """The smaller of two sizes where one is plainly an inner size."""
    if len(shape) != 2:
        return None
    inner = [size for size in shape if not size.symbols & {"n", "m", "c", "kh", "kw"}]
    return inner[0] if inner else None


def _is_lora(ir: SpecIR, weight: Node) -> bool:
    terms = difference_terms(weight)
    if terms is None or len(terms) != 1:
        return False
    term = terms[0]
    while isinstance(term, Apply) and term.operator in ("scale", "negative"):
        if term.operator == "scale" and not isinstance(term.arguments[0], Scalar):
            return False
        term = term.arguments[-1]
    if not (isinstance(term, Apply) and term.operator == "matmul" and len(term.arguments) == 2):
        return False
    left, right = term.arguments
    return (
        isinstance(left, Factor)
        and isinstance(right, Factor)
        and left.name != right.name
        and _narrow(left.shape) is not None
        and ir.factors[left.name].kind != "index"
    )


def is_zero(node: Node) -> bool:
    """Whether an array is zero by its structure."""
    match node:
        case Scalar():
            return node.size.constant == 0
        case Apply(operator="divide"):
            return is_zero(node.arguments[0])
        case Apply(operator="zeros"):
            return True
        case Apply() if node.definition.has("multilinear"):
            return any(map(is_zero, node.arguments))
        case Apply() if node.operator == "add" or node.definition.has("keeps_zero"):
            return bool(node.arguments) and all(map(is_zero, node.arguments))
    return False


def _without_bias(node: Node) -> Node:
    def absent(part: Node) -> Node:
        is_bias = isinstance(part, Site) and part.name == "b"
        return interned(Apply(part.shape, "zeros", (), (("shape", part.shape),))) if is_bias else part

    return transform([node], absent)[node]


def is_diagonal(node: Node, weight_is_diagonal: bool = False) -> bool:
    """Whether a matrix is zero off the diagonal by its structure.

    Args:
        node: the matrix.
        weight_is_diagonal: whether W itself is, as in a norm layer.
    """
    match node:
        case Site(name="W"):
            return weight_is_diagonal
        case Apply(operator="matmul"):
            return all(is_diagonal(operand, weight_is_diagonal) for operand in node.arguments)
        case Apply(operator="add"):
            return all(is_diagonal(term, weight_is_diagonal) for term in node.arguments)
        case Apply(operator="scale"):
            return is_diagonal(node.arguments[1], weight_is_diagonal)
        case Apply(operator="times" | "divide"):
            return any(side.ndim == 2 and is_diagonal(side, weight_is_diagonal) for side in node.arguments[:1]) or (
                node.operator == "times" and is_diagonal(node.arguments[1], weight_is_diagonal)
            )
        case Apply(operator="negative" | "transpose" | "stop" | "inverse" | "matpower"):
            return is_diagonal(node.arguments[0], weight_is_diagonal)
        case Initial():
            return is_diagonal(node.of, weight_is_diagonal)
        case Fold(kind="sum" | "prod"):
            return is_diagonal(node.body, weight_is_diagonal)
        case Apply():
            definition = find_operator(node.operator)
            return definition is not None and definition.has("diagonal")
    return False
