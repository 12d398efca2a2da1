"""Stacks, folds, replaced rows, the homogeneous form, views, noise and inputs in real modules, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import specdsl

FORMS = {
    "a stack": "D : n/2 x 2 x 2 ~ zeros | blockdiag(eye + D) @ W",
    "a fold": "k = 3 | A : k x n x r | B : k x r x m | W + sum(A[i]@B[i] for i < k)",
    "a product over an index": "U : n x r ~ pairs(kaiming) | H(u) = eye - 2*outer(u, u)/sum(u.^2) | "
    "prod(H(U[:, i]) for i < r) @ W",
    "replaced rows": "index I : r ~ choice(n, seed=layer) | P ~ W[I, :] | W'[I, :] = P",
    "the homogeneous form": "A : (n + 1) x r | [W'; b'] = [W; b] + A@B",
    "a fused view": 'W : n x 2 x m/2 | A : 2 x n x r | B : 2 x r x m/2 | W\' = W + rearrange(A@B, "k n m -> n k m")',
}
KERNEL = (
    "W : c x m x kh x kw | G : r x r x kh x kw ~ zeros | A : c x r | B : m x r | "
    'W\' = W + einsum("a b h w, c a, m b -> c m h w", G, A, B)'
)


def linear() -> tuple[nn.Module, torch.Tensor]:
    return nn.Linear(6, 8).double(), torch.randn(3, 5, 6, dtype=torch.float64)


def convolution() -> tuple[nn.Module, torch.Tensor]:
    layer = nn.Conv2d(3, 8, 2, stride=2, padding=1, bias=False).double()
    return layer, torch.randn(2, 3, 5, 4, dtype=torch.float64)


def attached(layer: nn.Module, spec: str, **settings: Any) -> tuple[nn.Module, specdsl.Adapter]:
    model = nn.Sequential(layer)
    adapter = specdsl.attach(model, spec, on="re:0", dtype="float64", **settings)
    return model, adapter


def moved(adapter: specdsl.Adapter) -> None:
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 0.1 * torch.randn_like(parameter)


def formula(adapter: specdsl.Adapter, layer: Any, kernel: tuple[int, int] | None = None) -> Any:
    weight = layer.weight.detach().numpy().reshape(layer.weight.shape[0], -1).T
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    factors = {name: value.detach().numpy() for _, name, value in adapter.factors()}
    return specdsl.weight(adapter.spec, weight, bias, factors, module="0", kernel=kernel)


@pytest.mark.parametrize("spec", [*FORMS.values(), KERNEL], ids=[*FORMS, "a view of a kernel"])
@pytest.mark.parametrize("make", [linear, convolution])
def test_output_merged_weight_and_formula_are_one(spec: str, make: Any) -> None:
    torch.manual_seed(0)
    layer, x = make()
    if spec == KERNEL and make is linear:
        with pytest.raises(specdsl.SpecTargetError, match="is no convolution"):
            attached(layer, spec, r=2)
        return
    base = layer(x).detach()
    model, adapter = attached(layer, spec, **({"r": 2} if " r" in spec else {}))
    torch.testing.assert_close(model(x), base, rtol=0, atol=1e-12)
    moved(adapter)
    output = model(x)
    weight, bias = formula(adapter, layer, None if make is linear else (2, 2))
    adapter.merge()
    torch.testing.assert_close(model(x), output, rtol=1e-10, atol=1e-10)
    held: Any = layer
    np.testing.assert_allclose(held.weight.detach().numpy().reshape(8, -1).T, weight, rtol=1e-10, atol=1e-12)
    if bias is not None:
        np.testing.assert_allclose(held.bias.detach().numpy(), bias, rtol=1e-10, atol=1e-12)
    adapter.unmerge()
    adapter.detach()
    assert torch.equal(model(x), base)


def test_replaced_rows_meet_only_their_columns_of_the_input() -> None:
    _, adapter = attached(nn.Linear(64, 48), FORMS["replaced rows"], r=4)
    assert "columns(x, I)" in str(adapter.members[0].layer.lowered.plan)


NOISE = "noise u : tokens x r ~ normal(0.5) | C : n x r | y' = y + (x@C + u)@B"


def test_noise_is_drawn_in_training_and_at_its_mean_in_eval() -> None:
    torch.manual_seed(0)
    layer, x = linear()
    model, adapter = attached(layer, NOISE, r=2)
    moved(adapter)
    first, second = model(x), model(x)
    assert not torch.allclose(first, second)
    factors = {name: value.detach() for _, name, value in adapter.factors()}
    drawn = (first - second).detach()
    left_over = drawn - drawn @ torch.linalg.pinv(factors["B"]) @ factors["B"]
    assert left_over.abs().max() < 1e-10  # noise enters through B alone
    model.eval()
    held: Any = layer
    expected = held.specdsl_base_class.forward(held, x) + x @ factors["C"] @ factors["B"]
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)
    adapter.merge()
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)


def test_noise_has_the_spread_it_says() -> None:
    torch.manual_seed(0)
    model, adapter = attached(nn.Linear(4, 3).double(), "noise u : tokens x m ~ uniform(1, 3) | y' = y + u .* l | "
                              "l : m ~ ones | starts: elsewhere")  # fmt: skip
    x = torch.randn(50, 400, 4, dtype=torch.float64)
    with adapter.disabled():
        base = model(x)
    u = (model(x) - base).detach()
    assert float(u.min()) >= 1
    assert float(u.max()) < 3
    assert abs(float(u.mean()) - 2) < 0.02
    assert abs(float(u.std()) - 2 / 12**0.5) < 0.02
    model.eval()
    torch.testing.assert_close(model(x) - base, torch.full_like(base, 2.0))


def test_gradient_checkpointing_draws_the_same_noise_again() -> None:
    from torch.utils.checkpoint import checkpoint

    layer, x = linear()
    model, adapter = attached(layer, NOISE, r=2)
    moved(adapter)
    torch.manual_seed(5)
    model(x).pow(2).sum().backward()
    plain = [parameter.grad.clone() for parameter in adapter.parameters() if parameter.grad is not None]
    for parameter in adapter.parameters():
        parameter.grad = None
    torch.manual_seed(5)
    checkpoint(model, x, use_reentrant=False).pow(2).sum().backward()
    again = [parameter.grad for parameter in adapter.parameters()]
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


INPUT = "input s : tokens ~ 1 | y' = y + diag(s)@x@A@B"


def test_an_input_scales_every_token_alone() -> None:
    torch.manual_seed(0)
    layer, x = linear()
    model, adapter = attached(layer, INPUT, r=2)
    moved(adapter)
    with adapter.disabled():
        base = model(x)
    change = model(x) - base
    s = torch.rand(3, 5, dtype=torch.float64)
    with adapter.inputs(s=s):
        torch.testing.assert_close(model(x), base + s[..., None] * change, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model(x), base + change)
    adapter.set_inputs(s=0)
    torch.testing.assert_close(model(x), base, rtol=0, atol=0)


def test_an_input_that_does_not_fit_or_is_missing_is_named() -> None:
    layer, x = linear()
    model, adapter = attached(layer, INPUT.replace(" ~ 1", ""), r=2)
    with pytest.raises(specdsl.SpecSettingError, match="the input `s` is not given"):
        model(x)
    adapter.set_inputs(s=torch.ones(4))
    with pytest.raises(specdsl.SpecSettingError, match="the input `s` is 4, but here it has to be 3 x 5"):
        model(x)
    with pytest.raises(specdsl.SpecSettingError, match="has no input `t`"):
        adapter.set_inputs(t=1)
    with pytest.raises(specdsl.SpecMergeError, match="depends on the input `s`"):
        adapter.merge()


def test_an_embedding_takes_an_input_in_the_precision_of_its_weight() -> None:
    layer = torch.nn.Embedding(5, 7).double()
    model, adapter = attached(layer, "input g : m ~ 1 | y' = y .* g + x@A@B", r=2)
    g = torch.rand(7, dtype=torch.float64)
    adapter.set_inputs(g=g)
    torch.testing.assert_close(model(torch.arange(5)), layer.weight * g, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("batch", [3, 5])
def test_a_mask_over_tokens_belongs_to_its_sequence(batch: int) -> None:
    torch.manual_seed(0)
    model, adapter = attached(
        nn.Linear(7, 5).double(),
        "input mask : tokens ~ 1 | f(Z) = softmax(Z@Z.T - 50*(1 - mask))@Z | y' = y + f(x@A)@B", r=2,
    )  # fmt: skip
    moved(adapter)
    x, mask = torch.randn(batch, 5, 7, dtype=torch.float64), torch.randint(2, (batch, 5)).double()
    with adapter.inputs(mask=mask):
        together = model(x)
    for one, part, alone in zip(x, mask, together, strict=True):
        with adapter.inputs(mask=part):
            torch.testing.assert_close(model(one), alone)


BY_SEQUENCE = (
    "y' = y + diag(sigmoid(sum(x .* g, axis=1)))@x@A@B",
    "C : n x r | y' = y + ((x@A) .* mean(x@C, axis=tokens))@B",
    "C : n x r | y' = y + ((x@A) .* colmean(x@C))@B",
    "A : n x 3 | B : 2 x m | y' = y + (x@A)[:, 1:]@B",
    'A : n x 6 | y\' = y + rearrange(x@A, "t (a b) -> t (b a)", a=2)@B',
    "C : n x r | y' = y + softmax(x@A@A.T@x.T)@x@C@B",
)


@pytest.mark.parametrize("spec", BY_SEQUENCE)
def test_the_sequences_of_a_batch_do_not_meet(spec: str) -> None:
    torch.manual_seed(0)
    layer, x = linear()
    model, adapter = attached(layer, spec)
    moved(adapter)
    together = model(x)
    for position in range(len(x)):
        torch.testing.assert_close(together[position], model(x[position]), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(together[position : position + 1], model(x[position : position + 1]))
