"""An output layer and the embedding whose table it reads take one set of factors, where both are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecTargetError
from tests.lowering.literal import METHODS, move
from tests.runtime.small_models import small

IDS = torch.arange(8).reshape(2, 4)
HOLDERS = {
    "gpt2": ("transformer.wte", "lm_head"),
    "t5": ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head"),
    "bert": ("bert.embeddings.word_embeddings", "cls.predictions.decoder"),
}


def made(name: str) -> nn.Module:
    if name != "bert":
        return small(name).double().eval()
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    return transformers.BertForMaskedLM(transformers.BertConfig(**sizes, intermediate_size=16)).double().eval()


def logits(model: nn.Module, name: str) -> Tensor:
    more = {"decoder_input_ids": IDS} if name == "t5" else {}
    return model(input_ids=IDS, **more).logits


def on(name: str) -> list[str]:
    return [f"re:{holder}" for holder in HOLDERS[name]]


@pytest.mark.parametrize("method", ["lora", "dora", "rotation"])
@pytest.mark.parametrize("name", HOLDERS)
def test_all_holders_run_with_the_one_adapted_weight(name: str, method: str, tmp_path: Path) -> None:
    model = made(name)
    bare = logits(model, name)
    adapter = specdsl.attach(model, METHODS[method][0], on=on(name), dtype="float64")
    (member,) = adapter.members
    assert (member.name, *member.surveyed.target.tied) == HOLDERS[name]
    move(adapter)
    y = logits(model, name)
    changed = adapter.members[0].layer.adapted("W", member.base_site).detach()
    adapter.save(tmp_path / "adapter")
    adapter.detach()

    other = made(name)
    with torch.no_grad():
        other.get_submodule(HOLDERS[name][0]).weight.copy_(changed)
    assert_close(logits(other, name), y)

    assert torch.equal(logits(model, name), bare)
    again = specdsl.load(model, tmp_path / "adapter")
    assert torch.equal(logits(model, name), y)
    again.merge()
    assert_close(logits(model, name), y)
    again.unmerge()
    again.detach()
    assert torch.equal(logits(model, name), bare)


@pytest.mark.parametrize("name", HOLDERS)
def test_the_report_says_who_takes_the_same_factors(name: str) -> None:
    notes = specdsl.attach(made(name), "W + A@B | r = 2", on=on(name)).report().notes
    names = " and ".join([", ".join(f"`{n}`" for n in HOLDERS[name][:-1]), f"`{HOLDERS[name][-1]}`"])
    assert f"{names} hold one weight and take the same factors" in notes


def test_gradients_come_from_both_ends() -> None:
    model = made("gpt2")
    adapter = specdsl.attach(model, "W + A@B | r = 2", on=on("gpt2"), dtype="float64")
    move(adapter)
    logits(model, "gpt2").square().sum().backward()
    both = [parameter.grad.clone() for parameter in adapter.parameters()]
    (member,) = adapter.members
    W = member.layer.adapted("W", member.base_site).detach().requires_grad_()
    plain = made("gpt2")
    y = torch.func.functional_call(plain, {"transformer.wte.weight": W, "lm_head.weight": W}, (IDS,)).logits
    (through,) = torch.autograd.grad(y.square().sum(), W)
    factors = {name: value.detach() for _, name, value in adapter.factors()}
    assert_close(both[0], through @ factors["B"].T)
    assert_close(both[1], factors["A"].T @ through)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("b + d", "it makes a bias, which the two do not share"),
        ("y + dropout(x, 0.1)@A@B", "but the spec has `dropout"),
        ("y + relu(x@A)@B", "and the spec is no weight"),
    ],
)
def test_what_is_no_weight_of_both_is_refused(spec: str, reason: str) -> None:
    model = made("gpt2")
    with pytest.raises(SpecTargetError, match=f"`lm_head` holds the weight of `transformer.wte` .*{reason}"):
        specdsl.attach(model, spec, on=on("gpt2"))


def test_an_output_layer_that_carries_an_adapter_takes_no_other_with_its_embedding() -> None:
    model = made("gpt2")
    specdsl.attach(model, "W + A@B | r = 2", on="re:lm_head", name="one")
    with pytest.raises(SpecTargetError, match="it carries an adapter of its own"):
        specdsl.attach(model, "W + A@B | r = 2", on=on("gpt2"), name="two")


def test_an_output_layer_that_shares_factors_takes_no_others_alone() -> None:
    model = made("gpt2")
    specdsl.attach(model, "W + A@B | r = 2", on=on("gpt2"), name="one")
    with pytest.raises(SpecTargetError, match="carries an adapter together with other modules that hold it"):
        specdsl.attach(model, "W + A@B | r = 2", on="re:lm_head", name="two")
