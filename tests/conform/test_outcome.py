from __future__ import annotations

import math

import torch

from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, within, worst


def test_a_number_that_is_none_fails() -> None:
    assert within(math.nan, 1.0).status == "failed"
    assert within(math.inf, 1.0).as_dict()["measured"] == "inf"


def test_a_distance_is_relative_to_the_largest_entry_but_at_least_to_one() -> None:
    assert distance(torch.tensor([0.25]), torch.tensor([0.5])) == 0.25
    assert distance(torch.tensor([98.0, 1.0]), torch.tensor([100.0, 1.0])) == 0.02
    assert math.isnan(distance(torch.tensor([math.nan]), torch.tensor([1.0])))
    assert distance(torch.zeros(2), torch.zeros(3)) == math.inf


def test_the_worst_is_a_failure_or_the_number_nearest_to_its_tolerance() -> None:
    near, far = within(0.9, 1.0), within(0.1, 1.0)
    assert worst([far, near]) == near
    assert worst([near, holds(False, "no"), within(2.0, 1.0)]).reason == "no"
    assert worst([]) == Outcome("held")


def test_outcomes_show_what_they_found() -> None:
    shown = [str(one) for one in (within(0.0, 1.0), within(2e-3, 1e-9, "the output"), does_not_apply("no"))]
    assert shown == ["✓", "✗ the output: 0.002 > 1e-09", "·"]
