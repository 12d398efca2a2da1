"""Prefixes in real models: keys and values with rows in front, which every token sees."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecSettingError
from tests.runtime.growing import (
    DECODERS,
    FUSED,
    IDS,
    LEFT,
    MODELS,
    RIGHT,
    SEQ2SEQ,
    SPEC,
    K,
    factors,
    inputs,
    logits,
    model_of,
    of_peft,
    prefixed,
)

by_peft = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
WITH = [
    (name, attention)
    for name in MODELS
    for attention in ("sdpa", "eager")
    if name not in ("deberta-v2", "distilbert") and (name, attention) != ("gemma2", "sdpa")
]
"""Models that PEFT has prefixes for, with the attentions that they can have."""


def put(name: str, found: list[Tensor], table: Tensor) -> None:
    """PEFT's prefixes, one table for all layers, as the factors of each projection."""
    layers = len(found) if name in FUSED else len(found) // 2
    halves = table[:K].reshape(K, 2 * layers, -1)
    width = halves.shape[-1]
    with torch.no_grad():
        for place, factor in enumerate(found):
            if name in FUSED:
                factor[:, -2 * width :] = halves[:, 2 * place : 2 * place + 2].reshape(K, -1)
            elif name in SEQ2SEQ:  # PEFT cuts its table into keys and values of two attentions for each layer
                factor.copy_(halves[:, 4 * (place // 2) % (2 * layers) + place % 2])
            else:
                factor.copy_(halves[:, place])


@by_peft
@pytest.mark.parametrize(("name", "attention"), WITH)
def test_a_prefix_gives_the_logits_of_peft(name: str, attention: str) -> None:
    pytest.importorskip("peft")
    model = model_of(name, attn_implementation=attention)
    other, table = of_peft(model, "PrefixTuningConfig", name)
    put(name, factors(prefixed(model, name)), table)
    expected, found = logits(other, **inputs(name)), logits(model, **inputs(name))
    real = RIGHT.bool() if name not in SEQ2SEQ else torch.ones(2, 3, dtype=torch.bool)
    assert_close(found[real], expected[real], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask", [None, RIGHT])
def test_a_prefix_has_the_output_and_gradients_of_the_literal_formula(mask: Tensor | None) -> None:
    model = model_of("distilbert", attn_implementation="eager")
    attention = model.distilbert.transformer.layer[0].attention
    x = torch.randn(2, 5, 32, dtype=torch.float64)
    projections = [copy.deepcopy(getattr(attention, name)) for name in ("q_lin", "k_lin", "v_lin")]
    P, R, *_ = factors(prefixed(model, "distilbert"))
    scores = None if mask is None else torch.where(mask[:, None, None] == 1, 0.0, -1e30).double()
    found, _ = attention(x, scores)

    def heads(rows: Tensor) -> Tensor:
        return rows.reshape(2, -1, 4, 8).transpose(1, 2)

    query, key, value = (projection(x) for projection in projections)
    keys, values = torch.cat([P.expand(2, K, 32), key], 1), torch.cat([R.expand(2, K, 32), value], 1)
    seen = torch.cat([torch.ones(2, K), torch.ones(2, 5) if mask is None else mask], 1)[:, None, None]
    weights = (heads(query) @ heads(keys).mT / 8**0.5).masked_fill(seen == 0, -torch.inf).softmax(-1)
    expected = attention.out_lin((weights @ heads(values)).transpose(1, 2).reshape(2, 5, 32))
    assert_close(found, expected, rtol=1e-12, atol=1e-12)
    mine, literal = (torch.autograd.grad(output.square().sum(), (P, R)) for output in (found, expected))
    assert_close(mine, literal, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama", "t5"])
def test_padding_changes_nothing_beside_a_prefix(name: str) -> None:
    model = model_of(name)
    prefixed(model, name)
    together = logits(model, **inputs(name))
    alone = {key: value[1:, :3] for key, value in inputs(name).items()}
    assert_close(together[1:, :3], logits(model, **alone), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", [*DECODERS, "t5"])
def test_generation_from_a_cache_is_that_without(name: str) -> None:
    model = model_of(name)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "attention_mask": LEFT}
    prefixed(model, name)
    found = model.generate(IDS, **options)
    assert torch.equal(found, model.generate(IDS, **options, use_cache=False))
    assert torch.equal(found, model.generate(IDS, **options, cache_implementation="static"))
    alone = model.generate(IDS[1:, 2:], **options | {"attention_mask": LEFT[1:, 2:]})
    assert torch.equal(alone[0, -5:], found[1, -5:])


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_recomputed_blocks_have_the_rows_too(name: str) -> None:
    found = []
    for again in (False, True):
        model = model_of(name).train()
        adapter = prefixed(model, name)
        if again:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model(**inputs(name)).logits.square().sum().backward()
        found.append([factor.grad for factor in factors(adapter)])
    assert all(value is not None and value.abs().max() > 0 for value in found[0])
    assert_close(found[0], found[1])


def test_the_attention_follows_the_configuration_of_the_model() -> None:
    model = model_of("llama", attn_implementation="sdpa")
    prefixed(model, "llama")
    before = logits(model, **inputs("llama"))
    model.set_attn_implementation("eager")
    output = model(**inputs("llama"), output_attentions=True)
    assert_close(output.logits, before, rtol=1e-4, atol=1e-5)  # Llama's eager attention takes softmax in float32
    assert output.attentions[0].shape == (2, 4, 5, K + 5)


def test_another_attention_is_refused_by_name() -> None:
    model = model_of("llama")
    prefixed(model, "llama")
    config: Any = model.model.layers[0].self_attn.config
    config.__dict__["config"] = copy.copy(model.config)
    config._attn_implementation = "flex_attention"
    with pytest.raises(SpecSettingError, match="under the attention `flex_attention`"):
        model(input_ids=IDS)


@pytest.mark.parametrize(("name", "attention"), [("t5", "encoder.block.0.layer.0.SelfAttention"),
                                                 ("bert", "bert.encoder.layer.0.attention.self")])  # fmt: skip
def test_an_attention_that_its_projections_give_no_rows_says_so(name: str, attention: str) -> None:
    model = model_of(name)
    specdsl.attach(model, SPEC, on=["encoder.attention.key", "encoder.attention.value"] if name == "t5" else
                   ["attention.key", "attention.value"], dtype="float64")  # fmt: skip
    projection = "k" if name == "t5" else "key"
    adapted = model.get_submodule(f"{attention}.{projection}")

    def forget(*_: Any) -> None:
        adapted.specdsl.take_rows()

    adapted.register_forward_hook(forget)
    with pytest.raises(SpecSettingError, match=f"has been given no rows by its `{projection}` in this pass"):
        model(**inputs(name))


@pytest.mark.parametrize("tower", ["encoder", "decoder"])
def test_the_rows_of_t5_are_as_far_away_as_tokens_in_their_place(tower: str) -> None:
    model = model_of("t5", attn_implementation="eager")
    stack = model.get_submodule(tower)
    attention = stack.block[1].layer[0].SelfAttention
    bias = stack.block[0].layer[0].SelfAttention.compute_bias(5 + K, 5 + K)[:, :, K:].detach()
    x = torch.randn(2, 5, 32, dtype=torch.float64)
    base = copy.deepcopy(attention)
    adapter = specdsl.attach(model, SPEC, on=[f"{tower}.attention.key", f"{tower}.attention.value"], layers=1,
                             dtype="float64")  # fmt: skip
    P, R = factors(adapter)

    def heads(rows: Tensor) -> Tensor:
        return rows.reshape(2, -1, 4, 8).transpose(1, 2)

    keys, values = torch.cat([P.expand(2, K, 32), base.k(x)], 1), torch.cat([R.expand(2, K, 32), base.v(x)], 1)
    weights = (heads(base.q(x)) @ heads(keys).mT + bias).softmax(-1)
    expected = base.o((weights @ heads(values)).transpose(1, 2).reshape(2, 5, 32))
    assert_close(attention(x, position_bias=bias[..., K:])[0], expected, rtol=1e-12, atol=1e-12)


def test_rows_that_no_attention_takes_are_an_error() -> None:
    model = model_of("llama")
    prefixed(model, "llama")
    config = model.model.layers[1].self_attn.config
    object.__setattr__(config, "__class__", type("Ignored", (type(config),), {"_attn_implementation": "sdpa"}))
    with pytest.raises(SpecSettingError, match="has not taken the rows added to its keys and values"):
        model(**inputs("llama"))


def test_the_configuration_of_an_attention_is_read_and_written_through() -> None:
    model = model_of("bert")
    adapter = prefixed(model, "bert")
    attention = model.bert.encoder.layer[0].attention.self
    for config in (attention.config, copy.deepcopy(attention).config, pickle.loads(pickle.dumps(attention)).config):
        assert config.hidden_size == 32
        assert config._attn_implementation == "specdsl_prefixed"
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = attention.config.no_such_thing
    attention.config.chunk_size_feed_forward = 7
    assert model.config.chunk_size_feed_forward == 7
    with adapter.disabled():
        assert attention.config._attn_implementation == "sdpa"
    adapter.detach()
    assert attention.config is model.config
