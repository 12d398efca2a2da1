"""A saved adapter comes back bit for bit, or is refused where the model does not fit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import specdsl
from specdsl.errors import SpecCheckpointError, SpecError
from tests.runtime.refusals import assert_refused
from tests.runtime.saved_adapters import (
    LORA,
    PISSA,
    SPECS,
    edited,
    mlp,
    outputs,
    saved,
    values,
)
from tests.runtime.small_models import logits, move, same, small


@pytest.mark.parametrize("case", SPECS)
def test_an_adapter_comes_back_under_another_global_seed(case: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    model = mlp()
    adapter = specdsl.attach(model, SPECS[case], seed=7)
    move(adapter)
    adapter.save(tmp_path / "adapter")
    other = mlp()
    torch.manual_seed(2)
    np.random.seed(2)
    loaded = specdsl.load(other, tmp_path / "adapter")
    assert same(values(loaded), values(adapter))
    assert torch.equal(outputs(other), outputs(model))
    assert not torch.equal(outputs(other), outputs(mlp()))
    assert loaded.seed == 7


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_a_language_model_computes_the_same_after_loading(name: str, tmp_path: Path) -> None:
    model, other = small(name), small(name)
    adapter = specdsl.attach(model, PISSA)
    move(adapter)
    adapter.save(tmp_path / "adapter")
    specdsl.load(other, tmp_path / "adapter")
    assert torch.equal(logits(other, name), logits(model, name))


def test_a_head_trained_whole_comes_back(tmp_path: Path) -> None:
    model, other = small("bert"), small("bert")
    adapter = specdsl.attach(model, LORA, train="head")
    move(adapter)
    adapter.save(tmp_path / "adapter")
    bare = {key: value.clone() for key, value in other.state_dict().items()}
    loaded = specdsl.load(other, tmp_path / "adapter")
    state = other.state_dict()
    assert torch.equal(state["classifier.weight"], model.state_dict()["classifier.weight"])
    assert not torch.equal(state["classifier.weight"], bare["classifier.weight"])
    assert torch.equal(logits(other, "bert"), logits(model, "bert"))
    assert all(parameter.requires_grad for parameter in other.get_submodule("classifier").parameters())
    loaded.detach()
    assert same(dict(other.state_dict()), bare)


def test_settings_and_placement_come_back(tmp_path: Path) -> None:
    loaded = specdsl.load(mlp(), saved(tmp_path / "adapter", "W + A@B", r=4, on="re:2", name="mine", dtype="float64"))
    assert loaded.spec.hyperparameters["r"] == 4
    assert [member.name for member in loaded.members] == ["2"]
    assert (loaded.name, loaded.dtype) == ("mine", torch.float64)
    assert loaded.members[0].layer.factor("A").shape == (6, 4)
    assert loaded.members[0].layer.factor("A").dtype == torch.float64


def test_a_fraction_as_a_setting_comes_back(tmp_path: Path) -> None:
    model, other = mlp(), mlp()
    adapter = specdsl.attach(model, "c = 1\nr = 2\nW' = W + c * (A@B)", c=0.3)
    move(adapter)
    loaded = specdsl.load(other, adapter.save(tmp_path / "adapter"))
    assert loaded.spec.hyperparameters == adapter.spec.hyperparameters
    assert loaded.spec.hyperparameters["c"] == Fraction(3, 10)
    assert loaded.spec.hash == adapter.spec.hash
    assert torch.equal(outputs(other), outputs(model))


def test_indices_given_at_attach_come_back(tmp_path: Path) -> None:
    spec = "index I : r\nr = 2\nfrozen P ~ W[I, :]\nW' = W + A@P"
    model = mlp()
    adapter = specdsl.attach(model, spec, I=[4, 1])
    move(adapter)
    other = mlp()
    loaded = specdsl.load(other, adapter.save(tmp_path / "adapter"))
    assert loaded.members[0].layer.factor("I").tolist() == [4, 1]
    assert torch.equal(outputs(other), outputs(model))


def test_an_adapter_loads_under_another_name(tmp_path: Path) -> None:
    folder, model = saved(tmp_path / "adapter"), mlp()
    specdsl.load(model, folder)
    specdsl.load(model, folder, name="second")
    assert "0.specdsl.second.A" in model.state_dict()


def test_module_names_are_taken_literally(tmp_path: Path) -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.ModuleDict({"a+b": nn.Linear(6, 4), "aab": nn.Linear(6, 4)})

    folder = specdsl.attach(model(), LORA, on=r"re:a\+b").save(tmp_path / "adapter")
    assert [member.name for member in specdsl.load(model(), folder).members] == ["a+b"]


def test_a_merged_adapter_is_saved_with_its_base(tmp_path: Path) -> None:
    model, other = mlp(), mlp()
    adapter = specdsl.attach(model, PISSA)
    move(adapter)
    before = outputs(model)
    adapter.merge()
    specdsl.load(other, adapter.save(tmp_path / "adapter"))
    assert torch.equal(outputs(other), before)


def test_another_seed_gives_other_frozen_values_and_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", SPECS["frozen at random"])
    edited(lambda record: record.update(seed=1))(folder)
    message = "`0/A`, recomputed from the base, is not what the adapter was trained with"
    assert_refused(mlp(), folder, SpecCheckpointError, message)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    adapter = specdsl.attach(small("bert"), LORA, on="attention.query")
    folder = adapter.save(tmp_path / "adapter")
    message = (
        "the adapter belongs to a BertForSequenceClassification with a module "
        "`bert.encoder.layer.0.attention.self.query` and 1 more, which this LlamaForCausalLM does not have"
    )
    assert_refused(small("llama"), folder, SpecCheckpointError, message)


def test_a_missing_head_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(*mlp(), nn.Linear(4, 2))
    folder = specdsl.attach(model, LORA, on="re:0", train="re:3").save(tmp_path / "adapter")
    message = "the adapter belongs to a Sequential with a module `3`, which this Sequential does not have"
    assert_refused(mlp(), folder, SpecCheckpointError, message)


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5))
    assert_refused(other, saved(tmp_path / "adapter"), SpecCheckpointError, "`2` was 6 x 4 and is 6 x 5")


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", on="re:0", train="re:2")
    other = nn.Sequential(*mlp()[:2], nn.Linear(6, 5))
    assert_refused(other, folder, SpecCheckpointError, "`2`, trained whole, does not fit: weight is (5, 6), not (4, 6)")


def test_a_module_of_another_type_is_refused(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Embedding(6, 6), nn.Tanh(), nn.Linear(6, 4))
    assert_refused(other, saved(tmp_path / "adapter"), SpecCheckpointError, "`0` is of type Embedding, not Linear")


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    folder, model = saved(tmp_path / "adapter"), mlp()
    specdsl.load(model, folder)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(SpecError, match="the model has an adapter `default` already"):
        specdsl.load(model, folder)
    assert same(dict(model.state_dict()), state)
