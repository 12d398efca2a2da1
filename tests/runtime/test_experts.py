"""Experts of transformers' models: one matrix per expert, one set of factors for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecTargetError
from tests.lowering.literal import METHODS, move

SIZES: dict[str, Any] = {
    "vocab_size": 32, "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "num_local_experts": 3, "head_dim": 4,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {"num_experts_per_tok": 2}),
    "gpt_oss": ("GptOssForCausalLM", "GptOssConfig", {"num_experts_per_tok": 2, "layer_types": None}),
    "llama4": ("Llama4ForCausalLM", "Llama4TextConfig", {"num_experts_per_tok": 1, "intermediate_size_mlp": 6}),
}
HELD_OUTPUTS_FIRST = {"mixtral"}
BOTH = r"re:.*experts\.(gate_up_proj|down_proj)"
IDS = torch.arange(10).reshape(2, 5)


def made(family: str, dtype: torch.dtype = torch.float64, **sizes: int) -> nn.Module:
    name, config, options = FAMILIES[family]
    torch.manual_seed(0)
    model: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**(SIZES | options | sizes)))
    model.config._experts_implementation = "eager"  # the others of transformers have no float64
    model = model.to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn_like(parameter))
    return model


def logits(model: nn.Module) -> Tensor:
    return model(IDS).logits


@pytest.mark.parametrize("method", ["lora", "dora", "rotation"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_expert_runs_with_its_own_factors(family: str, method: str, tmp_path: Path) -> None:
    model = made(family)
    bare = logits(model)
    adapter = specdsl.attach(model, METHODS[method][0], on=BOTH, dtype="float64")
    assert_close(logits(model), bare)
    move(adapter)
    y = logits(model)
    assert not torch.allclose(y, bare)
    adapter.save(tmp_path / "adapter")
    adapter.merge()
    assert_close(logits(model), y)
    adapter.unmerge()
    adapter.detach()
    assert torch.equal(logits(model), bare)
    torch.manual_seed(9)
    specdsl.load(model, tmp_path / "adapter")
    assert torch.equal(logits(model), y)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_merged_experts_are_w_plus_a_b_of_each(family: str) -> None:
    model = made(family)
    bare = {name: value.clone() for name, value in model.named_parameters()}
    adapter = specdsl.attach(model, "W + A@B | r = 2", on=BOTH, dtype="float64")
    move(adapter)
    factors = {f"{place}/{name}": value.detach() for place, name, value in adapter.factors()}
    adapter.merge()
    now = dict(model.named_parameters())
    for member in adapter.members:
        change = torch.stack([
            A @ B for A, B in zip(factors[f"{member.name}/A"], factors[f"{member.name}/B"], strict=True)
        ])  # fmt: skip
        expected = bare[member.name] + (change.mT if family in HELD_OUTPUTS_FIRST else change)
        assert_close(now[member.name], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_and_shapes_are_those_of_every_expert(family: str) -> None:
    adapter = specdsl.attach(made(family), "W + A@B | r = 2", on=r"re:.*experts\.down_proj")
    rows = adapter.report().modules
    assert [(row.size, row.factors, row.trainable) for row in rows] == 2 * [
        ("3 x 6 x 8", "A 3 x 6 x 2, B 3 x 2 x 8", 3 * (12 + 16))
    ]
    assert adapter.trainable_parameters == sum(parameter.numel() for parameter in adapter.parameters())


def test_other_kernels_of_transformers_read_the_adapted_experts() -> None:
    model = made("mixtral", torch.float32, intermediate_size=8)
    move(specdsl.attach(model, "W + A@B | r = 2", on=BOTH))
    y = logits(model)
    for implementation in ("batched_mm", "grouped_mm"):
        model.config._experts_implementation = implementation
        assert_close(logits(model), y, rtol=1e-4, atol=1e-4)


def test_an_orientation_that_no_class_states_is_noted_and_can_be_chosen(tmp_path: Path) -> None:
    model = made("llama4")
    place = r"re:.*layers\.0.*experts\.gate_up_proj"
    name = "model.layers.0.feed_forward.experts.gate_up_proj"
    adapter = specdsl.attach(model, "W + A@B | r = 2", on=place)
    (note,) = adapter.report().notes
    assert note.startswith(f"`{name}` is read as 3 matrices of 8 inputs x 12 outputs, held inputs first; `transposed=`")
    adapter.detach()
    turned = specdsl.attach(model, "y' = y .* l", on=place, transposed=place, dtype="float64")
    move(turned)
    assert [tuple(value.shape) for _, _, value in turned.factors()] == [(3, 8)]
    y = logits(model)
    turned.save(tmp_path / "adapter")
    turned.detach()
    again = specdsl.load(model, tmp_path / "adapter")
    assert [tuple(value.shape) for _, _, value in again.factors()] == [(3, 8)]
    assert torch.equal(logits(model), y)


def test_one_parameter_is_read_in_one_way_only() -> None:
    model = made("llama4")
    specdsl.attach(model, "W + A@B | r = 2", on=BOTH)
    with pytest.raises(SpecTargetError, match="carries an adapter that reads it the other way round"):
        specdsl.attach(model, "W + A@B | r = 2", on=BOTH, transposed=BOTH, name="other")


def test_transposed_names_what_is_adapted() -> None:
    with pytest.raises(SpecTargetError, match="names no parameter that is adapted"):
        specdsl.attach(
            made("llama4"), "W + A@B", on=r"re:.*experts\.down_proj", transposed=r"re:.*experts\.gate_up_proj"
        )


def test_the_default_leaves_experts_as_they_are() -> None:
    adapter = specdsl.attach(made("mixtral"), "W + A@B | r = 2")
    assert not any("experts" in member.name for member in adapter.members)
    assert any("experts.down_proj" in name for name, _ in adapter.report().skipped)
