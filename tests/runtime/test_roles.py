"""Roles come from the family's table, the class or the head's name; unknown models keep the last two."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from specdsl.role_names import split_tower
from specdsl.runtime.roles import (
    answers,
    describe,
    find_family,
    heads,
    is_adaptable,
    locate,
    model_type_of,
)
from tests.runtime.tiny_models import CLIP, GPT2, LLAMA, SIZES, WHISPER, bert, gpt2, t5, tiny


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)
        self.norm = nn.RMSNorm(8)
        self.head = nn.Linear(8, 8)


class Unknown(nn.Module):
    """A model of no family: tokens, positions, two blocks, an output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 8)
        self.patches = nn.Conv2d(3, 8, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.lm_head = nn.Linear(8, 5)


def roles(model: nn.Module) -> dict[str, str | None]:
    return {row.name: row.role for row in describe(model)}


def test_rows_are_in_model_order() -> None:
    model = bert()
    names = [name for name, module in model.named_modules() if is_adaptable(module)]
    assert [row.name for row in describe(model)] == names


def test_a_row_has_its_module_and_its_layer() -> None:
    row = next(row for row in describe(bert()) if row.role == "mlp.down" and row.layer == 1)
    assert row.name == "encoder.layer.1.output.dense"
    assert row.module is bert().get_submodule(row.name)


def test_layers_are_counted_in_each_tower() -> None:
    model = tiny("WhisperForConditionalGeneration", "whisper", **WHISPER)
    layers = {(split_tower(row.role or "")[0], row.layer) for row in describe(model) if row.layer is not None}
    assert layers == {("encoder", 0), ("encoder", 1), ("decoder", 0), ("decoder", 1)}


def test_layers_of_t5_are_its_blocks() -> None:
    row = next(row for row in describe(t5()) if row.role == "decoder.cross_attention.key" and row.layer == 1)
    assert row.name == "decoder.block.1.layer.1.EncDecAttention.k"


def test_what_a_prefix_hides_is_still_found() -> None:
    wrapped = nn.Module()
    wrapped.add_module("inner", tiny("BertForMaskedLM", "bert", **SIZES))
    wrapped.config = wrapped.inner.config
    assert roles(wrapped)["inner.bert.encoder.layer.0.attention.self.key"] == "attention.key"


def test_only_tokens_are_the_embedding() -> None:
    found = roles(bert())
    assert found["embeddings.word_embeddings"] == "embedding"
    assert found["embeddings.position_embeddings"] is None
    assert found["embeddings.token_type_embeddings"] is None


def test_a_pooler_has_no_role() -> None:
    assert roles(bert())["pooler.dense"] is None


def test_norms_of_a_head_are_no_norms_of_the_model() -> None:
    found = roles(tiny("BertForMaskedLM", "bert", **SIZES))
    assert found["cls.predictions.transform.LayerNorm"] is None
    assert found["bert.embeddings.LayerNorm"] == "norm"


def test_the_relative_embedding_norm_of_deberta_is_a_norm() -> None:
    model = tiny("DebertaV2Model", "deberta-v2", **SIZES, relative_attention=True, norm_rel_ebd="layer_norm")
    assert roles(model)["encoder.LayerNorm"] == "norm"


def test_a_model_of_one_tower_has_no_tower_names() -> None:
    model = tiny("CLIPVisionModel", "clip_vision_model", **CLIP["vision_config"])
    assert not any(split_tower(row.role)[0] for row in describe(model) if row.role)


def test_the_projections_of_clip_are_the_heads_of_its_towers() -> None:
    found = roles(tiny("CLIPModel", "clip", **CLIP))
    assert (found["text_projection"], found["visual_projection"]) == ("text.head", "vision.head")


def test_what_cannot_carry_a_spec_is_located_only() -> None:
    model = tiny("GPT2Model", "gpt2", n_embd=32, n_layer=1, n_head=2)
    assert "h.0" in {row.name for row in locate(model)}
    assert "h.0" not in roles(model)


def test_the_projections_of_multihead_attention_have_roles_by_its_class() -> None:
    assert roles(nn.ModuleDict({"a": nn.MultiheadAttention(4, 2)})) == {
        "a.in_proj_weight": "attention.qkv",
        "a.out_proj": "attention.output",
    }
    assert roles(nn.ModuleDict({"a": nn.MultiheadAttention(4, 2, kdim=3)})) == {
        "a.q_proj_weight": "attention.query",
        "a.k_proj_weight": "attention.key",
        "a.v_proj_weight": "attention.value",
        "a.out_proj": "attention.output",
    }


def test_a_parameter_that_a_forward_reads_is_a_row_of_its_own() -> None:
    model = nn.ModuleDict({"a": nn.Bilinear(2, 3, 4), "b": nn.LSTM(2, 3)})
    assert roles(model) == {"a.weight": None}  # an LSTM reads a list that it made before


def test_describe_takes_another_predicate() -> None:
    rows = describe(bert(), lambda module: isinstance(module, nn.Embedding))
    assert [row.role for row in rows] == ["embedding", None, None]


def test_an_unknown_model_has_roles_by_class_and_head() -> None:
    assert roles(Unknown()) == {
        "tokens": "embedding",
        "patches": "conv",
        "blocks.0.mix": None,
        "blocks.0.norm": "norm",
        "blocks.0.head": None,
        "blocks.1.mix": None,
        "blocks.1.norm": "norm",
        "blocks.1.head": None,
        "lm_head": "head",
    }


def test_an_unknown_model_has_layers() -> None:
    assert [row.layer for row in describe(Unknown())] == [None, None, 0, 0, 0, 1, 1, 1, None]


def test_an_unknown_transformers_model_tells_its_embeddings() -> None:
    model = tiny("PhiForCausalLM", "phi", **LLAMA)
    found = {role: name for name, role in roles(model).items() if role in ("embedding", "head")}
    assert find_family(model) is None
    assert found == {"embedding": "model.embed_tokens", "head": "lm_head"}


def test_a_known_type_with_other_names_is_unknown() -> None:
    model = Unknown()
    model.config = bert().config
    assert model_type_of(model) == "bert"
    assert find_family(model) is None


def test_a_model_without_configuration_has_no_type() -> None:
    assert model_type_of(Unknown()) is None


@pytest.mark.parametrize(
    ("class_name", "model_type", "expected"),
    [
        ("BertModel", "bert", []),
        ("BertForMaskedLM", "bert", ["cls"]),
        ("BertForPreTraining", "bert", ["cls"]),
        ("BertForQuestionAnswering", "bert", ["qa_outputs"]),
        ("RobertaForSequenceClassification", "roberta", ["classifier"]),
        ("RobertaForMaskedLM", "roberta", ["lm_head"]),
    ],
)
def test_heads_are_whole(class_name: str, model_type: str, expected: list[str]) -> None:
    assert [name for name, _ in heads(tiny(class_name, model_type, **SIZES))] == expected


def test_the_output_layer_is_a_head_whatever_its_name() -> None:
    model = tiny("GPT2LMHeadModel", "gpt2", **GPT2)
    model.out = model.lm_head
    del model.lm_head
    model.get_output_embeddings = lambda: model.out  # type: ignore[method-assign]
    assert [name for name, _ in heads(model)] == ["out"]
    assert roles(model)["out"] == "head"


@pytest.mark.parametrize(
    ("role", "item"),
    [
        ("attention.query", "attention.query"),
        ("attention.query", "attention"),
        ("decoder.attention.query", "attention"),
        ("decoder.attention.query", "decoder.attention"),
        ("decoder.attention.query", "decoder.attention.query"),
        ("text.norm", "norm"),
    ],
)
def test_an_item_means_a_role(role: str, item: str) -> None:
    assert answers(role, item)


@pytest.mark.parametrize(
    ("role", "item"),
    [
        (None, "norm"),
        ("attention.query", "attention.key"),
        ("cross_attention.query", "attention"),
        ("attention.query", "decoder.attention"),
        ("decoder.attention.query", "encoder.attention"),
        ("decoder.attention.query", "decoder"),
        ("mlp.up", "mlp.u"),
    ],
)
def test_an_item_does_not_mean_another(role: str | None, item: str) -> None:
    assert not answers(role, item)


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(2, 3),
        Conv1D(3, 2),
        nn.Embedding(2, 3),
        nn.Conv1d(1, 2, 3),
        nn.Conv2d(1, 2, 3),
        nn.Conv3d(1, 2, 3),
        nn.LayerNorm(3),
        nn.RMSNorm(3),
        *[row.module for row in describe(gpt2())],
        *[row.module for row in describe(t5()) if row.role and row.role.endswith("norm")],
    ],
    ids=lambda module: type(module).__name__,
)
def test_these_can_carry_a_spec(module: nn.Module) -> None:
    assert is_adaptable(module)


@pytest.mark.parametrize(
    "module",
    [
        nn.BatchNorm1d(3),
        nn.Dropout(),
        nn.ModuleList([nn.Linear(2, 3)]),
        nn.LayerNorm(3, elementwise_affine=False),
        nn.LayerNorm((2, 3)),
        nn.BatchNorm2d(3),
        nn.MultiheadAttention(4, 2).out_proj,
    ],
    ids=lambda module: type(module).__name__,
)
def test_these_cannot(module: nn.Module) -> None:
    assert not is_adaptable(module)


def test_the_projection_inside_multihead_attention_is_never_called() -> None:
    attention = nn.MultiheadAttention(4, 2)
    attention.out_proj.register_forward_hook(lambda *_: pytest.fail("called"))
    x = torch.zeros(1, 4)
    attention(x, x, x)
