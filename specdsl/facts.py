"""What holds of a spec for all models: shown by `explain`, stored in reports, tested against numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from specdsl.affine import NotAffine, W, X, adapted_weight
from specdsl.ir import (
    Apply,
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
    bottom_up,
    interned,
    reads,
    topological,
    transform,
)
from specdsl.operators.registry import find_operator
from specdsl.printing.expression_text import expression_text
from specdsl.rank import difference_terms, narrow, rank_bound
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
        top = [one for one in dict.fromkeys(sizes) if not any(_is_more(other, one) for other in sizes)]
        return Size.opaque("max", *top) if len(top) > 1 else top[0]

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


def _is_more(one: Size, other: Size) -> bool:
    """Whether a count is larger than another one, whatever the sizes are: it has all its terms, and more."""
    more = (one - other).terms
    return bool(more) and (not other.terms or all(number > 0 for _, number in more))


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
        and narrow(left.shape) is not None
        and ir.factors[left.name].kind != "index"
    )


def is_zero(node: Node) -> bool:
    """Whether an array is zero by its structure."""
    return bottom_up(node, _is_zero)


def _is_zero(node: Node, known: Mapping[Node, bool]) -> bool:
    match node:
        case Scalar():
            return node.size.constant == 0
        case Apply(operator="divide"):
            return known[node.arguments[0]]
        case Apply(operator="zeros"):
            return True
        case Apply() if node.definition.has("multilinear"):
            return any(known[argument] for argument in node.arguments)
        case Apply() if node.operator == "add" or node.definition.has("keeps_zero"):
            return bool(node.arguments) and all(known[argument] for argument in node.arguments)
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
    return bottom_up(node, lambda part, known: weight_is_diagonal if part == W else _is_diagonal(part, known))


def _is_diagonal(node: Node, known: Mapping[Node, bool]) -> bool:
    match node:
        case Apply(operator="matmul" | "add"):
            return all(known[operand] for operand in node.arguments)
        case Apply(operator="scale"):
            return known[node.arguments[1]]
        case Apply(operator="times" | "divide"):
            over, under = node.arguments
            return (over.ndim == 2 and known[over]) or (node.operator == "times" and known[under])
        case Apply(operator="negative" | "transpose" | "stop" | "inverse" | "matpower"):
            return known[node.arguments[0]]
        case Initial():
            return known[node.of]
        case Fold(kind="sum" | "prod"):
            return known[node.body]
        case Apply():
            definition = find_operator(node.operator)
            return definition is not None and definition.has("diagonal")
    return False
