"""Two trained adapters compute the same weights, or do not: ours against ours and against PEFT's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

import specdsl
from specdsl.errors import SpecFileError, SpecMergeError, SpecSettingError
from specdsl.runtime.adapter_comparison import compare_updates
from specdsl.runtime.adapter_updates import reads_base, updates_of

peft = pytest.importorskip("peft")
ON = ["attention.query", "attention.value"]
TARGETS = ["query", "value"]


def bert() -> BertModel:
    torch.manual_seed(3)
    return BertModel(
        BertConfig(
            vocab_size=40, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
            max_position_embeddings=16,
        )
    )  # fmt: skip


def ours(folder: Path, spec: str, seed: int = 5, **settings: Any) -> Path:
    """A saved adapter with every trained factor moved away from its start."""
    adapter = specdsl.attach(bert(), spec, on=ON, **settings)
    moved = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in adapter.parameters():
            value.add_(torch.randn(value.shape, generator=moved) * 0.1)
    return adapter.save(folder)


def as_peft(folder: Path, lora: Path, alpha: int = 2, **changes: Any) -> Path:
    """PEFT's adapter with the factors of our LoRA."""
    base = bert()
    config = peft.LoraConfig(r=2, lora_alpha=alpha, target_modules=TARGETS, **changes)
    wrapped = peft.get_peft_model(copy.deepcopy(base), config)
    adapter = specdsl.load(base, lora)
    with torch.no_grad():
        for place, name, value in adapter.trained_factors():
            layer = wrapped.base_model.model.get_submodule(place)
            getattr(layer, f"lora_{name}")["default"].weight.copy_(value.T)
    wrapped.save_pretrained(folder)
    return folder


def test_an_adapter_is_the_same_as_itself_without_a_model(tmp_path: Path) -> None:
    one = ours(tmp_path / "one", "W + A@B", r=2)
    rows = compare_updates(one, one)
    assert len(rows) == 4
    assert all(row.is_same and row.difference == 0 and row.largest > 0 for row in rows)
    assert {row.shape for row in rows} == {"12 x 12"}


def test_updates_without_and_with_the_model_are_equal(tmp_path: Path) -> None:
    for number, spec in enumerate(("W + alpha/r * A@B", "W' = W + A@B | b' = b + d", "W + A@B - init(A@B)")):
        folder = ours(tmp_path / str(number), f"{spec} | A ~ kaiming | B ~ kaiming" if "init" in spec else spec, r=2)
        alone, attached = updates_of(folder, None), updates_of(folder, bert())
        assert alone.keys() == attached.keys()
        for name, value in alone.items():
            np.testing.assert_allclose(value, attached[name], rtol=0, atol=1e-6 * np.abs(value).max())


@pytest.mark.parametrize("with_model", [False, True])
def test_our_lora_is_the_same_as_peft_s_with_its_factors(with_model: bool, tmp_path: Path) -> None:
    lora = ours(tmp_path / "ours", "W + alpha/r * A@B", r=2, alpha=2)
    same = compare_updates(lora, as_peft(tmp_path / "same", lora), bert() if with_model else None)
    assert len(same) == 4
    assert all(row.is_same for row in same)
    scaled = compare_updates(lora, as_peft(tmp_path / "scaled", lora, alpha=4), bert() if with_model else None)
    assert all(row.difference == pytest.approx(0.5) and not row.is_same for row in scaled)


def test_two_ways_to_write_one_product_are_the_same(tmp_path: Path) -> None:
    lora = ours(tmp_path / "lora", "W + A@B", r=2)
    other = specdsl.attach(bert(), "W + P@G@Q | P, Q ~ kaiming | G : r x r ~ zeros", on=ON, r=2)
    factors = {(place, name): value for place, name, value in specdsl.load(bert(), lora).trained_factors()}
    with torch.no_grad():
        for place, name, value in other.trained_factors():
            value.copy_(torch.eye(2) if name == "G" else factors[place, {"P": "A", "Q": "B"}[name]])
    assert all(row.is_same for row in compare_updates(lora, other.save(tmp_path / "other")))


def test_a_module_that_one_leaves_alone_is_told(tmp_path: Path) -> None:
    lora = ours(tmp_path / "lora", "W + A@B", r=2)
    query = specdsl.attach(bert(), "W + A@B", on=["attention.query"], r=2).save(tmp_path / "query")
    rows = compare_updates(lora, query)
    assert [row.missing for row in rows if "value" in row.name] == ["b", "b"]
    assert all(row.difference == 1 for row in rows)


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ("W + A@B", False),
        ("W' = W + alpha/r * A@B | b' = b + d", False),
        ("y + x@A@B", True),
        ("W + A@B - init(A@B) | A ~ W[:, :r] | B ~ W[:r, :]", True),
        ("W@diag(t)", True),
        ("W + A@B | frozen A : n x r ~ W[:, :r]", True),
    ],
)
def test_which_updates_read_the_base(spec: str, needs: bool) -> None:
    assert reads_base(specdsl.parse(spec).ir) is (needs and not spec.startswith("y"))


def test_what_needs_the_base_says_so(tmp_path: Path) -> None:
    scaled = ours(tmp_path / "scaled", "W@diag(t)")
    with pytest.raises(SpecSettingError, match="depends on the base") as caught:
        updates_of(scaled, None)
    assert caught.value.hint == "name its base model with `--model`"
    rows = compare_updates(scaled, scaled, bert())
    assert all(row.is_same and row.largest > 0 for row in rows)


def test_what_is_no_weight_or_no_adapter_is_an_error(tmp_path: Path) -> None:
    nonlinear = ours(tmp_path / "nonlinear", "y + relu(x@A)@B", r=2)
    for model in (None, bert()):
        with pytest.raises(SpecMergeError):
            updates_of(nonlinear, model)
    with pytest.raises(SpecFileError, match="there is no adapter"):
        updates_of(tmp_path, None)


def test_the_model_is_left_as_it_is(tmp_path: Path) -> None:
    model = bert()
    before = copy.deepcopy(model.state_dict())
    updates_of(ours(tmp_path / "one", "W@diag(t)"), model)
    assert type(model) is BertModel
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
