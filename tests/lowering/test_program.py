"""A plan as steps: what is recorded for gradients, what is random, in which dtype weights are computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.runtime.adapter import Adapter

DORA = "r = 2\nV = W + A@B\ng ~ colnorm(V)\nW' = V @ diag(g ./ stop(colnorm(V)))"


def attached(spec: str, **options: Any) -> tuple[nn.Sequential, Adapter]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 48))
    adapter = specdsl.attach(model, spec, on="re:0", **options)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model, adapter


def saved_shapes(model: nn.Module, x: Tensor) -> list[tuple[int, ...]]:
    """The shapes of all tensors kept for the backward pass."""
    found: list[tuple[int, ...]] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(x)
    return found


def test_what_stop_hides_is_not_recorded() -> None:
    """DoRA's norm is a constant of the backward pass: no n x m array is kept for it."""
    model, _ = attached(DORA)
    assert (64, 48) not in saved_shapes(model, torch.randn(5, 64))


def test_a_low_rank_sum_keeps_no_weight_either() -> None:
    model, _ = attached("W + A@B | r = 2")
    kept = saved_shapes(model, torch.randn(5, 64))
    assert (64, 48) not in kept
    assert (5, 2) in kept


def test_dropout_drops_in_training_alone() -> None:
    model, adapter = attached("y + dropout(x, 0.5)@A@B | r = 2")
    x = torch.ones(1, 64)
    outputs = {tuple(model(x)[0].tolist()) for _ in range(3)}
    assert len(outputs) == 3
    model.eval()
    A, B = (adapter.members[0].layer.factor(name) for name in "AB")
    assert_close(model(x), nn.functional.linear(x, model[0].weight, model[0].bias) + x @ A @ B)


def test_dropout_keeps_the_mean() -> None:
    model, adapter = attached("y + dropout(x, 0.25)@A@B | r = 2")
    x = torch.ones(4000, 64)
    A, B = (adapter.members[0].layer.factor(name) for name in "AB")
    wanted = nn.functional.linear(x[:1], model[0].weight, model[0].bias) + x[:1] @ A @ B
    assert_close(model(x).mean(0, keepdim=True), wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("spec", [DORA, "W .* (1 + A@B) | r = 2"])
def test_autocast_does_not_round_the_weight_twice(spec: str) -> None:
    """Values made of weights alone are float32 under autocast, as without it, and rounded where they meet x."""
    _, adapter = attached(spec)
    lowered = adapter.members[0].layer.lowered
    site = adapter.members[0].base_site
    plain = lowered.weight["W"].run(site, adapter.members[0].layer.read, like=site.weight)
    with torch.autocast("cpu", torch.bfloat16):
        under = lowered.weight["W"].run(site, adapter.members[0].layer.read, like=site.weight)
    assert under.dtype == torch.float32
    assert torch.equal(under, plain)


def test_float32_factors_keep_a_bfloat16_base_exact() -> None:
    """`W' = W + A@B` is rounded to bfloat16 once, so a small update is not lost before it is summed."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 48, bias=False)).bfloat16()
    adapter = specdsl.attach(model, "W .* (1 + A@B) | r = 2", on="re:0")
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.full_like(parameter, 0.05))
    wanted = model[0].weight.detach().float().T * (1 + 2 * 0.05**2)
    adapter.merge()
    assert torch.equal(model[0].weight.detach().T, wanted.bfloat16())


def test_a_plan_is_the_same_for_any_number_of_tokens() -> None:
    model, adapter = attached("W + A@B | r = 2")
    rows = torch.randn(3, 64)
    assert_close(torch.stack([model(row) for row in rows]), model(rows))
    assert model(torch.empty(0, 64)).shape == (0, 48)
    assert adapter.is_attached
