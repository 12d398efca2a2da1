"""A program over a stack of layers: run for all matrices at once, each with its own weight and factors.

`torch.vmap` makes one batched product of what would be as many small ones. Operators in `ONE_BY_ONE` look at values
to decide what to do, which a batch cannot; with one of them, or one of a user's, the layers run in turn.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from specdsl.affine import Y
from specdsl.ir import Apply, Node, Site
from specdsl.lowering.program import Program, ReadGiven, ReadLeaf
from specdsl.lowering.sites import LayerSite
from specdsl.operators.registry import is_built_in
from specdsl.plan import Project, Through

ONE_BY_ONE = frozenset({"lu", "ldu"})
"""Operators of specdsl that `torch.vmap` does not carry out."""


def run_stacked(
    program: Program,
    site: LayerSite,
    leaf: ReadLeaf,
    is_shared: Callable[[Node], bool],
    x: Tensor | None = None,
    base: Callable[[], Tensor] | None = None,
    training: bool = False,
    given: ReadGiven | None = None,
) -> Tensor:
    """The value of a program in every layer of a stack, with the stack as its first axis.

    Args:
        program: of one layer.
        site: the stack.
        leaf: gives stored factors and constants, `stack x ...` unless shared.
        is_shared: whether a factor is one tensor for all layers.
        x, base, training, given: as for `Program.run`, of the whole module.
    """
    weight = site.weight
    leaves = {step.node: leaf(step.node) for step in program.steps if program.is_stored(step.node)}
    arrays: dict[object, Tensor] = {"weight": site.member_weights(weight)}
    if site.bias is not None:
        arrays["bias"] = site.biases(site.bias)
    if x is not None:
        arrays["x"] = site.member_inputs(x)
    if base is not None and any(step.node == Y for step in program.steps):
        arrays["y"] = site.member_outputs(base())
    arrays |= {node: value for node, value in leaves.items() if not is_shared(node)}

    def one(*own: Tensor) -> Tensor:
        values = dict(zip(arrays, own, strict=True))
        return program.run(
            site.member(values["weight"], values.get("bias")),
            lambda node: values[node] if node in values else leaves[node],
            values.get("x"),
            lambda: values["y"],
            training,
            like=weight,
            given=given,
        )

    if _is_batched(program):
        batched: Tensor = torch.vmap(one, randomness="different")(*arrays.values())
        return batched
    return torch.stack([one(*own) for own in zip(*arrays.values(), strict=True)])


def reads_members(program: Program, is_shared: Callable[[Node], bool]) -> bool:
    """Whether the value of a program differs between the layers of a stack."""
    return any(
        (program.is_stored(step.node) and not is_shared(step.node)) or isinstance(step.node, Site | Project | Through)
        for step in program.steps
    )


def _is_batched(program: Program) -> bool:
    names = {step.node.operator for step in program.steps if isinstance(step.node, Apply)}
    return all(is_built_in(name) and name not in ONE_BY_ONE for name in names)
