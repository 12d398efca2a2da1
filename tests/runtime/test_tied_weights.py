"""Modules with one weight are found, with memory and on the meta device."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from specdsl.runtime.roles import locate
from specdsl.runtime.tied_weights import tied_groups
from tests.runtime.tiny_models import gpt2, t5


def groups(model: nn.Module) -> list[list[str]]:
    found = {tuple(row.name for row in rows) for rows in tied_groups(locate(model)).values()}
    return sorted(list(names) for names in found if len(names) > 1)


def test_an_embedding_and_its_output_layer_are_one() -> None:
    assert groups(gpt2()) == [["transformer.wte", "lm_head"]]


def test_the_embeddings_of_t5_are_one() -> None:
    assert groups(t5()) == [["shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head"]]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_memory_may_be_shared_by_two_parameters(device: str) -> None:
    model = nn.ModuleDict({name: nn.Linear(2, 2, device=device) for name in "abc"})
    model["c"].weight = nn.Parameter(model["a"].weight.detach())
    assert groups(model) == [["a", "c"]]


def test_fake_weights_are_compared_too() -> None:
    with FakeTensorMode():
        model = nn.ModuleDict({name: nn.Linear(2, 2) for name in "abc"})
    model["c"].weight = model["a"].weight
    assert groups(model) == [["a", "c"]]


def test_parts_of_one_matrix_are_two_weights() -> None:
    whole = torch.zeros(4, 2)
    model = nn.ModuleDict({name: nn.Linear(2, 2) for name in "ab"})
    model["a"].weight, model["b"].weight = nn.Parameter(whole[:2]), nn.Parameter(whole[2:])
    assert groups(model) == []


def test_a_module_without_weight_is_in_no_group() -> None:
    model = nn.ModuleDict({"linear": nn.Linear(2, 2), "dropout": nn.Dropout()})
    assert list(tied_groups(locate(model))) == ["linear"]
