"""Properties of the start: where the adapted layer and its factors begin."""

from __future__ import annotations

import torch

from specdsl.errors import SpecSettingError
from specdsl.runtime.conform.case import SEED, Case, state
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, is_same, within, worst
from specdsl.runtime.conform.property import states


@states
def starts_at_the_base(case: Case) -> Outcome:
    """The adapted layer starts as the bare one, or elsewhere if the spec says so."""
    made = case.attached()
    made.adapter.set_inputs(**dict.fromkeys(_with_default(case)))
    with torch.no_grad():
        base = made.rows(case.base()(case.x))
    found = made.rows(made.output())
    away = distance(found[..., -base.shape[-2] :, :], base)  # added rows are new
    if case.spec.facts.starts_at_base:
        return within(away, case.axes.tolerance, "the output is not that of the base")
    if case.layer.is_diagonal and away <= case.axes.tolerance:
        return does_not_apply("with a diagonal weight the spec happens to start at the base")
    if away <= case.axes.tolerance and case.axes.dtype != "float64":
        return does_not_apply("the start differs from the base by less than this dtype tells apart")
    return holds(away > case.axes.tolerance, "`starts: elsewhere` is said, but the output is that of the base")


def _with_default(case: Case) -> list[str]:
    return [name for name in case.inputs if case.spec.ir.given[name].start is not None]


@states
def factors_start_as_stated(case: Case) -> Outcome:
    """Every factor starts at the value that the spec states, computed a second time in float64."""
    made = case.fresh
    literal = made.literal({})
    outcomes = []
    for number, member in enumerate(made.adapter.members):
        for name, value in member.layer.own_factors():
            pairs = zip(made.own(number, name, value), literal.starts(number, name), strict=True)
            outcomes += [within(distance(*pair), case.axes.tolerance, f"`{name}`") for pair in pairs]
    return worst(outcomes)


@states
def starts_from_its_seed_alone(case: Case) -> Outcome:
    """Neither the adapter's name nor torch's global seed changes the factors."""
    first = case.fresh
    with torch.random.fork_rng():
        torch.manual_seed(99)
        second = case.attached(name="another")
    pairs = zip(first.adapter.factors(), second.adapter.factors(), strict=True)
    return worst(holds(is_same(one, other), f"`{name}` differs") for (_, name, one), (_, _, other) in pairs)


@states
def a_taken_name_is_refused(case: Case) -> Outcome:
    """A second adapter under a taken name is an error that changes nothing."""
    made = case.attached()
    before = state(made.model)
    try:
        case.attached(model=made.model, seed=SEED + 1)
    except SpecSettingError:
        after = state(made.model)
        same = before.keys() == after.keys() and all(is_same(after[name], value) for name, value in before.items())
        return holds(same, "the model changed")
    return holds(False, "a second adapter of the same name was attached")


PROPERTIES = (starts_at_the_base, factors_start_as_stated, starts_from_its_seed_alone, a_taken_name_is_refused)
