"""A spec that is attached again to equal layers is not planned again."""

from __future__ import annotations

import gc

from torch import nn

import specdsl
from specdsl.runtime import kept_lowerings
from specdsl.spec import Spec


def attached(spec: Spec, *sizes: tuple[int, int]) -> specdsl.Adapter:
    return specdsl.attach(nn.Sequential(*(nn.Linear(n, m) for n, m in sizes)), spec, on=r"re:\d+")


def lowered(adapter: specdsl.Adapter) -> object:
    return adapter.members[0].layer.lowered


def test_equal_layers_have_one_plan_in_two_models() -> None:
    spec = specdsl.parse("W + A@B | r = 2")
    first, second = attached(spec, (6, 4)), attached(spec, (6, 4))
    assert lowered(first) is lowered(second)


def test_other_sizes_have_another_plan() -> None:
    spec = specdsl.parse("W + A@B | r = 2")
    first, second = attached(spec, (6, 4)), attached(spec, (6, 5))
    assert lowered(first) is not lowered(second)


def test_a_spec_that_reads_all_layers_is_planned_for_all_of_them() -> None:
    spec = specdsl.parse("r = 2 | shared A : max(layers(n)) x r | W + A[:n, :]@B")
    alone, beside_a_larger = attached(spec, (4, 4)), attached(spec, (4, 4), (9, 4))
    assert lowered(alone) is not lowered(beside_a_larger)
    shapes = [tuple(next(adapter.factors())[2].shape) for adapter in (alone, beside_a_larger)]
    assert shapes == [(4, 2), (9, 2)]


def test_plans_are_kept_as_long_as_an_adapter_has_them() -> None:
    gc.collect()
    before = len(kept_lowerings._KEPT)
    adapter = attached(specdsl.parse("W + A@B | r = 2"), (6, 4))
    assert len(kept_lowerings._KEPT) == before + 1
    del adapter
    gc.collect()
    assert len(kept_lowerings._KEPT) == before
