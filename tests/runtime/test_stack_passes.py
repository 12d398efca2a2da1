"""Prompts in real models: the rows in front of the tokens are seen by them, and by nothing behind the stack."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecSettingError
from tests.runtime.growing import (
    DECODERS,
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
    prompted,
)
from tests.runtime.small_models import move

by_peft = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


@by_peft
@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_gives_the_logits_of_peft(name: str) -> None:
    pytest.importorskip("peft")
    model = model_of(name)
    other, table = of_peft(model, "PromptTuningConfig", name)
    (P,) = factors(prompted(model, name))
    with torch.no_grad():
        P.copy_(table[:K])
    expected = logits(other, **inputs(name))
    found = logits(model, **inputs(name))
    real = RIGHT.bool() if name not in SEQ2SEQ else torch.ones(2, 3, dtype=torch.bool)
    assert_close(found[real], expected[:, -found.shape[1] :][real], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_a_prompt_has_the_gradients_of_the_literal_formula(name: str) -> None:
    model = model_of(name)
    embedded = model.get_input_embeddings()(IDS).detach()
    (P,) = factors(prompted(model, name))
    weights = torch.randn(2, 5, model(**inputs(name)).logits.shape[-1], dtype=torch.float64) * RIGHT[..., None]
    (found,) = torch.autograd.grad((model(**inputs(name)).logits * weights).sum(), P)
    literal = P.detach().clone().requires_grad_()
    base = model_of(name)
    rows = torch.cat([literal.expand(2, -1, -1), embedded], 1)
    mask = torch.cat([torch.ones(2, K, dtype=torch.long), RIGHT], 1)
    output = base(inputs_embeds=rows, attention_mask=mask).logits[:, K:]
    (expected,) = torch.autograd.grad((output * weights).sum(), literal)
    assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["bert", "electra", "distilbert", "deberta-v2", "gpt2", "llama", "t5"])
def test_padding_changes_nothing_beside_a_prompt(name: str) -> None:
    model = model_of(name)
    prompted(model, name)
    together = logits(model, **inputs(name))
    alone = {key: value[1:, :3] for key, value in inputs(name).items()}
    assert_close(together[1:, :3], logits(model, **alone), rtol=1e-11, atol=1e-11)


def test_the_classifier_pools_the_first_token_and_not_the_prompt() -> None:
    model = model_of("bert", "BertForSequenceClassification")
    adapter = prompted(model, "bert")
    hidden = model.bert(**inputs("bert")).last_hidden_state
    assert hidden.shape == (2, 5, 32)
    expected = model.classifier(torch.tanh(model.bert.pooler.dense(hidden[:, 0])))
    assert_close(model(**inputs("bert")).logits, expected)
    with adapter.disabled():
        assert_close(logits(model, **inputs("bert")), logits(model_of("bert", type(model).__name__), **inputs("bert")))


def test_all_hidden_states_are_those_of_the_tokens() -> None:
    model = model_of("bert")
    prompted(model, "bert")
    states = model(**inputs("bert"), output_hidden_states=True).hidden_states
    assert [state.shape[1] for state in states] == [5, 5, 5]
    assert [state.shape[1] for state in model.bert(IDS, RIGHT, return_dict=False) if state.dim() == 3] == [5]


def test_labels_are_those_of_the_tokens() -> None:
    model = model_of("gpt2")
    prompted(model, "gpt2")
    labels = IDS.masked_fill(RIGHT == 0, -100)
    output = model(**inputs("gpt2"), labels=labels)
    shifted = output.logits[:, :-1].reshape(-1, 50)
    expected = torch.nn.functional.cross_entropy(shifted, labels[:, 1:].reshape(-1))
    assert_close(output.loss.double(), expected, rtol=1e-6, atol=0)  # transformers computes it in float32


def test_positions_that_are_given_count_the_prompt() -> None:
    model = model_of("gpt2")
    prompted(model, "gpt2")
    positions = torch.arange(5).expand(2, -1)
    assert_close(logits(model, **inputs("gpt2"), position_ids=positions), logits(model, **inputs("gpt2")))


def test_token_types_go_on_with_the_first() -> None:
    model = model_of("bert")
    prompted(model, "bert")
    none = torch.zeros_like(IDS)
    assert_close(logits(model, **inputs("bert"), token_type_ids=none), logits(model, **inputs("bert")))
    assert not torch.equal(logits(model, **inputs("bert"), token_type_ids=none + 1), logits(model, **inputs("bert")))


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", [*DECODERS, "t5"])
def test_generation_from_a_cache_is_that_without(name: str, beams: int) -> None:
    model = model_of(name)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    options: dict[str, Any] = {"max_new_tokens": 5, "do_sample": False, "num_beams": beams, "attention_mask": LEFT}
    prompted(model, name)
    found = model.generate(IDS, **options)
    assert torch.equal(found, model.generate(IDS, **options, use_cache=False))
    alone = model.generate(IDS[1:, 2:], **options | {"attention_mask": LEFT[1:, 2:]})
    assert torch.equal(alone[0, -5:], found[1, -5:])


def test_a_prompt_and_a_prefix_go_together() -> None:
    model = model_of("llama")
    prompt = prompted(model, "llama")
    prefix = specdsl.attach(
        model, "k = 2 | P : k x m ~ normal(1) | y' = [P; y]", on=["attention.key", "attention.value"], name="prefix",
        dtype="float64",
    )  # fmt: skip
    model.generation_config.eos_token_id = None
    options = {"attention_mask": LEFT, "max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    both = model.generate(IDS, **options)
    assert torch.equal(both, model.generate(IDS, **options, use_cache=False))
    prompt.detach()
    alone = logits(model, **inputs("llama"))
    prefix.detach()
    assert not torch.equal(alone, logits(model, **inputs("llama")))


def test_two_prompts_stand_one_after_the_other() -> None:
    model = model_of("gpt2")
    first = prompted(model, "gpt2")
    second = specdsl.attach(model, "k = 1 | P : k x m ~ normal(1) | y' = [P; y]", on="embedding", name="second",
                            dtype="float64")  # fmt: skip
    found = logits(model, **inputs("gpt2"))
    rows = torch.cat([*factors(first), *factors(second)]).detach()
    both = model_of("gpt2")
    one = prompted(both, "gpt2", "k = 4 | P : k x m ~ normal(1) | y' = [P; y]")
    with torch.no_grad():
        factors(one)[0].copy_(rows)
    assert_close(found, logits(both, **inputs("gpt2")), rtol=1e-12, atol=1e-12)


def test_a_prompt_beside_what_reads_across_tokens_is_read_too_and_padding_is_not() -> None:
    model = model_of("bert")
    prompted(model, "bert")
    mixing = specdsl.attach(model, "z = colmean(x@P) | P : n x 2 | y' = y + x@A@diag(z)@B", on="mlp.down",
                            name="mixing", dtype="float64")  # fmt: skip
    move(mixing)
    together = logits(model, **inputs("bert"))
    alone = logits(model, input_ids=IDS[1:, :3])
    assert_close(together[1:, :3], alone, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"inputs_embeds": torch.ones(2, 5, 32).double(), "input_ids": None}, "given something else"),
    ({"attention_mask": torch.ones(2, 8)}, "the attention mask is for 8 tokens, but there are 5"),
    ({"attention_mask": torch.ones(2, 1, 5, 5)}, "not of 4 axes"),
    ({"input_ids": torch.ones(2, 1022).long(), "attention_mask": None}, "take 1025 positions, but the model has 1024"),
])  # fmt: skip
def test_a_pass_that_cannot_have_a_prompt_says_why(arguments: dict[str, Any], message: str) -> None:
    model = model_of("gpt2")
    prompted(model, "gpt2")
    with pytest.raises(SpecSettingError, match=message):
        model(**inputs("gpt2") | arguments)


def test_a_static_cache_is_refused() -> None:
    model = model_of("llama")
    prompted(model, "llama")
    with pytest.raises(SpecSettingError, match="a StaticCache has no place for the 3 rows"):
        model.generate(IDS, attention_mask=LEFT, max_new_tokens=3, cache_implementation="static", pad_token_id=0)


# --------------------------------------------------------------------------------------------- padding


MIXING = {
    "attention": "f(Z) = softmax(Z@Z.T/sqrt(r))@Z | y' = y + f(x@A)@B",
    "products": "y' = y + (x@A)@((x@C).T@(x@C))@B",
    "a mean token": "z = colmean(x@P) | P : n x r | y' = y + x@A@diag(z)@B",
    "a gate": "g = softmax(sum(x .* v, axis=-1)) | y' = y + diag(g)@(x@A@B)",
    "a number": "y' = y + mean(abs(x@P))*(x@A@B) | P : n x r",
}


PADDED = [("bert", "right"), *((name, side) for name in ("gpt2", "llama", "t5") for side in ("right", "left"))]
"""BERT's own positions count padding that comes first."""


@pytest.mark.parametrize("mixing", MIXING)
@pytest.mark.parametrize(("name", "side"), PADDED)
def test_padding_takes_no_part_in_what_reads_across_tokens(name: str, mixing: str, side: str) -> None:
    model = model_of(name)
    roles = {"gpt2": "attention.qkv", "t5": "cross_attention.key"}
    adapter = specdsl.attach(model, MIXING[mixing], on=[roles.get(name, "attention.query"), "mlp.down"], r=2,
                             dtype="float64")  # fmt: skip
    move(adapter)
    mask = RIGHT if side == "right" else LEFT
    given = inputs(name, mask) | ({"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)} if name in DECODERS else {})
    together = logits(model, **given)
    with adapter.disabled():
        assert not torch.allclose(together, logits(model, **given))
    places = mask[1].bool()
    decoder = {"decoder_input_ids": IDS[1:, :3]} if name in SEQ2SEQ else {}
    alone = logits(model, input_ids=IDS[1:, places], **decoder)
    found = together[1:] if name in SEQ2SEQ else together[1:, places]
    assert_close(found, alone, rtol=1e-10, atol=1e-10)


def attending(name: str) -> Any:
    model = model_of(name)
    specdsl.attach(model, MIXING["attention"], on="mlp.down", r=2, dtype="float64")
    return model


def test_packed_sequences_are_refused_by_what_reads_across_tokens() -> None:
    with pytest.raises(SpecSettingError, match="cannot tell packed sequences apart"):
        attending("llama")(input_ids=IDS, position_ids=torch.tensor([[0, 1, 2, 0, 1]]).expand(2, -1))


def test_a_mask_of_four_axes_is_refused_by_what_reads_across_tokens() -> None:
    with pytest.raises(SpecSettingError, match="takes `attention_mask` as `batch x tokens`, not of 4 axes"):
        attending("llama")(input_ids=IDS, attention_mask=torch.ones(2, 1, 5, 5, dtype=torch.bool))


def test_what_reads_across_tokens_does_not_go_on_from_a_cache() -> None:
    model = attending("gpt2")
    options = {"attention_mask": LEFT, "max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    with pytest.raises(SpecSettingError, match="cannot go on from a cache"):
        model.generate(IDS, **options)
    assert model.generate(IDS, **options, use_cache=False).shape[1] <= 8


# -------------------------------------------------------------------------------------------- threads


def together(model: Any, name: str, calls: Sequence[dict[str, Any]]) -> list[Any]:
    """Every call in a thread of its own, all of them at the same module at once."""
    meeting = threading.Barrier(len(calls), timeout=60)

    def meet(*_: Any) -> None:
        meeting.wait()

    handle = model.get_submodule(name).register_forward_hook(meet)
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda call: logits(model, **call), calls))
    finally:
        handle.remove()


AT_ONCE: dict[str, tuple[str, str]] = {
    "a prompt": ("transformer.wte", "embedding"),
    "a prefix": ("transformer.h.0.attn.c_attn", "attention.qkv"),
}


@pytest.mark.parametrize("case", AT_ONCE)
def test_rows_in_several_threads_are_those_of_each(case: str) -> None:
    meeting, role = AT_ONCE[case]
    model = model_of("gpt2")
    specdsl.attach(model, SPEC, on=role, dtype="float64")
    calls: list[dict[str, Any]] = [{"input_ids": IDS}, {"input_ids": IDS[:1, :2]}, {"input_ids": IDS.repeat(2, 1)}]
    expected = [logits(model, **call) for call in calls]
    assert_close(together(model, meeting, calls), expected)


def test_the_padding_of_several_threads_is_that_of_each() -> None:
    model = model_of("bert")
    move(specdsl.attach(model, MIXING["attention"], on="mlp.down", r=2, dtype="float64"))
    calls = [inputs("bert"), inputs("bert", torch.ones_like(RIGHT)), {"input_ids": IDS[:1, :2]}]
    expected = [logits(model, **call) for call in calls]
    assert_close(together(model, "bert.embeddings", calls), expected)


def test_switched_off_it_asks_nothing_of_a_pass() -> None:
    model = model_of("gpt2")
    adapter = specdsl.attach(model, MIXING["attention"], on="mlp.down", r=2, dtype="float64")
    options = {"attention_mask": LEFT, "max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    with adapter.disabled():
        assert torch.equal(model.generate(IDS, **options), model_of("gpt2").generate(IDS, **options))


def test_a_mask_holds_for_its_own_pass() -> None:
    model = attending("bert")
    before = logits(model, input_ids=IDS)
    logits(model, **inputs("bert"))
    assert torch.equal(logits(model, input_ids=IDS), before)


def test_recomputed_blocks_have_the_padding_too() -> None:
    found = []
    for again in (False, True):
        model = attending("bert").train()
        if again:
            model.activation_checkpointing_enable({"use_reentrant": False})
        (model(**inputs("bert")).logits * RIGHT[..., None]).square().sum().backward()
        found.append([value.grad for value in model.parameters() if value.grad is not None])
    assert found[0]
    assert_close(found[0], found[1])
