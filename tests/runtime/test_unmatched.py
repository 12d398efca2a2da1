"""A role that no module has is explained, word for word."""

from __future__ import annotations

import pytest
from torch import nn

from specdsl.errors import SpecTargetError
from specdsl.runtime.items import Item, matches
from specdsl.runtime.roles import locate
from specdsl.runtime.unmatched import summary
from specdsl.source import Source, Span
from tests.runtime.tiny_models import GPT2, LLAMA, bert, gpt2, t5, tiny

BERT_ROLES = "the roles here are attention.{query, key, value, output}, mlp.{up, down}, embedding, norm"


def explained(text: str, model: nn.Module, span: Span | None = None) -> tuple[str, str | None]:
    with pytest.raises(SpecTargetError) as raised:
        matches(Item(text, span), model, locate(model))
    return raised.value.message, raised.value.hint


@pytest.mark.parametrize(
    ("role", "message", "hint"),
    [
        ("atention.query", "`atention.query` is no role", "did you mean `attention.query`?"),
        ("MLP", "`MLP` is no role", "did you mean `mlp`?"),
        ("pooler", "`pooler` is no role", r"modules are named by a regular expression: `re:(.*\.)?pooler`"),
        ("pooller", "`pooller` is no role", r"did you mean `re:(.*\.)?pooler`?"),
        ("xyz", "`xyz` is no role", BERT_ROLES),
        ("mlp.gate", "this `bert` model has no `mlp.gate`", BERT_ROLES),
        ("cross_attention", "this `bert` model has no `cross_attention`", BERT_ROLES),
        ("decoder.mlp.up", "this `bert` model has no `decoder.mlp.up`", "did you mean `mlp.up`?"),
        (
            "attention.qkv",
            "this `bert` model has no `attention.qkv`",
            "did you mean `attention.query, attention.key, attention.value`?",
        ),
    ],
)
def test_a_role_that_bert_lacks(role: str, message: str, hint: str) -> None:
    assert explained(role, bert()) == (message, hint)


def test_a_part_of_a_fused_projection_is_named_with_the_whole() -> None:
    message = "`attention.key` is only a part of `transformer.h.0.attn.c_attn` in this model"
    assert explained("attention.key", gpt2()) == (message, "did you mean `attention.qkv`?")


def test_key_and_value_of_gpt2_cross_attention_are_one() -> None:
    model = tiny("GPT2LMHeadModel", "gpt2", **GPT2, add_cross_attention=True)
    message = "`cross_attention.key` is only a part of `transformer.h.0.crossattention.c_attn` in this model"
    assert explained("cross_attention.key", model) == (message, "did you mean `cross_attention.qkv`?")


def test_gate_and_up_of_phi3_are_one() -> None:
    model = tiny("Phi3ForCausalLM", "phi3", **LLAMA)
    message = "`mlp.gate` is only a part of `model.layers.0.mlp.gate_up_proj` in this model"
    assert explained("mlp.gate", model) == (message, "did you mean `mlp.up`?")


def test_a_misspelt_tower_role_gets_its_tower_back() -> None:
    assert explained("decoder.atention", t5()) == (
        "`decoder.atention` is no role",
        "did you mean `decoder.attention`?",
    )


def test_a_role_that_one_tower_lacks_is_offered_without_it() -> None:
    message, hint = explained("encoder.cross_attention", t5())
    assert message == "this `t5` model has no `encoder.cross_attention`"
    assert hint == "did you mean `cross_attention`?"


def test_a_model_of_unknown_type_needs_patterns() -> None:
    model = tiny("PhiForCausalLM", "phi", **LLAMA)
    message = "`attention.query` is not known for models of type `phi`, only module names are"
    assert explained("attention.query", model) == (message, r"such as `re:(.*\.)?q_proj`")


def test_a_model_of_no_type_is_this_model() -> None:
    message = "`mlp` is not known for this model, only module names are"
    assert explained("mlp", nn.Sequential(nn.Linear(2, 3))) == (message, r"such as `re:(.*\.)?0`")


def test_a_model_of_no_type_may_lack_a_norm() -> None:
    assert explained("norm", nn.Sequential(nn.Embedding(2, 3))) == (
        "this model has no `norm`",
        "the roles here are embedding",
    )


def test_in_a_spec_the_hint_is_written_as_a_spec() -> None:
    text = "W + A@B | on self"
    span = Span(Source(text), text.index("self"), len(text))
    _, hint = explained("self", bert(), span)
    assert hint == r'modules are named by a regular expression: `"(.*\.)?self"`'


def test_a_part_of_a_role_is_taken_for_the_role() -> None:
    assert explained("query", bert())[1] == "did you mean `attention.query`?"
    assert explained("classifier", bert())[1] == "did you mean `head`?"


def test_roles_are_summed_up_in_one_line() -> None:
    assert summary(locate(t5())) == (
        "attention.{query, key, value, output}, cross_attention.{query, key, value, output}, mlp.{up, down}, "
        "embedding, norm, head; towers: encoder, decoder"
    )
    assert summary(locate(bert())) == BERT_ROLES.removeprefix("the roles here are ")
