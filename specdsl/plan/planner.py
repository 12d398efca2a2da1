"""The choice of how a module computes its adapted output: the cheapest of the forms that are equal to it."""

from __future__ import annotations

from specdsl.affine import W as BASE_WEIGHT
from specdsl.affine import X, Y, adapted_weight, total
from specdsl.facts import facts_of, is_diagonal
from specdsl.interpret import Sizes
from specdsl.ir import Node, Site, SpecIR, interned
from specdsl.plan.constants import ConstantParts, stored_bytes
from specdsl.plan.cost import CostModel
from specdsl.plan.diagonals import without_diagonals
from specdsl.plan.forms import TOKENS, LayerTraits, Through
from specdsl.plan.names import names_in_plans
from specdsl.plan.norm_rows import diagonal_row
from specdsl.plan.preparation import Preparation
from specdsl.plan.pushing import Pusher
from specdsl.plan.result import Plan
from specdsl.plan.sums import with_base_output


def make_plan(ir: SpecIR, sizes: Sizes, traits: LayerTraits, tokens: int = TOKENS) -> Plan:
    """Choose how a module with these sizes computes the spec's output.

    Args:
        ir: the spec.
        sizes: of the module.
        traits: its type.
        tokens: how many tokens a step is counted for.
    """
    planner = _Planner(ir, sizes, traits, tokens)
    output = without_diagonals(planner.output())
    constants = planner.constants.find([output])
    return Plan(
        output=output,
        constants=constants,
        names=names_in_plans(ir, sizes, traits),
        cost=planner.costs.of(output),
        frozen=planner.costs.frozen,
        stored=sum(stored_bytes(node, sizes) for node in constants),
        tokens=tokens,
    )


class _Planner:
    def __init__(self, ir: SpecIR, sizes: Sizes, traits: LayerTraits, tokens: int) -> None:
        self.traits = traits
        preparation = Preparation(ir, sizes, traits, tokens)
        self.constants = ConstantParts(preparation.changing)
        self.costs = CostModel(ir, preparation, self.constants)
        self.pusher = Pusher(self.costs, traits)
        targets = ir.targets
        if traits.only_weight:
            targets = adapted_weight(ir)
        elif "x" in targets and not traits.has_cheap_tokens and facts_of(ir).mergeable:
            targets = adapted_weight(ir)  # x is not at hand as an array of tokens, so x' is read as a weight
        self.targets = {name: preparation.of(node) for name, node in targets.items()}

    def output(self) -> Node:
        """The cheapest of the forms that are equal to the spec's output."""
        if "y" in self.targets:
            return with_base_output(self.pusher.tokens(self.targets["y"]), self.traits.has_bias)
        weight = self.targets.get("W", BASE_WEIGHT)
        bias = self._bias()
        if self.traits.only_weight:
            return interned(Through(Y.shape, weight, bias))
        if "x" in self.targets:
            pushed = self.pusher.push(self.pusher.tokens(self.targets["x"]), weight)
            return pushed if bias is None else total(pushed, bias)
        if weight == BASE_WEIGHT and bias is not None and "b" in self.targets:
            return interned(Through(Y.shape, BASE_WEIGHT, bias))  # at no cost
        if self.traits.weight_is_diagonal and is_diagonal(weight, True):
            return interned(Through(Y.shape, diagonal_row(weight), bias))
        return self._affine(weight, bias)

    def _affine(self, weight: Node, bias: Node | None) -> Node:
        pushed = self.pusher.push(X, weight)
        split = with_base_output(pushed if bias is None else total(pushed, bias), self.traits.has_bias)
        if self.traits.weight_is_diagonal:
            return split  # a norm cannot run with a full matrix
        whole = interned(Through(Y.shape, weight, bias))
        return min((split, whole), key=lambda node: self.costs.of(node).flops)

    def _bias(self) -> Node | None:
        if "b" in self.targets:
            return self.targets["b"]
        return Site((Y.shape[1],), "b") if self.traits.has_bias else None
