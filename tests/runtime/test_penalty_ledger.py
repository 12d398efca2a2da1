"""A penalty is in every step of a plain loop once: gradients against autograd of the formula."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from specdsl.runtime.adapter import Adapter
from tests.runtime.penalised import (
    PLAIN,
    SPEC,
    batches,
    clipped,
    expected,
    factors_of,
    gradients_of,
    model_of,
    optimizer_of,
    penalty,
    stepped,
)  # fmt: skip


@pytest.mark.parametrize("accumulated", [1, 4])
def test_a_loop_over_the_loss_of_the_model(accumulated: int) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for number in range(4 // accumulated):
        used = batches()[number * accumulated : (number + 1) * accumulated]
        for batch in used:
            (model(**batch)["loss"] / accumulated).backward()
        found = stepped(adapter, optimizer)
        assert_close(found, expected(model, adapter, F.cross_entropy, used))
        optimizer.zero_grad()


def test_a_loop_may_clip() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    model(**batch)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), 0.5)
    assert_close(stepped(adapter), clipped(expected(model, adapter, F.cross_entropy, [batch]), 0.5))


def test_clipping_every_pass_adds_no_penalty_twice() -> None:
    """The gradient was changed in place and still holds the first pass's penalty."""
    model, adapter = model_of(SPEC)
    first, second, *_ = batches()
    model(**first)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(adapter.parameters(), 0.5)
    model(**second)["loss"].backward()
    before = clipped(expected(model, adapter, F.cross_entropy, [first]), 0.5)
    after = expected(model, adapter, F.cross_entropy, [second], weight=0.0)
    assert_close(stepped(adapter), {name: before[name] + after[name] for name in before})


@pytest.mark.parametrize("set_to_none", [True, False])
def test_dropping_gradients_without_a_step_drops_the_penalty_too(set_to_none: bool) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    first, second, *_ = batches()
    model(**first)["loss"].backward()
    optimizer.zero_grad(set_to_none)
    model(**second)["loss"].backward()
    assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [second]))


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_kept_over_a_step_get_the_penalty_of_the_next(set_to_none: bool) -> None:
    model, adapter = model_of(SPEC)
    optimizer = optimizer_of(adapter)
    for batch in batches():
        optimizer.zero_grad(set_to_none)
        model(**batch)["loss"].backward()
        assert_close(stepped(adapter, optimizer), expected(model, adapter, F.cross_entropy, [batch]))


def test_new_gradient_tensors_get_no_second_penalty() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    model(**batch)["loss"].backward()
    for parameter in adapter.parameters():
        assert parameter.grad is not None
        parameter.grad = 0.5 * parameter.grad
    wanted = expected(model, adapter, F.cross_entropy, [batch])
    assert_close(stepped(adapter), {name: 0.5 * value for name, value in wanted.items()})


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_passes_that_keep_the_graph_get_no_second_penalty() -> None:
    """They accumulate into a new tensor each."""
    model, adapter = model_of(SPEC)
    for batch in batches()[:2]:
        (model(**batch)["loss"] / 2).backward(create_graph=True)
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, batches()[:2]))
    for parameter in adapter.parameters():
        parameter.grad = None  # of the graph, which refers to the parameter


def test_gradients_set_by_hand_get_the_penalty() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    parameters = list(adapter.parameters())
    found = torch.autograd.grad(model(**batch)["loss"], parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        parameter.grad = gradient
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_step_with_a_closure() -> None:
    model, adapter = model_of(SPEC)
    batch = batches()[0]
    optimizer = torch.optim.LBFGS(list(adapter.parameters()), lr=0.0, max_iter=1)
    seen = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model(**batch)["loss"]
        loss.backward()
        seen.append(gradients_of(adapter))
        return loss

    optimizer.step(closure)
    assert_close(seen[0], expected(model, adapter, F.cross_entropy, [batch]))


def test_an_unused_module_is_penalised_too() -> None:
    """No backward pass reaches its factors, so they get the penalty at the step."""
    model, adapter = model_of(SPEC)
    model.first(batches()[0]["x"]).sum().backward()
    found = stepped(adapter)
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    wanted = dict(zip(factors, torch.autograd.grad(penalty(factors), list(factors.values())), strict=True))
    for name in ("second.A", "second.G", "second.B"):
        assert_close(found[name], wanted[name])


def test_a_factor_that_is_frozen_by_hand_gets_no_gradient() -> None:
    model, adapter = model_of(SPEC)
    frozen = factors_of(adapter)["first.A"]
    frozen.requires_grad_(False)
    batch = batches()[0]
    model(**batch)["loss"].backward()
    found = stepped(adapter)
    wanted = expected(model, adapter, F.cross_entropy, [batch])
    assert frozen.grad is None
    assert_close(
        {k: v for k, v in found.items() if k != "first.A"}, {k: v for k, v in wanted.items() if k != "first.A"}
    )


def test_two_optimisers_of_one_pass_share_the_automatic_penalty() -> None:
    model, adapter = model_of(SPEC)
    values = factors_of(adapter)
    optimizers = [torch.optim.SGD([values[f"{place}.{n}"] for place in ("first", "second")], lr=0.0) for n in "AGB"]
    batch = batches()[0]
    model(**batch)["loss"].backward()
    for optimizer in optimizers:
        optimizer.step()
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_pass_in_eval_mode_adds_none() -> None:
    model, adapter = model_of(SPEC)
    model.eval()
    batch = batches()[0]
    model(**batch)["loss"].backward()
    assert_close(gradients_of(adapter), expected(model, adapter, F.cross_entropy, [batch], weight=0.0))


def test_a_step_in_eval_mode_is_a_step() -> None:
    """Some train with dropout switched off that way."""
    model, adapter = model_of(SPEC)
    model.eval()
    batch = batches()[0]
    model(**batch)["loss"].backward()
    assert_close(stepped(adapter), expected(model, adapter, F.cross_entropy, [batch]))


def test_a_step_without_gradients_adds_none() -> None:
    _, adapter = model_of(SPEC)
    optimizer_of(adapter).step()
    assert all(parameter.grad is None for parameter in adapter.parameters())


def hooks_of(adapter: Adapter) -> int:
    from torch.optim import optimizer

    own = [p._backward_hooks or {} for p in adapter.parameters()]
    after = [p._post_accumulate_grad_hooks or {} for p in adapter.parameters()]
    return sum(map(len, own)) + sum(map(len, after)) + len(optimizer._global_optimizer_pre_hooks)


def test_detaching_removes_every_hook() -> None:
    gc.collect()  # the models of other tests
    _, plain = model_of(PLAIN)
    bare = hooks_of(plain)
    _, adapter = model_of(SPEC)
    assert hooks_of(adapter) > bare
    adapter.detach()
    assert hooks_of(adapter) == bare


def test_nothing_is_left_of_a_forgotten_model() -> None:
    from torch.optim import optimizer

    gc.collect()
    before = len(optimizer._global_optimizer_pre_hooks)
    model, adapter = model_of(SPEC)
    assert len(optimizer._global_optimizer_pre_hooks) == before + 1
    del model, adapter
    gc.collect()
    assert len(optimizer._global_optimizer_pre_hooks) == before


def test_the_adapter_may_be_forgotten() -> None:
    model, adapter = model_of(SPEC)
    wanted = expected(model, adapter, F.cross_entropy, [batches()[0]])
    optimizer, factors = optimizer_of(adapter), factors_of(adapter)
    del adapter
    gc.collect()
    model(**batches()[0])["loss"].backward()
    optimizer.step()
    assert_close({name: value.grad for name, value in factors.items()}, wanted)
