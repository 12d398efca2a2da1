"""What reads across the tokens of a sequence leaves padding out, or refuses it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecSettingError
from specdsl.lowering.padding import reads_across
from specdsl.lowering.program import Program, is_in_tokens
from specdsl.runtime.adapter import Adapter

ACROSS = {
    "softmax": "y' = y + softmax((x@A)@(x@A).T)@(x@C)@B",
    "a product": "y' = y + (x@A)@((x@C).T@(x@C))@B",
    "colmean": "z = colmean(x@P) | P : n x r | y' = y + x@A@diag(z)@B",
    "colnorm": "z = colnorm(x@P) | P : n x r | y' = y + x@A@diag(z)@B",
    "mean along tokens": "z = mean(x@P, axis=tokens) | P : n x r | y' = y + x@A@diag(z)@B",
    "sum along tokens": "z = sum(x@P, axis=tokens) | P : n x r | y' = y + x@A@diag(z)@B",
    "mean of a transpose": "z = rowmean((x@P).T) | P : n x r | y' = y + x@A@diag(z)@B",
    "einsum": 'y\' = y + x@A@einsum("t i, t j -> i j", x@P, x@P)@B | P : n x r',
    "a gate": "g = softmax(sum(x .* v, axis=-1)) | y' = y + diag(g)@(x@A@B)",
    "norm": "y' = y + norm(x@P)*(x@A@B) | P : n x r",
    "sum": "y' = y + sum(x@P)*(x@A@B) | P : n x r",
    "mean": "y' = y + mean(x@P)*(x@A@B) | P : n x r",
    "max": "y' = y + max(x@P)*(x@A@B) | P : n x r",
    "min": "y' = y + min(x@P)*(x@A@B) | P : n x r",
}
ALONE = {
    "a lora": "y' = y + x@A@B",
    "an activation": "y' = y + relu(x@A)@B",
    "softmax of a token": "y' = y + softmax(x@A)@B",
    "layernorm": "y' = y + layernorm(x)@A@B",
    "a gate of its own": "y' = y + diag(sigmoid(sum(x .* g, axis=-1)))@(x@A@B)",
    "columns": "y' = y + x[:, :3]@A@B",
    "groups of columns": 'y\' = y + rearrange("t (g k) -> t (k g)", x, g=2)@A@B',
    "an input over tokens": "input s : tokens ~ 1 | y' = y + diag(s)@x@A@B",
    "rows in front": "k = 2 | P : k x m ~ zeros | y' = [P; y]",
}
REFUSED = {
    "the first token": "y' = y + x@C@diag(x[0, :]@A)@B",
    "a decomposition": "U, S, V = svd(x@A) | y' = y + x@A@V.T@V@B",
    "the largest tokens": "y' = y + diag(top(sum(x .* x, axis=-1), 2))@(x@A@B)",
}


def attached(spec: str) -> tuple[nn.Module, Adapter]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4).double())
    settings = {"r": 2} if "r" in spec.replace("softmax(", "") and ("@A" in spec) else {}
    adapter = specdsl.attach(model, spec, on="re:0", dtype="float64", **settings)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model, adapter


def program(adapter: Adapter) -> Program:
    return adapter.members[0].layer.lowered.output


def padded(model: nn.Module, adapter: Adapter, x: Tensor, is_token: Tensor) -> Tensor:
    adapter.members[0].layer.is_token.put(is_token)
    try:
        found: Tensor = model(x)
    finally:
        adapter.members[0].layer.is_token.take()
    return found


@pytest.mark.parametrize("name", ACROSS)
def test_a_padded_sequence_is_computed_as_it_is_alone(name: str) -> None:
    model, adapter = attached(ACROSS[name])
    assert program(adapter).reads_across_tokens
    x = torch.randn(3, 7, 6, dtype=torch.float64)
    is_token = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 0]]).bool()
    found = padded(model, adapter, x, is_token)
    for row, mask, own in zip(x, is_token, found, strict=True):
        assert_close(own[mask], model(row[mask][None])[0], rtol=1e-12, atol=1e-12)
        assert_close(own[mask], model(row[mask]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ACROSS)
def test_gradients_of_padding_are_zero(name: str) -> None:
    model, adapter = attached(ACROSS[name])
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    is_token = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]).bool()
    (padded(model, adapter, x, is_token) * is_token[..., None]).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[~is_token] == 0).all()
    assert (x.grad[is_token] != 0).any()


@pytest.mark.parametrize("name", ACROSS)
def test_without_padding_the_mask_changes_nothing(name: str) -> None:
    model, adapter = attached(ACROSS[name])
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    assert_close(padded(model, adapter, x, torch.ones(2, 5).bool()), model(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ALONE)
def test_what_takes_every_token_for_itself_is_known(name: str) -> None:
    _, adapter = attached(ALONE[name])
    steps = [step.node for step in program(adapter).steps if is_in_tokens(step.node) and reads_across(step.node)]
    assert steps == []
    assert not program(adapter).reads_across_tokens


@pytest.mark.parametrize("name", REFUSED)
def test_an_operator_that_cannot_leave_padding_out_refuses_it(name: str) -> None:
    model, adapter = attached(REFUSED[name])
    assert program(adapter).reads_across_tokens
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    assert_close(padded(model, adapter, x, torch.ones(2, 5).bool()), model(x))
    with pytest.raises(SpecSettingError, match="reads across the tokens of a sequence, some of which are padding here"):
        padded(model, adapter, x, torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool())


def test_a_mask_of_other_tokens_is_refused_with_both_sizes() -> None:
    model, adapter = attached(ACROSS["colmean"])
    with pytest.raises(SpecSettingError, match="for 2 x 5 tokens and the input has 2 x 4"):
        padded(model, adapter, torch.randn(2, 4, 6, dtype=torch.float64), torch.ones(2, 5).bool())


def test_a_sequence_that_is_all_padding_stays_finite() -> None:
    model, adapter = attached(ACROSS["softmax"])
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    is_token = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]).bool()
    assert padded(model, adapter, x, is_token).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_a_least_number_too(dtype: torch.dtype) -> None:
    model, adapter = attached(ACROSS["softmax"])
    x = torch.randn(1, 5, 6, dtype=torch.float64)
    expected = model(x[:, :3])
    found = padded(model.to(dtype), adapter, x.to(dtype), torch.tensor([[1, 1, 1, 0, 0]]).bool())
    assert_close(found[:, :3].double(), expected, rtol=0.1, atol=0.1)
