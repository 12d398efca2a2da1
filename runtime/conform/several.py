"""Properties of several adapters in one model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from specdsl.runtime.conform.case import SEED, Attached, Case, state
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, within, worst
from specdsl.runtime.conform.property import states


@dataclass(frozen=True)
class Two:
    """Two adapters of one spec in one model."""

    first: Attached
    second: Attached

    @staticmethod
    def of(case: Case) -> Two:
        first = case.attached(moved=True, name="first")
        return Two(first, case.attached(moved=True, name="second", seed=SEED + 1, model=first.model))


@states
def two_adapters_add_up(case: Case) -> Outcome:
    """Two adapters add the differences that each alone makes, attached and merged."""
    if case.spec.facts.added_rows is not None:
        return does_not_apply("rows that are added have no difference")
    two = Two.of(case)
    attached = two.first.output()
    first, second = (alone.output() for alone in case.each_alone)
    expected = first + second - _base(case)
    outcomes = [_same(case, attached, expected, "both together")] if case.layer.is_linear_in_its_weight else []
    if case.merge_refusal is not None:
        return worst(outcomes)
    for adapter, what in ((two.first.adapter, "one of them merged"), (two.second.adapter, "both merged")):
        adapter.merge()
        outcomes.append(_same(case, two.first.output(), attached, what))
    return worst([*outcomes, *_merged_sums(case, two)])


def _base(case: Case) -> Tensor:
    with torch.no_grad():
        output: Tensor = case.base()(case.x)
    return output


def _same(case: Case, found: Tensor, expected: Tensor, what: str) -> Outcome:
    return within(distance(found, expected), case.axes.tolerance, what)


def _merged_sums(case: Case, two: Two) -> Iterator[Outcome]:
    """Of every matrix: the difference that both make is the sum of those that each makes."""
    models = [two.first.model, *(case.merged_alone), case.base()]
    for modules in zip(*(model.layers for model in models), strict=True):
        for both, first, second, bare in zip(*(case.layer.matrices(module) for module in modules), strict=True):
            yield _same(case, both, first + second - bare, "the weight with both merged")


@states
def one_of_two_adapters_can_go(case: Case) -> Outcome:
    """Without one of two adapters the other computes as it does alone, and the name is gone."""
    two = Two.of(case)
    two.second.adapter.detach()
    model = two.first.model
    left = [name for name in (*dict(model.named_modules()), *state(model)) if "second" in name.split(".")]
    alone = case.each_alone[0].output()
    return worst([
        holds(torch.equal(two.first.output(), alone), "the other adapter computes something else"),
        holds(not left, f"{', '.join(left)} is left"),
    ])  # fmt: skip


@states
def each_of_two_can_be_switched_off(case: Case) -> Outcome:
    """With one of two adapters disabled the other computes as it does alone."""
    two = Two.of(case)
    outcomes = []
    for off, alone in zip((two.first, two.second), reversed(case.each_alone), strict=True):
        with off.adapter.disabled():
            outcomes.append(holds(torch.equal(two.first.output(), alone.output()), "the other computes something else"))
    return worst(outcomes)


PROPERTIES = (two_adapters_add_up, one_of_two_adapters_can_go, each_of_two_can_be_switched_off)
