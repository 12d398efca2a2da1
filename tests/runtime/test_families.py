"""Every role of every family, counted on two layers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from specdsl.lowering.sites import HeldParameter
from specdsl.role_names import split_tower
from specdsl.runtime.families import FAMILIES
from specdsl.runtime.roles import describe, find_family, is_linear
from specdsl.runtime.targets import select
from tests.runtime import tiny_models as values
from tests.runtime.tiny_models import tiny

Roles = dict[str | None, int]


def two_of(group: str, *parts: str) -> Roles:
    return {f"{group}.{part}": 2 for part in parts}


def in_tower(name: str, roles: Roles) -> Roles:
    return {f"{name}.{role}": count for role, count in roles.items()}


ATTENTION = two_of("attention", "query", "key", "value", "output")
CROSS = two_of("cross_attention", "query", "key", "value", "output")
FUSED = two_of("attention", "qkv", "output")
MLP = two_of("mlp", "up", "down")
GATED = two_of("mlp", "gate", "up", "down")
# None counts what can be adapted but has no role: positions, token types, poolers, norms of heads.
BERT = ATTENTION | MLP | {"embedding": 1, "norm": 5, None: 3}
BERT_CLASSIFIER = BERT | {"head": 1}
ROBERTA_CLASSIFIER = BERT | {"head": 2, None: 2}
DEBERTA = ATTENTION | MLP | {"embedding": 1, "norm": 6, None: 1}
DISTILBERT = ATTENTION | MLP | {"embedding": 1, "norm": 5, None: 1}
GPT2 = FUSED | MLP | {"embedding": 1, "norm": 5, "head": 1, None: 1}
GPT2_CROSS = GPT2 | two_of("cross_attention", "query", "qkv", "output") | {"norm": 7}
LLAMA = ATTENTION | GATED | {"embedding": 1, "norm": 5, "head": 1}
PHI3 = FUSED | MLP | {"embedding": 1, "norm": 5, "head": 1}
ENCODER = in_tower("encoder", ATTENTION | MLP | {"norm": 5})
DECODER = in_tower("decoder", ATTENTION | CROSS | MLP | {"norm": 7, "embedding": 1})
WHISPER = ENCODER | DECODER | {"head": 1, None: 2}
T5 = WHISPER | {"embedding": 1, "encoder.embedding": 1}
T5_GATED = T5 | two_of("encoder.mlp", "gate") | two_of("decoder.mlp", "gate")
VIT = ATTENTION | MLP | {"conv": 1, "norm": 5}
CLIP_TEXT = ATTENTION | MLP | {"embedding": 1, "norm": 5}
CLIP_VISION = ATTENTION | MLP | {"conv": 1, "norm": 6}
CLIP = in_tower("text", CLIP_TEXT | {"head": 1}) | in_tower("vision", CLIP_VISION | {"head": 1}) | {None: 2}

CASES: dict[str, tuple[str, dict[str, Any], Roles]] = {
    "BertModel": ("bert", values.SIZES, BERT),
    "BertForSequenceClassification": ("bert", values.SIZES, BERT_CLASSIFIER),
    "BertForTokenClassification": ("bert", values.SIZES, BERT_CLASSIFIER | {None: 2}),
    "BertForMaskedLM": ("bert", values.SIZES, BERT | {"head": 2}),
    "BertLMHeadModel": (
        "bert",
        values.SIZES | {"is_decoder": True, "add_cross_attention": True},
        BERT | CROSS | {"norm": 7, "head": 2},
    ),
    "RobertaModel": ("roberta", values.SIZES, BERT),
    "RobertaForSequenceClassification": ("roberta", values.SIZES, ROBERTA_CLASSIFIER),
    "RobertaForMaskedLM": ("roberta", values.SIZES, BERT | {"head": 2}),
    "XLMRobertaForSequenceClassification": ("xlm-roberta", values.SIZES, ROBERTA_CLASSIFIER),
    "CamembertForSequenceClassification": ("camembert", values.SIZES, ROBERTA_CLASSIFIER),
    "ElectraForSequenceClassification": (
        "electra",
        values.SIZES | {"embedding_size": 16},
        ROBERTA_CLASSIFIER | {None: 3},
    ),
    "DebertaV2Model": ("deberta-v2", values.DEBERTA, DEBERTA),
    "DebertaV2ForSequenceClassification": ("deberta-v2", values.DEBERTA, DEBERTA | {"head": 1, None: 2}),
    "DebertaV2ForTokenClassification": ("deberta-v2", values.DEBERTA, DEBERTA | {"head": 1}),
    "DebertaV2ForMaskedLM": ("deberta-v2", values.DEBERTA, DEBERTA | {"head": 2, None: 2}),
    # Its norms are of a class of their own and cannot carry a spec.
    "DebertaModel": (
        "deberta",
        values.SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": 16},
        FUSED | MLP | {"embedding": 1, None: 6},
    ),
    "DistilBertModel": ("distilbert", values.DISTILBERT, DISTILBERT),
    "DistilBertForSequenceClassification": ("distilbert", values.DISTILBERT, DISTILBERT | {"head": 2}),
    "GPT2LMHeadModel": ("gpt2", values.GPT2, GPT2),
    "GPT2ForSequenceClassification": ("gpt2", values.GPT2, GPT2),
    "GPT2LMHeadModel with cross-attention": ("gpt2", values.GPT2 | {"add_cross_attention": True}, GPT2_CROSS),
    "LlamaModel": ("llama", values.LLAMA, {role: n for role, n in LLAMA.items() if role != "head"}),
    "LlamaForCausalLM": ("llama", values.LLAMA, LLAMA),
    "LlamaForSequenceClassification": ("llama", values.LLAMA, LLAMA),
    "MistralForCausalLM": ("mistral", values.LLAMA, LLAMA),
    "Qwen2ForCausalLM": ("qwen2", values.LLAMA, LLAMA),
    "Qwen3ForCausalLM": ("qwen3", values.GEMMA, LLAMA | {"norm": 9}),
    "GemmaForCausalLM": ("gemma", values.GEMMA, LLAMA),
    "Gemma2ForCausalLM": ("gemma2", values.GEMMA, LLAMA | {"norm": 9}),
    "Gemma3ForCausalLM": ("gemma3_text", values.GEMMA, LLAMA | {"norm": 13}),
    "SmolLM3ForCausalLM": ("smollm3", values.LLAMA, LLAMA),
    "Olmo2ForCausalLM": ("olmo2", values.LLAMA, LLAMA | {"norm": 9}),
    "Phi3ForCausalLM": ("phi3", values.LLAMA, PHI3),
    "T5ForConditionalGeneration": ("t5", values.T5, T5),
    "T5ForConditionalGeneration with gates": (
        "t5",
        values.T5 | {"feed_forward_proj": "gated-gelu"},
        T5_GATED,
    ),
    "T5EncoderModel": ("t5", values.T5, ENCODER | {"embedding": 1, "encoder.embedding": 1, None: 1}),
    "T5ForSequenceClassification": ("t5", values.T5, T5 | {"head": 2}),
    "MT5ForConditionalGeneration": ("mt5", values.T5, T5_GATED),
    "ViTModel": ("vit", values.IMAGES, VIT | {None: 1}),
    "ViTForImageClassification": ("vit", values.IMAGES, VIT | {"head": 1}),
    "DeiTForImageClassification": ("deit", values.IMAGES, VIT | {"head": 1}),
    "DeiTForImageClassificationWithTeacher": ("deit", values.IMAGES, VIT | {"head": 2}),
    "Dinov2Model": ("dinov2", values.DINOV2, VIT),
    "Dinov2Model with gates": (
        "dinov2",
        values.DINOV2 | {"use_swiglu_ffn": True},
        VIT | two_of("mlp", "gate"),
    ),
    "Dinov2WithRegistersModel": ("dinov2_with_registers", values.DINOV2, VIT),
    "CLIPModel": ("clip", values.CLIP, CLIP),
    "CLIPForImageClassification": (
        "clip",
        values.CLIP,
        in_tower("vision", CLIP_VISION) | {"head": 1, None: 1},
    ),
    "CLIPTextModel": ("clip_text_model", values.SIZES | values.SPECIAL, CLIP_TEXT | {None: 1}),
    "CLIPVisionModel": ("clip_vision_model", values.IMAGES, CLIP_VISION | {None: 1}),
    "WhisperForConditionalGeneration": ("whisper", values.WHISPER, WHISPER | {"encoder.conv": 2}),
    "WhisperForAudioClassification": ("whisper", values.WHISPER, ENCODER | {"encoder.conv": 2, "head": 2, None: 1}),
    "BartForConditionalGeneration": ("bart", values.SEQ2SEQ, T5),
    "MBartForConditionalGeneration": ("mbart", values.SEQ2SEQ, T5 | {"encoder.norm": 6, "decoder.norm": 8}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_role_is_matched(case: str) -> None:
    model_type, configuration, expected = CASES[case]
    model = tiny(case.partition(" ")[0], model_type, **configuration)
    assert find_family(model) is not None
    layers = [row for row in describe(model) if not isinstance(row.module, HeldParameter)]
    assert Counter(row.role for row in layers) == expected


@pytest.mark.parametrize("case", CASES)
def test_the_default_is_every_linear_map_of_the_blocks(case: str) -> None:
    model_type, configuration, expected = CASES[case]
    model = tiny(case.partition(" ")[0], model_type, **configuration)
    selection = select(model)
    linear = {role for role in expected if role and split_tower(role)[1].partition(".")[2]}
    assert Counter(target.role for target in selection.targets) == {role: expected[role] for role in linear}
    assert all(is_linear(target.module) and target.layer in (0, 1) for target in selection.targets)


def test_every_model_type_of_the_table_is_tried() -> None:
    tried = {model_type for model_type, _, _ in CASES.values()}
    assert tried == {model_type for family in FAMILIES for model_type in family.model_types}


def test_no_model_type_is_in_two_families() -> None:
    types = Counter(model_type for family in FAMILIES for model_type in family.model_types)
    assert set(types.values()) == {1}


def test_deberta_with_positions_of_its_own_keeps_six_maps_per_layer() -> None:
    model = tiny("DebertaV2Model", "deberta-v2", **values.DEBERTA | {"share_att_key": False})
    assert len(select(model).targets) == 12
