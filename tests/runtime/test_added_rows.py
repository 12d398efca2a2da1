"""Adapters that add rows: where they can go, and that they come and go like any other."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from torch.testing import assert_close
from torch.utils.data import Dataset

import specdsl
from specdsl.errors import SpecMergeError, SpecNotBuiltError, SpecSettingError, SpecTargetError
from specdsl.runtime.adapter import Adapter
from tests.runtime.growing import IDS, RIGHT, SPEC, factors, inputs, logits, model_of, prefixed, prompted
from tests.runtime.small_models import base_state, same
from tests.runtime.tiny_models import IMAGES, SIZES

WAYS = {"prompt": prompted, "prefix": prefixed}
both = pytest.mark.parametrize("way", WAYS)
each = pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5"])


@each
@both
def test_disabled_and_detached_it_is_the_base_bit_for_bit(name: str, way: str) -> None:
    model = model_of(name)
    before, state, kinds = logits(model, **inputs(name)), base_state(model), [type(part) for part in model.modules()]
    adapter = WAYS[way](model, name)
    changed = logits(model, **inputs(name))
    assert not torch.equal(changed, before)
    with adapter.disabled():
        assert torch.equal(logits(model, **inputs(name)), before)
    assert torch.equal(logits(model, **inputs(name)), changed)
    adapter.detach()
    assert torch.equal(logits(model, **inputs(name)), before)
    assert same(base_state(model), state)
    assert [type(part) for part in model.modules()] == kinds
    left = [part for part in model.modules() if part._forward_pre_hooks or hasattr(part, "specdsl_hooks")]
    assert left == []


@each
@both
def test_saved_and_loaded_it_computes_the_same(name: str, way: str, tmp_path: Path) -> None:
    model = model_of(name)
    base = copy.deepcopy(model)
    adapter = WAYS[way](model, name)
    with torch.no_grad():
        for factor in factors(adapter):
            factor.mul_(1.5)
    adapter.save(tmp_path / "adapter")
    torch.manual_seed(7)
    again = specdsl.load(base, tmp_path / "adapter")
    assert torch.equal(logits(again.model, **inputs(name)), logits(model, **inputs(name)))


@each
@both
def test_copies_and_pickles_compute_the_same(name: str, way: str) -> None:
    model = model_of(name)
    WAYS[way](model, name)
    expected = logits(model, **inputs(name))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(logits(other, **inputs(name)), expected)


@both
def test_it_is_no_weight(way: str) -> None:
    with pytest.raises(SpecMergeError, match="is not a weight and cannot be merged"):
        WAYS[way](model_of("bert"), "bert").merge()


def test_the_counts_are_those_of_the_rows() -> None:
    assert prompted(model_of("bert"), "bert").trainable_parameters == 3 * 32
    assert prefixed(model_of("bert"), "bert").trainable_parameters == 2 * 2 * 3 * 32
    model = transformers.AutoModel.from_config(transformers.BertConfig(**SIZES))
    assert specdsl.attach(model, "prefix_tuning", k=5).trainable_parameters == 2 * 2 * 5 * 32


def test_a_prompt_starts_at_rows_of_the_table() -> None:
    model = model_of("gpt2")
    (P,) = factors(specdsl.attach(model, "prompt_tuning", k=4, dtype="float64"))
    table = model.get_input_embeddings().weight
    assert all((row == table).all(-1).any() for row in P)


def test_another_adapter_on_the_same_module_adds_its_difference() -> None:
    model = model_of("bert")
    prefixed(model, "bert")
    before = logits(model, **inputs("bert"))
    other = specdsl.attach(model, "W + A@B", on="attention.key", name="other", r=2, dtype="float64")
    assert_close(logits(model, **inputs("bert")), before)
    with torch.no_grad():
        for factor in factors(other):
            factor.add_(0.3)
    changed = logits(model, **inputs("bert"))
    assert not torch.allclose(changed, before)
    other.merge()
    assert_close(logits(model, **inputs("bert")), changed)


def test_limited_to_some_layers_the_others_are_as_they_were() -> None:
    model = model_of("bert")
    adapter = specdsl.attach(model, SPEC, on=["attention.key", "attention.value"], layers=1, dtype="float64")
    assert [member.name.split(".")[3] for member in adapter.members] == ["1", "1"]
    first = model.bert.encoder.layer[0].attention.self
    assert first.config is model.config
    assert logits(model, **inputs("bert")).shape == (2, 5, 2)


@pytest.mark.parametrize("method", ["prompt_tuning", "p_tuning", "multitask_prompt_tuning", "prefix_tuning",
                                    "prefix_tuning_mlp", "prefix_tuning_fused", "mam"])  # fmt: skip
def test_methods_of_the_library_run_in_a_model(method: str) -> None:
    model = model_of({"mam": "bert", "prefix_tuning_fused": "gpt2"}.get(method, "llama"))
    adapter = specdsl.attach(model, method, k=4, dtype="float64")
    output = model(**inputs("llama"))
    output.logits.square().sum().backward()
    assert output.logits.shape[1] == 5
    moved = [value for value in adapter.parameters() if value.grad is not None and value.grad.abs().max() > 0]
    assert moved


# -------------------------------------------------------------------------------------------- training


class Sequences(Dataset[dict[str, Any]]):
    """The same two padded sequences over and over."""

    def __init__(self, labels: torch.Tensor) -> None:
        self.rows = [{"input_ids": IDS[i], "attention_mask": RIGHT[i], "labels": labels[i]} for i in (0, 1)] * 8

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.rows[place]


def trained(model: Any, adapter: Adapter, labels: torch.Tensor, folder: Path) -> list[float]:
    settings = transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, disable_tqdm=True, save_strategy="no", logging_steps=1, max_steps=40,
        per_device_train_batch_size=4, report_to=[], learning_rate=0.3,
    )  # fmt: skip
    trainer = transformers.Trainer(model, settings, train_dataset=Sequences(labels))
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(("name", "class_name"), [("bert", "BertForSequenceClassification"), ("gpt2", None)])
@both
def test_the_trainer_lowers_the_loss(name: str, class_name: str | None, way: str, tmp_path: Path) -> None:
    model = model_of(name, class_name).float()
    keys_and_values = ["attention.qkv"] if name == "gpt2" else ["attention.key", "attention.value"]
    adapter = specdsl.attach(model, SPEC, on=["embedding"] if way == "prompt" else keys_and_values)
    labels = torch.tensor([0, 1]) if name == "bert" else IDS.masked_fill(RIGHT == 0, -100)
    losses = trained(model, adapter, labels, tmp_path)
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])


# ---------------------------------------------------------------------------------------- what is refused


REFUSED: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    "keys of deberta": (
        "deberta-v2", {}, ["attention.key", "attention.value"],
        "of a deberta-v2 model: its attention scores every key by its distance from the query too",
    ),
    "keys alone": ("bert", {}, ["attention.key"], "3 rows more than the attention.value beside it"),
    "queries": ("bert", {}, ["attention.query"], "cannot have rows beside those of the tokens"),
    "the mlp": ("gpt2", {}, ["mlp.up"], "cannot have rows beside those of the tokens"),
    "what a decoder reads of its encoder": (
        "t5", {}, ["cross_attention.key", "cross_attention.value"], "cannot have rows beside those of the tokens",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_place_that_cannot_have_rows_is_refused_by_name(case: str) -> None:
    name, values, roles, message = REFUSED[case]
    model = model_of(name, **values)
    state = base_state(model)
    with pytest.raises(SpecTargetError, match=message):
        specdsl.attach(model, SPEC, on=roles)
    assert same(base_state(model), state)
    assert not any(".specdsl" in key for key in dict(model.named_modules()))


@pytest.mark.parametrize(("kind", "settings", "role"), [
    ("vit", IMAGES, "attention.key, attention.value"),
    ("bart", {"vocab_size": 50, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32,
              "decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2}, "embedding"),
])  # fmt: skip
def test_a_model_that_is_not_known_to_take_rows_is_refused_by_its_type(
    kind: str, settings: dict[str, Any], role: str
) -> None:
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **settings))
    with pytest.raises(SpecTargetError, match=f"of a {kind} model"):
        specdsl.attach(model, SPEC, on=role.split(", "))


NO_ROOM: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a prompt": ("bert", {"max_position_embeddings": 40}, "embedding", "45 rows .* BertModel has 40 positions"),
    "the last place": ("gpt2", {"n_positions": 45}, "embedding", "GPT2Model has 45 positions"),
    "positions from 2 on": ("roberta", {"max_position_embeddings": 47}, "embedding", "RobertaModel has 45 positions"),
    "a prefix": ("bert", {"max_position_embeddings": 40}, "attention.key, attention.value", "BertModel has 40"),
}


@pytest.mark.parametrize("case", NO_ROOM)
def test_rows_that_leave_no_place_for_a_token_are_refused_where_they_are_attached(case: str) -> None:
    name, values, roles, message = NO_ROOM[case]
    model = model_of(name, **values)
    with pytest.raises(SpecSettingError, match=message) as caught:
        specdsl.attach(model, SPEC, on=roles.split(", "), k=45)
    assert not any(".specdsl" in key for key in dict(model.named_modules()))
    most = int(str(caught.value.hint).split()[2])
    specdsl.attach(model, SPEC, on=roles.split(", "), k=most, dtype="float64")
    assert model(input_ids=IDS[:, :1]).logits.shape[1] == 1


def test_rows_of_several_adapters_share_the_positions() -> None:
    model = model_of("bert", max_position_embeddings=40)
    specdsl.attach(model, SPEC, on="embedding", k=25)
    with pytest.raises(SpecSettingError, match="45 rows in front of the tokens leave no place"):
        specdsl.attach(model, SPEC, on=["attention.key", "attention.value"], k=20, name="second")


def test_rows_behind_the_tokens_are_refused() -> None:
    with pytest.raises(SpecNotBuiltError, match=r"in front of those of the tokens, `\[P; y\]`, not behind them"):
        specdsl.attach(
            nn.Sequential(nn.Linear(4, 3)), "starts: elsewhere\nk = 2 | P : k x m ~ zeros | y' = [y; P]", on="re:0"
        )


def test_outside_of_transformers_the_output_has_the_rows() -> None:
    model = nn.Sequential(nn.Linear(4, 3).double())
    (P,) = factors(specdsl.attach(model, SPEC, on="re:0", dtype="float64"))
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    expected = torch.cat([P.expand(2, 3, 3), nn.functional.linear(x, model[0].weight, model[0].bias)], 1)
    assert_close(model(x), expected)
