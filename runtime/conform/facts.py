"""Properties of the facts: what the spec says of itself is true of the numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from specdsl.runtime.conform.case import Case
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, within, worst
from specdsl.runtime.conform.property import states


@states
def trains_as_many_parameters_as_it_says(case: Case) -> Outcome:
    """The formula of the facts counts the entries of the trained factors."""
    facts = case.spec.facts
    made = case.fresh
    counted = sum(value.numel() for _, value in made.trained())
    copies = [len(names) for names in made.names()]
    own = sum(count * case.numbers(layer).number(facts.trained) for layer, count in enumerate(copies))
    shared = [value for (_, scope), value in made.trained() if not scope.startswith("layers.")]
    says = own + sum(value.numel() for value in shared)
    known = {value.numel() for value in shared} or {0}
    single = case.numbers(0).number(facts.shared)
    if sum(value.numel() for value in shared) and single < max(known):
        return holds(False, f"shared factors have {max(known)} entries, not {float(single):g}")
    reported = made.adapter.trainable_parameters
    return holds(
        counted == says == reported, f"{counted} are trained; the facts say {float(says):g}, the report {reported}"
    )


@states
def changes_the_weight_by_its_rank(case: Case) -> Outcome:
    """The rank of `W' - W` is at most the bound of the facts."""
    bound = case.spec.facts.rank_bound
    if bound is None:
        return does_not_apply("the facts know no bound")
    if case.axes.dtype != "float64":
        return does_not_apply("ranks need float64")
    differences = _differences(case)
    if differences is None:
        return does_not_apply("this layer cannot be merged")
    largest = case.numbers(0).number(bound)
    rank = max(int(torch.linalg.matrix_rank(D, atol=1e-8)) for changed in differences for D in changed)
    return holds(rank <= largest, f"the rank is {rank}, the bound {float(largest):g}")


@states
def is_a_lora_if_it_says_so(case: Case) -> Outcome:
    """`W' - W` is a multiple of the product of two factors where the facts say exactly that."""
    if not case.spec.facts.exactly_lora:
        return does_not_apply("it is no LoRA")
    differences = _differences(case)
    if differences is None:
        return does_not_apply("this layer cannot be merged")
    made = case.moved
    outcomes = []
    for number, (member, changed) in enumerate(zip(made.adapter.members, differences, strict=True)):
        each = [made.own(number, name, value.detach().double()) for name, value in member.layer.own_factors()]
        outcomes += [_is_multiple(case, *one) for one in zip(changed, *each, strict=True)]
    return worst(outcomes)


def _is_multiple(case: Case, difference: Tensor, *factors: Tensor) -> Outcome:
    n, m = difference.shape
    tables = [factor for factor in factors if factor.dim() == 2]
    chains = [(A, B) for A in tables for B in tables if (len(A), A.shape[1], B.shape[1]) == (n, len(B), m)]
    products = [A @ B for A, B in chains]
    away = [distance(P * (P * difference).sum() / (P * P).sum(), difference) for P in products]
    return within(min(away, default=float("inf")), 10 * case.axes.tolerance, "W' - W is no product of two factors")


@states
def makes_a_bias_if_it_says_so(case: Case) -> Outcome:
    """A layer without bias has one after merging exactly if the facts say so."""
    if not case.spec.facts.mergeable:
        return does_not_apply("the spec is not a weight")
    if case.has_bias:
        return does_not_apply("the layer has a bias")
    if case.merge_refusal is not None:
        return does_not_apply(case.merge_refusal)
    has = [case.layer.bias(module) is not None for module in case.merged_alone[0].layers]
    return holds(has == [case.spec.facts.creates_bias] * 2, f"after merging, biases are there: {has}")


def _differences(case: Case) -> list[list[Tensor]] | None:
    """`W' - W` of every matrix of every layer; None where they cannot be merged."""
    if case.merge_refusal is not None:
        return None
    pairs = zip(case.merged_alone[0].layers, case.base().layers, strict=True)
    return [
        [new - old for new, old in zip(case.layer.matrices(merged), case.layer.matrices(bare), strict=True)]
        for merged, bare in pairs
    ]


PROPERTIES = (
    trains_as_many_parameters_as_it_says,
    changes_the_weight_by_its_rank,
    is_a_lora_if_it_says_so,
    makes_a_bias_if_it_says_so,
)
