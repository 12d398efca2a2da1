"""A spec as the checker sees it: the adapted value as expressions, with hyper-parameters put in.

Specs that are weights are compared as `W'` and `b'`. If one of two is none, both are compared as functions of x, with
`y = x W + b` written out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from specdsl.affine import B, NotAffine, W, X, Y, adapted_weight, at_rest
from specdsl.errors import SpecNotBuiltError
from specdsl.ir import Apply, Condition, Node, SpecIR, interned, topological, transform
from specdsl.nodes import apply
from specdsl.operators.registry import is_built_in
from specdsl.sizes import Environment, Size, UnknownSize
from specdsl.spec import Spec

Level = Literal["weight", "tokens"]

MOST_ENTRIES = 700
"""Of all factors together, where their derivatives are computed exactly."""


@dataclass(frozen=True)
class Subject:
    """One of the two specs.

    Attributes:
        spec: as it was checked.
        level: whether `values` are `W'` and `b'` or the output `y'`.
        values: the compared expressions by name, `W'`, `b'`, `y'`.
    """

    spec: Spec
    level: Level
    values: Mapping[str, Node]

    @property
    def ir(self) -> SpecIR:
        return self.spec.ir

    @cached_property
    def hyper(self) -> dict[str, Size]:
        """What stands for every hyper-parameter that the spec or the user sets; an unset `r` stays a symbol."""
        values: dict[str, Size] = {}
        for name, parameter in self.ir.hyper.items():
            if not (parameter.is_default and name == "r"):
                values[name] = parameter.value
        for _ in values:
            values = {name: value.substitute(values) for name, value in values.items()}
        return values

    def size(self, size: Size) -> Size:
        """A size with every set hyper-parameter put in."""
        return size.substitute(self.hyper)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """The size conditions, with every set hyper-parameter put in."""
        return tuple(
            Condition(one.kind, self.size(one.left), self.size(one.right), one.why, one.span)
            for one in self.ir.conditions
        )

    @cached_property
    def rank_bound(self) -> Size | None:
        """The bound of the rank of `W' - W` that the expression says."""
        bound = self.spec.facts.rank_bound
        return None if bound is None else self.size(bound)

    @cached_property
    def factor_sizes(self) -> frozenset[Size]:
        """The sizes of all factors' axes."""
        return frozenset(self.size(size) for factor in self.ir.factors.values() for size in factor.shape)

    @cached_property
    def is_built_in(self) -> bool:
        """Whether all its operators are those of the language."""
        return all(is_built_in(node.operator) for node in topological(self.ir.roots()) if isinstance(node, Apply))

    def is_small(self, sizes: Environment) -> bool:
        """Whether the factors have few enough entries at these sizes to be derived by, one by one."""
        total = 0
        for factor in self.ir.factors.values():
            try:
                total += math.prod(self.size(size).integer(sizes) for size in factor.shape)
            except (UnknownSize, ValueError, ZeroDivisionError):
                return False
        return total <= MOST_ENTRIES

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """The trained factors that the compared values read, in the order of the formula."""
        from specdsl.ir import reads

        read = frozenset().union(*(reads(node) for node in self.values.values()))
        return tuple(name for name, factor in self.ir.factors.items() if factor.is_trained and name in read)


def subjects(a: Spec, b: Spec) -> tuple[Subject, Subject]:
    """Both specs at the level that both have.

    Raises:
        SpecNotBuiltError: a spec cannot be compared at all (clauses limited to some modules, rows added to tokens).
    """
    try:
        return _as_weight(a), _as_weight(b)
    except NotAffine:
        return _as_output(a), _as_output(b)


def is_weight(spec: Spec) -> bool:
    """Whether a spec adapts a weight, so that it is compared as one."""
    try:
        _as_weight(spec)
    except NotAffine:
        return False
    return True


def _refuse(spec: Spec) -> None:
    if spec.parts:
        raise SpecNotBuiltError(
            f"`{spec.label}` has clauses limited to some modules; what holds in each is compared on its own",
            spec.tree.span,
        )
    if spec.facts.added_rows is not None:
        raise SpecNotBuiltError(f"`{spec.label}` adds rows to the tokens, which cannot be compared yet", spec.tree.span)


def _as_weight(spec: Spec) -> Subject:
    _refuse(spec)
    found = adapted_weight(spec.ir)
    values = {"W'": found.get("W", W)}
    if "b" in found and found["b"] is not B:
        values["b'"] = found["b"]
    return Subject(spec, "weight", values)


def _as_output(spec: Spec) -> Subject:
    _refuse(spec)
    ir = spec.ir
    try:
        targets = at_rest(ir, ir.targets)
    except NotAffine:
        targets = dict(ir.targets)
    if "y" in targets:
        output = targets["y"]
    else:
        product = apply("matmul", (targets.get("x", X), targets.get("W", W)), Y.shape)
        output = apply("add", (product, targets.get("b", B)), Y.shape)
    bare = apply("add", (apply("matmul", (X, W), Y.shape), B), Y.shape)
    written = transform([output], lambda node: bare if node == Y else node)[output]
    return Subject(spec, "tokens", {"y'": written})


def with_same_values(a: Subject, b: Subject) -> tuple[Subject, Subject]:
    """Both with a bias, if one of them has one."""
    names = [name for name in ("W'", "b'", "y'") if name in {*a.values, *b.values}]
    bare: dict[str, Node] = {"W'": W, "b'": B}
    return (
        Subject(a.spec, a.level, {name: a.values[name] if name in a.values else bare[name] for name in names}),
        Subject(b.spec, b.level, {name: b.values[name] if name in b.values else bare[name] for name in names}),
    )


def decomposes_base(subject: Subject) -> bool:
    """Whether a value, a start or a constant reads the singular value decomposition of W itself."""
    svd = interned(Apply((), "svd", (W,)))
    return any(isinstance(node, Apply) and node.operator == "svd" and node.arguments == svd.arguments
               for node in topological(subject.ir.roots()))  # fmt: skip
