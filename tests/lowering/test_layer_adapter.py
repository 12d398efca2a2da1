"""The factors of one spec in one module: parameters, buffers, shared ones, constraints."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import specdsl
from specdsl.lowering.layer_adapter import LayerAdapter, Orthonormal
from specdsl.runtime.adapter import Adapter


def attached(spec: str, *sizes: tuple[int, int]) -> Adapter:
    layers = [nn.Linear(n, m) for n, m in sizes or [(6, 5)]]
    return specdsl.attach(nn.Sequential(*layers), spec, on="re:.*")


def layers(adapter: Adapter) -> list[LayerAdapter]:
    return [member.layer for member in adapter.members]


def test_trained_factors_are_parameters_and_others_buffers() -> None:
    spec = "frozen A : n x r ~ kaiming\nr = 2\nindex I : 3 ~ choice(n)\nfrozen P ~ W[I, :]\nK : n x 3 ~ zeros\n"
    (layer,) = layers(attached(f"{spec}W' = W + A@B + K@P"))
    assert set(dict(layer.named_parameters())) == {"B", "K"}
    assert {"A", "P"} <= set(dict(layer.named_buffers()))
    assert not (set(layer.state_dict()) - {"B", "K"})


def test_a_frozen_factor_that_only_starts_read_is_not_held() -> None:
    (layer,) = layers(attached("frozen P : n x r ~ kaiming\nr = 2\nA ~ P\nW' = W + A@B"))
    assert "P" not in dict(layer.named_buffers())
    assert set(dict(layer.named_parameters())) == {"A", "B"}


@pytest.mark.parametrize("name", ["label", "lowered", "owners", "training", "forward", "constant_0", "watcher"])
def test_a_factor_may_have_the_name_of_anything(name: str) -> None:
    spec = f"U, S, V = svd(W)\n{name} : n x m ~ zeros\nd : m ~ zeros\nW' = U@diag(S)@V + {name} + ones(n, m)@diag(d)"
    (layer,) = layers(attached(spec, (6, 6)))
    assert torch.equal(layer.factor(name), torch.zeros(6, 6))
    assert [own for own, _ in layer.own_factors()] == [name, "d"]
    assert layer.training is True


def test_two_factors_of_nearly_one_name_are_two() -> None:
    (layer,) = layers(attached("label : n x m ~ zeros\nlabel_ : n x m ~ ones(n, m)\nW' = W + label .* label_"))
    assert not layer.factor("label").any()
    assert layer.factor("label_").all()


def test_a_shared_factor_belongs_to_the_first_module() -> None:
    spec = "shared A : max(layers(n)) x r ~ normal(1)\nr = 2\nW' = W + A[:n, :]@B"
    first, second = layers(attached(spec, (6, 5), (4, 3)))
    assert [name for name, _ in first.own_factors()] == ["A", "B"]
    assert [name for name, _ in second.own_factors()] == ["B"]
    assert second.factor("A") is first.factor("A")


def test_copies_of_a_model_share_what_does_not_change() -> None:
    (layer,) = layers(attached("W + A@B | r = 2"))
    copied = copy.deepcopy(layer)
    assert copied.lowered is layer.lowered
    assert copied.A is not layer.A


# ---------------------------------------------------------------------------------------- orthonormal


@pytest.mark.parametrize("shape", [(6, 2), (2, 6), (4, 4)])
def test_columns_or_rows_stay_orthonormal(shape: tuple[int, int]) -> None:
    free = torch.randn(shape, dtype=torch.float64)
    value = Orthonormal()(free)
    tall = value if shape[0] >= shape[1] else value.T
    assert_close(tall.T @ tall, torch.eye(min(shape), dtype=torch.float64))


@pytest.mark.parametrize("shape", [(6, 2), (2, 6)])
def test_what_is_orthonormal_stays_as_it_is(shape: tuple[int, int]) -> None:
    free = torch.linalg.qr(torch.randn(6, 2, dtype=torch.float64))[0]
    free = free if shape == (6, 2) else free.T
    assert_close(Orthonormal()(free), free)
    assert_close(Orthonormal()(-free), -free)


def test_an_orthonormal_factor_is_one_parameter() -> None:
    (layer,) = layers(attached("A : n x r ~ orthogonal, orthonormal\nr = 2\nW' = W + A@B"))
    (free,) = layer.own_parameters("A")
    assert free is layer.stored("A")
    assert_close(layer.factor("A"), free.detach(), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        free.add_(1.0)
    assert_close(layer.factor("A").T @ layer.factor("A"), torch.eye(2), rtol=1e-5, atol=1e-5)
