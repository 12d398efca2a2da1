"""Clauses limited to some modules, in a model: who carries what, and that it is saved, merged and taken away."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

import specdsl

IA3 = "on attention.key, attention.value: y' = y .* l\non mlp.down: x' = x .* k"


def bert() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=50)
    return BertModel(config).eval()


IDS = torch.arange(14).reshape(2, 7)


def output(model: BertModel) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).last_hidden_state


def moved(adapter: specdsl.Adapter) -> None:
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter += 0.1 * torch.randn_like(parameter)


def test_every_module_holds_the_factors_of_the_clauses_that_reach_it() -> None:
    adapter = specdsl.attach(bert(), IA3)
    held = {(place.rsplit(".", 2)[-2:][0], name) for place, name, _ in adapter.factors()}
    assert held == {("self", "l"), ("output", "k")}
    assert adapter.trainable_parameters == 2 * (32 + 32 + 64)
    assert len(adapter.report().modules) == 6


def test_it_merges_saves_loads_and_leaves_the_base_as_it_was(tmp_path: Path) -> None:
    model = bert()
    base = output(model)
    adapter = specdsl.attach(model, IA3)
    assert torch.equal(output(model), base)
    moved(adapter)
    adapted = output(model)
    folder = adapter.save(tmp_path / "adapter")
    adapter.merge()
    torch.testing.assert_close(output(model), adapted, rtol=1e-5, atol=1e-5)
    adapter.unmerge()
    adapter.detach()
    assert torch.equal(output(model), base)
    again = specdsl.load(model, folder)
    assert torch.equal(output(model), adapted)
    again.detach()


def test_a_plain_target_holds_everywhere_and_a_limited_one_beside_it() -> None:
    adapter = specdsl.attach(bert(), "W + A@B | on attention.key: b' = b + d | on mlp: penalty norm(A)")
    carriers = {place for place, name, _ in adapter.factors() if name == "d"}
    assert carriers == {f"encoder.layer.{block}.attention.self.key" for block in range(2)}
    value = sum(
        float(a.detach().norm()) for place, name, a in adapter.factors() if name == "A" and "attention" not in place
    )
    assert float(adapter.penalties()["norm(A)"]) == pytest.approx(value, rel=1e-5)
    assert adapter.report().penalties == (("norm(A)", 4),)


def test_limits_may_meet_in_a_module() -> None:
    spec = "on attention.key: b' = b + d\non \".*layer.0.*key\": W' = W + A@B"
    adapter = specdsl.attach(bert(), spec)
    names = {place: set() for place, _, _ in adapter.factors()}
    for place, name, _ in adapter.factors():
        names[place].add(name)
    assert list(names.values()) == [{"d", "A", "B"}, {"d"}]


def test_a_module_that_no_clause_reaches_is_an_error() -> None:
    with pytest.raises(specdsl.SpecTargetError, match="no clause of the spec reaches `encoder"):
        specdsl.attach(bert(), IA3, on="attention")


def test_a_limit_that_matches_nothing_is_an_error_with_its_place() -> None:
    with pytest.raises(specdsl.SpecTargetError) as caught:
        specdsl.attach(bert(), "W + A@B | on cross_attention: b' = b + d")
    assert caught.value.span is not None


def test_a_shared_factor_is_one_over_all_parts() -> None:
    spec = "shared(n, m) A : n x r\non attention.key: W' = W + A@B\non attention.value: W' = W + A@C"
    adapter = specdsl.attach(bert(), spec)
    assert [name for _, name, _ in adapter.factors()].count("A") == 1


def test_a_ranking_over_modules_keeps_the_largest_entries_of_all() -> None:
    model = bert()
    spec = "keep = 100 | frozen M : n x m ~ top(layers(abs(W)), keep)[layer] | W' = W + M .* D"
    adapter = specdsl.attach(model, spec)
    masks = {place: value for place, name, value in adapter.factors() if name == "M"}
    assert sum(int(mask.sum()) for mask in masks.values()) == 100
    weights = {place: model.get_submodule(place).weight.detach().T.abs() for place in masks}
    smallest_kept = min(float(weights[place][mask > 0].min()) for place, mask in masks.items() if mask.any())
    largest_left = max(float(weights[place][mask == 0].max()) for place, mask in masks.items())
    assert smallest_kept >= largest_left


def test_what_training_cannot_carry_out_yet_is_compiled_and_not_attached() -> None:
    spec = (
        "e ~ zeros | A, B ~ normal(0.02) | W' = W + A@diag(e)@B | at every(10): e = e .* top(layers(abs(e)), 4)[layer]"
    )
    with pytest.raises(specdsl.SpecNotBuiltError, match="at every"):
        specdsl.attach(bert(), spec)
    specdsl.attach(bert(), spec, events=False).detach()
    from specdsl.runtime.survey import survey

    assert survey(bert(), specdsl.parse(spec)).trainable_parameters > 0
