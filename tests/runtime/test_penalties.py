"""The value of a penalty: over which modules, of which tensors, under which text."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from tests.runtime.penalised import (
    ON,
    SPEC,
    added,
    factors_of,
    gradient_of,
    model_of,
    optimizer_of,
    orth,
    penalty,
)  # fmt: skip


def test_two_adapters_each_have_their_own() -> None:
    model, first = model_of("W + A@B | r = 2 | orth(A)", name="one")
    second = specdsl.attach(model, "W + C@D | r = 2 | penalty 2 * norm(C)^2", on="re:first", name="two")
    A, C = factors_of(first)["first.A"], factors_of(second)["first.C"]
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.0)
    assert_close(added(model, optimizer, [A, C]), [*gradient_of(orth, A), 4 * C.detach()])


def test_a_penalty_over_the_model_is_added_once() -> None:
    model, adapter = model_of("W + A@B | r = 2 | penalty 0.5 * mean(layers([norm(A.T@A - eye), norm(B)]))")
    values = [factors_of(adapter)[name] for name in ("first.A", "first.B", "second.A", "second.B")]

    def formula(A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        eye = torch.eye(2)
        return 0.5 * (torch.norm(A.T @ A - eye) + torch.norm(B) + torch.norm(C.T @ C - eye) + torch.norm(D)) / 4

    assert_close(added(model, optimizer_of(adapter), values), gradient_of(formula, *values))


def test_a_penalty_may_compare_a_module_with_the_model() -> None:
    """It reads its own module's factor beside a list over all: once for each module."""
    model, adapter = model_of("W + A@B | r = 2 | penalty (norm(A) - mean(layers(norm(A))))^2")
    values = [factors_of(adapter)[name] for name in ("first.A", "second.A")]

    def formula(A: Tensor, C: Tensor) -> Tensor:
        mean = (torch.norm(A) + torch.norm(C)) / 2
        return (torch.norm(A) - mean) ** 2 + (torch.norm(C) - mean) ** 2

    assert_close(added(model, optimizer_of(adapter), values), gradient_of(formula, *values))


def test_a_shared_factor_counts_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))
    spec = "shared(n) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B\npenalty norm(A)^2\npenalty norm(B)^2"
    adapter = specdsl.attach(model, spec, on="re:.*")
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.fill_(0.5)
    assert float(adapter.penalties()["norm(A)^2"].detach()) == pytest.approx(12 / 4)
    assert float(adapter.penalties()["norm(B)^2"].detach()) == pytest.approx(3 * 12 / 4)


def test_a_penalty_may_read_the_weight() -> None:
    model, adapter = model_of("W + A@B | r = 2 | penalty norm(W' - W)^2 | penalty norm(W.T@A)^2")
    values = [factors_of(adapter)[name] for name in ("first.A", "first.B")]
    W = model.first.weight.detach().T
    wanted = gradient_of(lambda A, B: ((A @ B) ** 2).sum() + ((W.T @ A) ** 2).sum(), *values)
    assert_close(added(model, optimizer_of(adapter), values), wanted, rtol=1e-4, atol=1e-4)


def test_a_penalty_reads_the_base_weight_while_another_adapter_is_merged() -> None:
    model, first = model_of("W + A@B | r = 2", name="one")
    second = specdsl.attach(model, "W + C@D | r = 2 | penalty norm(W)^2 * norm(C)^2", on=ON, name="two")
    before = second.penalty().detach()
    first.merge()
    assert_close(second.penalty().detach(), before)


def test_terms_are_known_by_their_text() -> None:
    _, adapter = model_of(SPEC)
    found = adapter.penalties()
    factors = factors_of(adapter)
    assert list(found) == ["orth(A)", "0.1 * norm(A@G@B)^2"]
    assert_close(found["orth(A)"], orth(factors["first.A"]) + orth(factors["second.A"]))
    assert_close(sum(found.values()), penalty(factors))
    assert_close(adapter.penalty(), penalty(factors))


def test_autocast_leaves_penalties_in_float32() -> None:
    _model, adapter = model_of(SPEC)
    with torch.autocast("cpu", torch.bfloat16):
        found = adapter.penalty()
    assert found.dtype == torch.float32
    assert torch.equal(found, adapter.penalty())


def test_a_penalty_may_read_an_input() -> None:
    _, adapter = model_of("input t : 1 ~ 1 | W + A@B | r = 2 | penalty t * norm(A)^2")
    A = factors_of(adapter)
    expected = sum(float(A[f"{place}.A"].detach().square().sum()) for place in ("first", "second"))
    assert float(adapter.penalty().detach()) == pytest.approx(expected)
    adapter.set_inputs(t=3)
    assert float(adapter.penalty().detach()) == pytest.approx(3 * expected)
