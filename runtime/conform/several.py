"""Properties of several adapters in one model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from specdsl.errors import SpecMergeError
from specdsl.runtime.conform.case import SEED, Attached, Case, state
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, within, worst
from specdsl.runtime.conform.property import states


@dataclass(frozen=True)
class Two:
    """Two adapters of one spec in one model, and each alone in a model of its own."""

    first: Attached
    second: Attached
    first_alone: Attached
    second_alone: Attached

    @staticmethod
    def of(case: Case) -> Two:
        first = case.attached(moved=True, name="first")
        second = case.attached(moved=True, name="second", seed=SEED + 1, model=first.model)
        return Two(first, second, case.attached(moved=True), case.attached(moved=True, seed=SEED + 1))


@states
def two_adapters_add_up(case: Case) -> Outcome:
    """Two adapters add the differences that each alone makes, attached and merged."""
    if case.spec.facts.added_rows is not None:
        return does_not_apply("rows that are added have no difference")
    two, tolerance = Two.of(case), case.axes.tolerance
    with torch.no_grad():
        base = case.base()(case.x)
    expected = two.first_alone.output() + two.second_alone.output() - base
    together = two.first.output()
    outcomes = [within(distance(together, expected), tolerance, "both together")]
    try:
        two.first.adapter.merge()
        outcomes.append(within(distance(two.first.output(), expected), tolerance, "one of them merged"))
        two.second.adapter.merge()
        outcomes.append(within(distance(two.first.output(), expected), tolerance, "both merged"))
    except SpecMergeError:
        return worst(outcomes)
    return worst(outcomes)


@states
def one_of_two_adapters_can_go(case: Case) -> Outcome:
    """Without one of two adapters the other computes as it does alone, and the name is gone."""
    two = Two.of(case)
    two.second.adapter.detach()
    model = two.first.model
    left = [name for name in (*dict(model.named_modules()), *state(model)) if "second" in name.split(".")]
    return worst([
        holds(torch.equal(two.first.output(), two.first_alone.output()), "the other adapter computes something else"),
        holds(not left, f"{', '.join(left)} is left"),
    ])  # fmt: skip


@states
def each_of_two_can_be_switched_off(case: Case) -> Outcome:
    """With one of two adapters disabled the other computes as it does alone."""
    two = Two.of(case)
    outcomes = []
    for off, alone in ((two.first, two.second_alone), (two.second, two.first_alone)):
        with off.adapter.disabled():
            outcomes.append(holds(torch.equal(two.first.output(), alone.output()), "the other computes something else"))
    return worst(outcomes)


PROPERTIES = (two_adapters_add_up, one_of_two_adapters_can_go, each_of_two_can_be_switched_off)
