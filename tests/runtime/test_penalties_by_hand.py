"""A loop that adds `adapter.penalty()` itself is left alone, and warned of a step without it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from specdsl.errors import SpecWarning
from specdsl.runtime.adapter import Adapter
from tests.runtime.penalised import (
    SPEC,
    batches,
    expected,
    factors_of,
    gradients_of,
    model_of,
    optimizer_of,
    smoothed,
    stepped,
)  # fmt: skip


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("when", ["every pass", "last pass"])
def test_a_loop_that_adds_the_penalty_itself(accumulated: int, when: str) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for number in range(4 // accumulated):
        used = batches()[number * accumulated : (number + 1) * accumulated]
        for batch in used:
            loss = smoothed(model(batch["x"])["logits"], batch["labels"]) / accumulated
            if when == "every pass":
                loss = loss + adapter.penalty() / accumulated
            elif batch is used[-1]:
                loss = loss + adapter.penalty()
            loss.backward()
        found = stepped(adapter, optimizer)
        assert_close(found, expected(model, adapter, smoothed, used))
        optimizer.zero_grad()


def test_a_penalty_added_in_the_first_pass_only() -> None:
    model, adapter = model_of(SPEC)
    first, second, *_ = batches()
    (model(**first)["loss"] / 2 + adapter.penalty()).backward()
    (model(**second)["loss"] / 2).backward()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [first, second]))


def test_a_loop_may_weigh_the_penalty() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    (model(**batch)["loss"] + 3 * adapter.penalty()).backward()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch], weight=3.0))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_dropping_gradients_before_the_loop_takes_over(set_to_none: bool) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    first, second, *_ = batches()
    model(**first)["loss"].backward()
    optimizer.zero_grad(set_to_none)
    (model(**second)["loss"] + adapter.penalty()).backward()
    assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [second]))


def test_reading_terms_changes_no_step() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    float(adapter.penalty().detach())
    model(**batch)["loss"].backward()
    with torch.no_grad():
        adapter.penalty()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch]))


@pytest.fixture
def warned() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", SpecWarning)
        yield found


def test_a_loop_that_leaves_its_penalty_out_is_warned_once_in_the_step(
    warned: list[warnings.WarningMessage],
) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for with_penalty in (True, False, True, False):
        for batch in batches():
            loss = model(**batch)["loss"]
            (loss + adapter.penalty() if with_penalty else loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert [str(one.message) for one in warned] == [
        (
            "this training step left out the penalty `orth(A)`, `0.1 * norm(A@G@B)^2` of the adapter `default`, which "
            "the loop adds itself with `adapter.penalty()`"
        )
    ] * 2
    assert {Path(one.filename).name for one in warned} == {"test_penalties_by_hand.py"}


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_loop_that_drops_the_pass_with_the_penalty_is_warned(
    set_to_none: bool, warned: list[warnings.WarningMessage]
) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    first, second, *_ = batches()
    (model(**first)["loss"] + adapter.penalty()).backward()
    optimizer.zero_grad(set_to_none)
    model(**second)["loss"].backward()
    assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [second], weight=0.0))
    assert ["left out the penalty `orth(A)`" in str(one.message) for one in warned] == [True]


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_loop_that_repeats_a_dropped_pass_is_not_warned(
    set_to_none: bool, warned: list[warnings.WarningMessage]
) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for batch in batches():
        optimizer.zero_grad(set_to_none)
        (model(**batch)["loss"] + adapter.penalty()).backward()
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), 0.5)
    optimizer.step()
    assert not warned


def sums_of_passes(adapter: Adapter, losses: list[Tensor]) -> None:
    """Accumulates in tensors of its own, as loops do that want each batch's gradient."""
    sums = {parameter: torch.zeros_like(parameter) for parameter in adapter.parameters()}
    optimizer = optimizer_of(adapter)
    for loss in losses:
        loss.backward()
        for parameter, total in sums.items():
            total += torch.zeros_like(total) if parameter.grad is None else parameter.grad
        optimizer.zero_grad()
    for parameter, total in sums.items():
        parameter.grad = total
    optimizer.step()


def test_a_loop_that_sums_gradients_itself_is_warned(warned: list[warnings.WarningMessage]) -> None:
    model, adapter = model_of(SPEC)
    sums_of_passes(adapter, [model(**batch)["loss"] / 4 for batch in batches()])
    assert [str(one.message) for one in warned] == [
        (
            "the loop sums gradients itself over 4 backward passes, each of which was given the penalty `orth(A)`, "
            "`0.1 * norm(A@G@B)^2` of the adapter `default`; write `loss + adapter.penalty()` in one of them, and the "
            "others are left alone"
        )
    ]


def test_a_loop_that_sums_gradients_adds_the_penalty_to_its_first_pass(warned: list[warnings.WarningMessage]) -> None:
    model, adapter = model_of(SPEC)
    losses = [model(**batch)["loss"] / 4 for batch in batches()]
    sums_of_passes(adapter, [losses[0] + adapter.penalty(), *losses[1:]])
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, batches()))
    assert not warned


def test_two_optimisers_of_one_pass_are_not_warned(warned: list[warnings.WarningMessage]) -> None:
    model, adapter = model_of(SPEC)
    values = factors_of(adapter)
    optimizers = [torch.optim.SGD([values[f"{place}.{n}"] for place in ("first", "second")], lr=0.0) for n in "AGB"]
    batch = batches()[0]
    (model(**batch)["loss"] + adapter.penalty()).backward()
    for optimizer in optimizers:
        optimizer.step()
    assert not warned
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_steps_of_something_else_are_not_warned(warned: list[warnings.WarningMessage]) -> None:
    model, adapter = model_of(SPEC)
    (model(**batches()[0])["loss"] + adapter.penalty()).backward()
    stepped(adapter)
    other = nn.Linear(2, 2)
    other(torch.ones(2)).sum().backward()
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert not warned
