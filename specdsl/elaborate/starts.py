"""Default starts: what multiplies W starts as the identity, what is added starts at zero, the rest is Kaiming.

The rules run on the structure of the targets, in this order. First the carrier of each sum (the base alone, else the
first term that contains it) is made the base by setting what multiplies it to the identity. Then every added term is
made zero through one of its factors. What is left is drawn at random, or one, or zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from specdsl.elaborate.solver import shape_text
from specdsl.errors import SpecStartError
from specdsl.ir import (
    Apply,
    Choice,
    Factor,
    FactorIR,
    Fold,
    Initial,
    Node,
    Scalar,
    Site,
    SpecIR,
    interned,
    reads,
    topological,
)
from specdsl.operators.registry import Shape
from specdsl.printing.expression_text import expression_text
from specdsl.sizes import Size
from specdsl.source import Span

IDENTITY = "it multiplies {base}, so it starts as the identity"
ZERO = "its term is added, so it starts at zero"
UNIT = "`{operator}` of zero is the identity, so it starts at zero"
RANDOM = "nothing else fixes it: Kaiming-uniform over the {fan} inputs"
ONES = "it multiplies, so it starts at one"
OFFSET = "it is added inside a function, so it starts at zero"
ORTHOGONAL = "it is kept orthonormal, so it starts as a random orthonormal matrix"

_PRODUCTS = ("matmul", "times", "scale", "divide")
_WRAPPERS = ("diag", "transpose", "kron", "blockdiag", "slice", "negative")
_PASS_ZERO = ("hcat", "vcat", "slice", "take", "reshape", "rearrange", "tile", "diag", "blockdiag", "transpose")


def settle_starts(ir: SpecIR, spans: Mapping[str, Span]) -> SpecIR:
    """Give every trained factor without a start its default.

    Raises:
        SpecStartError: something multiplies the base that can never be the identity.
    """
    settler = _Settler(ir, spans)
    for name, root in ir.targets.items():
        settler.base, settler.root = name, root
        settler.make_base(root)
    settler.make_added_terms_zero()
    factors = {name: settler.settled(factor) for name, factor in ir.factors.items()}
    return replace(ir, factors=factors)


@dataclass
class _Settler:
    ir: SpecIR
    spans: Mapping[str, Span]
    base: str = "W"
    root: Node | None = None
    starts: dict[str, tuple[str, str]] = field(default_factory=dict)
    added: list[tuple[Node, str]] = field(default_factory=list)
    """Terms that are to be zero, and why."""
    visited: set[Node] = field(default_factory=set)

    # -------------------------------------------------------------------------------- what is settled

    def is_open(self, name: str) -> bool:
        factor = self.ir.factors.get(name)
        return factor is not None and factor.is_trained and factor.start is None and name not in self.starts

    def open_in(self, node: Node) -> list[str]:
        """The factors under `node` that have no start yet, in reading order."""
        names: list[str] = []
        stack = [node]
        seen: set[Node] = set()
        while stack:
            top = stack.pop()
            if top in seen or isinstance(top, Initial):
                continue
            seen.add(top)
            if isinstance(top, Factor) and self.is_open(top.name) and top.name not in names:
                names.append(top.name)
            stack += reversed(top.children)
        return names

    def carries(self, node: Node) -> bool:
        return self.base in reads(node)

    # ------------------------------------------------------------------------------------- identities

    def make_base(self, node: Node) -> None:
        """Settle factors so that `node`, which contains the base, is what it is without them."""
        if node in self.visited:
            return
        self.visited.add(node)
        if isinstance(node, Site | Initial) or not self.open_in(node):
            return
        if isinstance(node, Apply) and node.operator == "add":
            self._make_sum_base(node)
        elif isinstance(node, Apply) and node.operator in _PRODUCTS:
            for operand in node.arguments:
                if self.carries(operand):
                    self.make_base(operand)
                else:
                    self.make_identity(operand, node.operator == "matmul")
        else:
            for child in node.children:
                if self.carries(child):
                    self.make_base(child)

    def _make_sum_base(self, node: Apply) -> None:
        terms = node.arguments
        carrier: Node | None = next((term for term in terms if isinstance(term, Site) and term.name == self.base), None)
        if carrier is None:
            carrier = next((term for term in terms if self.carries(term)), None)
        if carrier is None:
            return
        self.make_base(carrier)
        self.added += [(term, ZERO) for term in terms if term is not carrier]

    def make_identity(self, node: Node, matrix: bool) -> None:
        """Settle factors so that `node` is the identity of a product: the unit matrix, or ones."""
        if not self.open_in(node):
            return
        if isinstance(node, Factor):
            self._settle_identity(node, matrix)
        elif isinstance(node, Apply) and node.operator == "add":
            rest = [term for term in node.arguments if not _is_one(term)]
            if len(rest) == len(node.arguments):
                self._refuse(node)
            self.added += [(term, ZERO) for term in rest]
        elif isinstance(node, Apply) and node.definition.has("identity_at_zero"):
            self.added += [(argument, UNIT.format(operator=node.operator)) for argument in node.arguments]
        elif isinstance(node, Apply) and node.operator in (*_PRODUCTS, *_WRAPPERS):
            inner_is_matrix = matrix and node.operator in ("matmul", "transpose", "kron", "blockdiag", "scale", "slice")
            if node.operator == "matmul" and not matrix:
                self._refuse(node)
            for operand in node.arguments:
                self.make_identity(operand, inner_is_matrix and operand.ndim > 1)
        elif isinstance(node, Choice) or (isinstance(node, Fold) and node.kind in ("prod", "stack")):
            for child in node.children:
                self.make_identity(child, matrix)
        else:
            self._refuse(node)

    def _settle_identity(self, factor: Factor, matrix: bool) -> None:
        if matrix and factor.ndim >= 2:
            if factor.shape[-2] != factor.shape[-1]:
                self._refuse(factor)
            self.starts[factor.name] = ("eye", IDENTITY.format(base=self.base))
        else:
            self.starts[factor.name] = ("ones", IDENTITY.format(base=self.base))

    def _refuse(self, node: Node) -> None:
        text = expression_text(node)
        assert self.root is not None
        whole = expression_text(self.root)
        if not self.carries(self.root):
            raise SpecStartError(
                f"no default start: `{whole}` does not read {self.base}", self.spans[self.base],
                f"did you mean `{self.base} + {whole}`?",
            )  # fmt: skip
        if "I" in reads(node):
            raise SpecStartError(
                f"no default start: `{text}` multiplies {self.base}, and `I` is a factor like any other letter",
                self.spans[self.base], "the identity matrix is `eye`",
            )  # fmt: skip
        if node.shape != self.root.shape:
            raise SpecStartError(
                f"no default start: `{text}`, {shape_text(node.shape)}, multiplies {self.base} and no value of its "
                "factors makes it the identity", self.spans[self.base],
                f"did you mean `{self.base} + {whole}`? Otherwise state the starts and `starts: elsewhere`",
            )  # fmt: skip
        raise SpecStartError(
            f"no default start: `{text}` multiplies {self.base} and no value of its factors makes it the identity",
            self.spans[self.base],
            f"did you mean `{self.base} + {self.base} .* ({text})`? Otherwise state the starts and `starts: elsewhere`",
        )

    # ------------------------------------------------------------------------------------------ zeros

    def make_added_terms_zero(self) -> None:
        pending = list(reversed(self.added))
        while pending:
            term, reason = pending.pop()
            if isinstance(term, Choice | Fold):
                pending += [(child, reason) for child in reversed(term.children)]
                continue
            if self._is_zero(term):
                continue
            candidates = [name for name in self.open_in(term) if self._is_zero(term, name)]
            candidates = [name for name in candidates if not self.ir.factors[name].orthonormal]
            if candidates:
                order = {name: position for position, name in enumerate(candidates)}
                chosen = min(candidates, key=lambda name: (self._reluctance(name, term), -order[name]))
                self.starts[chosen] = ("zeros", reason)

    def _reluctance(self, name: str, term: Node) -> int:
        """How many reasons speak against starting this factor at zero."""
        penalised = any(name in reads(penalty.value) for penalty in self.ir.penalties)
        inside = any(
            isinstance(node, Apply) and _is_nonlinear_or_sum(node) and name in reads(node)
            for node in topological([term])
        )
        occurrences = sum(
            child == Factor(self.ir.factors[name].shape, name)
            for node in topological([term])
            for child in node.children
        )
        return inside + (occurrences > 1) + penalised

    def _is_zero(self, root: Node, assumed: str | None = None) -> bool:
        """Whether `root` is zero at the start by its structure, with the factor `assumed` at zero."""
        zero: dict[Node, bool] = {}
        for node in topological([root]):
            children = [zero[child] for child in node.children]
            match node:
                case Scalar():
                    zero[node] = node.size.constant == 0
                case Factor():
                    zero[node] = node.name == assumed or self._starts_at_zero(node.name)
                case Apply():
                    zero[node] = _operator_is_zero(node, children)
                case Site():
                    zero[node] = False
                case _:
                    zero[node] = bool(children) and all(children)
        return zero[root]

    def _starts_at_zero(self, name: str) -> bool:
        if name in self.starts:
            return self.starts[name][0] == "zeros"
        start = self.ir.factors[name].start
        return start is not None and _is_literal_zero(start)

    # --------------------------------------------------------------------------------------- the rest

    def settled(self, factor: FactorIR) -> FactorIR:
        """The factor with its start, given or default."""
        if factor.start is not None or not factor.is_trained:
            return factor
        if factor.name in self.starts:
            kind, reason = self.starts[factor.name]
        elif factor.orthonormal:
            kind, reason = "orthogonal", ORTHOGONAL
        elif len(factor.shape) < 2:
            added = self._is_added(factor)
            kind, reason = ("zeros", OFFSET) if added else ("ones", ONES)
        else:
            fan = factor.shape[-1 if self._is_used_transposed(factor) else -2]
            return replace(
                factor, start=start_node("kaiming", factor.shape, f"{factor.name}.0", fan=fan),
                start_reason=RANDOM.format(fan=fan),
            )  # fmt: skip
        return replace(factor, start=start_node(kind, factor.shape, f"{factor.name}.0"), start_reason=reason)

    def _uses(self, factor: FactorIR) -> list[Node]:
        leaf = Factor(factor.shape, factor.name)
        return [node for node in topological(self.ir.targets.values()) if leaf in node.children]

    def _is_added(self, factor: FactorIR) -> bool:
        uses = self._uses(factor)
        return bool(uses) and all(isinstance(node, Apply) and node.operator == "add" for node in uses)

    def _is_used_transposed(self, factor: FactorIR) -> bool:
        uses = self._uses(factor)
        return bool(uses) and all(isinstance(node, Apply) and node.operator == "transpose" for node in uses)


def start_node(kind: str, shape: Shape, label: str, **options: Size) -> Node:
    """The node of a start by its name: `zeros`, `ones`, `eye`, `kaiming`, `orthogonal`."""
    if kind == "eye":  # of a stack: one identity matrix for all
        return interned(Apply(shape[-2:], "eye", (), (("size", shape[-1]),)))
    if kind in ("zeros", "ones"):
        if not shape:
            return interned(Scalar((), Size.of(int(kind == "ones"))))
        return interned(Apply(shape, kind, (), (("shape", shape),)))
    given = {**options, "label": label, "shape": shape}
    return interned(Apply(shape, kind, (), tuple(sorted(given.items()))))


def _is_one(node: Node) -> bool:
    return (isinstance(node, Scalar) and node.size.constant == 1) or (
        isinstance(node, Apply) and node.operator in ("eye", "ones")
    )


def _is_literal_zero(node: Node) -> bool:
    if isinstance(node, Scalar):
        return node.size.constant == 0
    if isinstance(node, Apply) and node.operator == "fill":
        return _is_literal_zero(node.arguments[0])
    return isinstance(node, Apply) and node.operator == "zeros"


def _is_nonlinear_or_sum(node: Apply) -> bool:
    if node.operator == "add":
        return True
    definition = node.definition
    is_linear = definition.has("linear") or definition.has("multilinear")
    return not is_linear and node.operator not in _PASS_ZERO


def _operator_is_zero(node: Apply, children: list[bool]) -> bool:
    definition = node.definition
    if node.operator == "zeros":
        return True
    if not children:
        return False
    if node.operator == "add":
        return all(children) or _cancels(node)
    if definition.has("multilinear") or node.operator in ("outer", "kron", "einsum"):
        return any(children)
    if definition.has("keeps_zero") or definition.has("linear") or node.operator in ("slice", "take", "divide"):
        return children[0]
    return node.operator in _PASS_ZERO and all(children)


def _cancels(node: Apply) -> bool:
    """Whether a sum is `F - init(F)`, term by term."""
    remaining = list(node.arguments)
    for term in node.arguments:
        inner = term.arguments[0] if isinstance(term, Apply) and term.operator == "negative" else None
        if isinstance(inner, Initial) and inner.of in remaining and term in remaining:
            remaining.remove(inner.of)
            remaining.remove(term)
    return not remaining
