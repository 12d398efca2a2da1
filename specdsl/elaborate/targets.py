"""Which value a bare expression adapts, and what targets may read."""

from __future__ import annotations

from collections.abc import Mapping

from specdsl import tree
from specdsl.elaborate.clauses import Clauses
from specdsl.errors import (
    SpecNameError,
)
from specdsl.ir import (
    Apply,
    Node,
    interned,
    reads,
    transform,
)
from specdsl.source import Span


def target_of(node: Node) -> str:
    read = reads(node)
    if read & {"x", "y"}:
        return "y"
    return "b" if "b" in read and "W" not in read else "W"


def relabelled(root: Node, name: str) -> Node:
    """A bare target's random draws named as those of the equation that it stands for."""

    def change(node: Node) -> Node:
        label = node.option("label") if isinstance(node, Apply) else None
        if not (isinstance(node, Apply) and isinstance(label, str) and label.startswith("target.")):
            return node
        options = dict(node.options) | {"label": f"{name}'{label.removeprefix('target')}"}
        return interned(Apply(node.shape, node.operator, node.arguments, tuple(sorted(options.items()))))

    return transform([root], change)[root]


def check_targets(targets: Mapping[str, Node], clauses: Clauses, used: set[str]) -> None:
    """Raise where targets read what they cannot, or where one hides another."""
    for name in ("W", "b"):
        if name not in targets:
            continue
        refuse_input(name, targets[name], clauses.targets[name][0].span)
    if "W" in targets and not clauses.homogeneous and "b" in reads(targets["W"]):
        raise SpecNameError(
            "W' reads the bias `b`", _where("b", clauses.targets["W"][0]),
            "a factor needs another letter than `b`",
        )  # fmt: skip
    if "y" in targets:
        for name in sorted(set(targets) - {"y"}):
            if f"{name}'" not in used:
                raise SpecNameError(
                    f"{name}' is assigned but y' does not read it", clauses.targets[name][1],
                    f"y' already is the whole output; let it read {name}'",
                )  # fmt: skip
    if "x" in targets and "y" in reads(targets["x"]):
        raise SpecNameError("x' reads the output `y`", _where("y", clauses.targets["x"][0]))


def refuse_input(name: str, node: Node, span: Span) -> None:
    """Raise where W' or b' reads x or y."""
    wrong = reads(node) & {"x", "y"} if name in ("W", "b") else None
    if wrong:
        raise SpecNameError(
            f"{name}' reads `{min(wrong)}`, but a weight cannot depend on the input", span,
            "write an equation for y'",
        )  # fmt: skip


def _where(name: str, syntax: tree.Expr) -> Span:
    stack: list[tree.Syntax] = [syntax]
    while stack:
        node = stack.pop(0)
        if isinstance(node, tree.Name) and node.name == name:
            return node.span
        stack += tree.children(node)
    return syntax.span
