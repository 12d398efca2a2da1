"""Merged weights compute what the adapters do, and the base comes back bit for bit."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecMergeError, SpecWarning
from specdsl.runtime.adapter import Adapter
from tests.runtime.small_models import CLASSES, base_state, logits, move, same, small

LORA = "W + A@B | r = 2"
DORA = "r = 2\nV = W + A@B\ng ~ colnorm(V)\nW' = V @ diag(g ./ stop(colnorm(V)))"
PISSA = (
    "r = 2\nU, S, V = svd(W)\nA ~ U[:, :r] @ diag(sqrt(S[:r]))\nB ~ diag(sqrt(S[:r])) @ V[:r, :]\n"
    "W' = W + A@B - init(A@B)"
)
VERA = (
    "r = 2\nfrozen shared A : max(layers(n)) x r ~ kaiming\nfrozen shared B : r x max(layers(m)) ~ kaiming\nd ~ 0.1\n"
    "W' = W + A[:n, :]@diag(d)@B[:, :m]@diag(e)"
)
SSB = "W' = W@diag(s)\nb' = b .* s + d"
HYDRA = "y' = y + x@A@B + y@C@D\nr = 2"
SPECS = {"lora": LORA, "dora": DORA, "pissa": PISSA, "vera": VERA, "ssb": SSB, "ia3": "y .* l", "hydra": HYDRA}


def mlp(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False)).to(dtype)


def moved(model: nn.Module, spec: str, seed: int = 1, **options: object) -> Adapter:
    adapter = specdsl.attach(model, spec, **options)  # type: ignore[arg-type]
    move(adapter, seed)
    return adapter


X = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


# ------------------------------------------------------------------------------------------ one adapter


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore:.* had no bias and has one now")
def test_merged_unmerged_and_unloaded_models_agree(name: str, spec: str) -> None:
    model = small(name)
    bare, state = logits(model, name), base_state(model)
    adapter = moved(model, SPECS[spec])
    adapted = logits(model, name)
    assert not torch.allclose(adapted, bare)
    adapter.merge()
    assert adapter.is_merged
    assert_close(logits(model, name), adapted, rtol=1e-3, atol=1e-4)
    with adapter.disabled():
        assert torch.equal(logits(model, name), bare)
        assert same(base_state(model), state)
    assert_close(logits(model, name), adapted, rtol=1e-3, atol=1e-4)
    adapter.unmerge()
    assert same(base_state(model), state)
    assert torch.equal(logits(model, name), adapted)
    unloaded = adapter.merge_and_unload()
    assert unloaded is model
    assert_close(logits(model, name), adapted, rtol=1e-3, atol=1e-4)


def test_merged_weights_are_the_formula() -> None:
    model = mlp()
    adapter = moved(model, LORA, dtype="float64")
    wanted = [
        module.weight.detach() + (member.layer.factor("A") @ member.layer.factor("B")).detach().T
        for module, member in zip((model[0], model[2]), adapter.members, strict=True)
    ]
    adapter.merge()
    assert_close([model[0].weight.detach(), model[2].weight.detach()], wanted)


def test_unmerging_gives_back_the_very_tensors() -> None:
    model = mlp()
    parameters = dict(model.named_parameters())
    memory = {key: value.data_ptr() for key, value in parameters.items()}
    adapter = moved(model, SSB)
    adapter.merge()
    assert model[0].weight is parameters["0.weight"]
    assert model[0].weight.data_ptr() != memory["0.weight"]
    adapter.unmerge()
    assert {key: value.data_ptr() for key, value in model.named_parameters() if "specdsl" not in key} == memory


def test_merging_or_unmerging_twice_does_nothing() -> None:
    model = mlp()
    adapter = moved(model, LORA)
    adapter.merge()
    once = base_state(model)
    adapter.merge()
    assert same(base_state(model), once)
    adapter.unmerge()
    bare = base_state(model)
    adapter.unmerge()
    assert same(base_state(model), bare)
    assert not adapter.is_merged


def test_detaching_a_merged_adapter_gives_back_the_base() -> None:
    model = mlp()
    state = dict(mlp().state_dict())
    adapter = moved(model, SSB)
    adapter.merge()
    adapter.detach()
    assert same(dict(model.state_dict()), state)


def test_nothing_is_left_after_unloading() -> None:
    model, bare = mlp(), mlp()
    moved(model, DORA).merge_and_unload()
    assert [type(module) for module in model.modules()] == [type(module) for module in bare.modules()]
    assert [sorted(vars(module)) for module in model.modules()] == [sorted(vars(module)) for module in bare.modules()]
    assert model.state_dict().keys() == bare.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert repr(model) == repr(bare)


def test_merged_weights_can_be_saved(tmp_path: Path) -> None:
    for name in CLASSES:
        model = small(name)
        moved(model, LORA).merge_and_unload()
        state = {key: value for key, value in model.state_dict().items() if "lm_head" not in key and "embed" not in key}
        save_file(state, tmp_path / "merged.safetensors")
        assert same(load_file(tmp_path / "merged.safetensors"), state)


def test_a_module_trained_whole_is_kept_by_unloading() -> None:
    model = mlp()
    adapter = moved(model, LORA, on="re:0", train="re:2")
    trained = model[2].weight.detach().clone()
    adapter.merge_and_unload()
    assert torch.equal(model[2].weight, trained)


# ----------------------------------------------------------------------------------------- two adapters


ORDERS = list(itertools.permutations(["one", "two"]))


def two(model: nn.Module) -> dict[str, Adapter]:
    return {
        "one": moved(model, DORA, 1, name="one", dtype="float64"),
        "two": moved(model, SSB, 2, name="two", dtype="float64", on="re:0"),
    }


@pytest.mark.parametrize("unmerged", ORDERS)
@pytest.mark.parametrize("merged", ORDERS)
def test_two_adapters_merge_and_unmerge_in_any_order(merged: tuple[str, ...], unmerged: tuple[str, ...]) -> None:
    model = mlp()
    bare = base_state(model)
    adapters = two(model)
    together = model(X)
    alone = {name: only(model, adapters, name) for name in adapters}
    for name in merged:
        adapters[name].merge()
        assert_close(model(X), together)
    adapters[unmerged[0]].unmerge()
    assert_close(model(X), together)
    with adapters[unmerged[0]].disabled():
        assert_close(model(X), alone[unmerged[1]])
    adapters[unmerged[1]].unmerge()
    assert same(base_state(model), bare)
    assert_close(model(X), together)


def only(model: nn.Module, adapters: dict[str, Adapter], name: str) -> Tensor:
    (other,) = (adapter for key, adapter in adapters.items() if key != name)
    with other.disabled():
        found: Tensor = model(X).detach()
    return found


def test_differences_of_two_merged_adapters_add_up() -> None:
    model = mlp()
    bare = model[0].weight.detach().clone()
    adapters = two(model)
    single = []
    for adapter in adapters.values():
        adapter.merge()
        single.append(model[0].weight.detach() - bare)
        adapter.unmerge()
    for adapter in adapters.values():
        adapter.merge()
    assert_close(model[0].weight.detach() - bare, single[0] + single[1])


@pytest.mark.parametrize("disabled", ["one", "two"])
@pytest.mark.parametrize("merged", ORDERS)
def test_disabling_one_of_two_merged_adapters_is_undone_bit_for_bit(merged: tuple[str, ...], disabled: str) -> None:
    model = mlp(torch.float32)
    adapters = {
        "one": moved(model, LORA, 1, name="one"),
        "two": moved(model, LORA, 2, name="two"),
    }
    for name in merged:
        adapters[name].merge()
    before = base_state(model)
    with adapters[disabled].disabled():
        assert not same(base_state(model), before)
    assert same(base_state(model), before)


def test_unloading_one_leaves_the_other_attached() -> None:
    model = mlp()
    adapters = two(model)
    adapters["two"].merge_and_unload()
    bare = base_state(model)
    y = model(X)
    adapters["one"].merge()
    assert_close(model(X), y)
    adapters["one"].unmerge()
    assert same(base_state(model), bare)
    assert all(not value.requires_grad for key, value in model.named_parameters() if "specdsl" not in key)


def test_two_adapters_unload_in_turn() -> None:
    """Differences that do not depend on the base stay the same whatever is merged before them."""
    model = mlp()
    first, second = moved(model, LORA, 1, name="one"), moved(model, LORA, 2, name="two")
    together = model(X)
    first.merge_and_unload()
    assert_close(model(X), together)
    second.merge_and_unload()
    assert_close(model(X), together)
    assert model.state_dict().keys() == mlp().state_dict().keys()


def test_unloading_is_refused_while_another_is_merged() -> None:
    model = mlp()
    adapters = two(model)
    adapters["one"].merge()
    before = base_state(model)
    with pytest.raises(SpecMergeError, match="`0` has other adapters merged: one"):
        adapters["two"].merge_and_unload()
    assert same(base_state(model), before)
    assert adapters["two"].is_attached
    assert not adapters["two"].is_merged


# ------------------------------------------------------------------------------------------- refusals


def assert_refused(model: nn.Module, adapter: Adapter, message: str) -> None:
    state = base_state(model)
    memory = {key: value.data_ptr() for key, value in model.named_parameters()}
    with pytest.raises(SpecMergeError) as caught:
        adapter.merge()
    assert message in caught.value.message
    assert same(base_state(model), state)
    assert {key: value.data_ptr() for key, value in model.named_parameters()} == memory
    assert not adapter.is_merged


def test_what_is_no_weight_is_refused_with_the_reason() -> None:
    model = mlp()
    adapter = moved(model, "y + relu(x@A)@B | r = 2")
    assert_refused(
        model, adapter,
        "r = 2 | y + relu(x@A)@B is not a weight and cannot be merged: `relu(x@A)` is not linear in the input",
    )  # fmt: skip


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_factor_that_is_not_finite_is_refused(value: float) -> None:
    model = mlp()
    adapter = moved(model, LORA)
    with torch.no_grad():
        adapter.members[1].layer.factor("A")[0, 1] = value
    assert_refused(model, adapter, "the factor `A` of `2` has values that are not finite")


def test_a_weight_that_overflows_is_refused_and_earlier_modules_given_back() -> None:
    model = mlp(torch.float16)
    adapter = moved(model, LORA)
    with torch.no_grad():
        adapter.members[1].layer.factor("A").fill_(1e4)
        adapter.members[1].layer.factor("B").fill_(1e4)
    assert_refused(model, adapter, "the merged weight of `2` has values that are not finite")


def test_a_bias_that_overflows_is_refused() -> None:
    model = mlp(torch.float16)
    adapter = moved(model, "b + d", on="re:0")
    with torch.no_grad():
        adapter.members[0].layer.factor("d").fill_(1e6)
    assert_refused(model, adapter, "the merged weight of `0` has values that are not finite")


def test_a_refusal_leaves_another_merged_adapter_merged() -> None:
    model = mlp()
    adapters = two(model)
    adapters["one"].merge()
    with torch.no_grad():
        adapters["two"].members[0].layer.factor("d")[0] = torch.nan
    assert_refused(model, adapters["two"], "the factor `d` of `0` has values that are not finite")
    assert adapters["one"].is_merged


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_a_weight_that_another_module_shares_is_refused(name: str) -> None:
    model = small(name)
    adapter = moved(model, LORA, on="embedding")
    place = adapter.members[0].name
    assert_refused(model, adapter, f"the weight of `{place}` is also that of `lm_head`: merging would change both")


@pytest.mark.filterwarnings("ignore:.* had no bias and has one now")
def test_modules_of_one_weight_that_are_adapted_together_are_merged_together() -> None:
    model = nn.Sequential(*mlp(), nn.Linear(4, 5), nn.Linear(5, 4)).double()
    model[4].weight = model[2].weight
    bare = base_state(model)
    adapter = moved(model, "W' = W + A@B\nb' = b + d\nr = 2", on=["re:2", "re:4"])
    assert len(adapter.members) == 1
    y = model(X)
    adapter.merge()
    assert model[4].weight is model[2].weight
    assert_close(model(X), y)
    with adapter.disabled():
        assert same(base_state(model), bare)
    assert_close(model(X), y)
    adapter.unmerge()
    assert same(base_state(model), bare)
    assert model[2].bias is None
    assert_close(adapter.merge_and_unload()(X), y)
    assert model[4].weight is model[2].weight


def test_a_detached_adapter_cannot_be_merged() -> None:
    adapter = moved(mlp(), LORA)
    adapter.detach()
    for action in (adapter.merge, adapter.unmerge, adapter.merge_and_unload, adapter.detach):
        with pytest.raises(SpecMergeError, match="the adapter `default` is not attached any more"):
            action()


def test_a_copy_is_merged_alone() -> None:
    model = mlp()
    adapter = moved(model, f"{DORA}\npenalty orth(A)")
    bare = base_state(model)
    y = model(X)
    merged = copy.deepcopy(adapter).merge_and_unload()
    assert merged is not model
    assert_close(merged(X), y)
    assert same(base_state(model), bare)
    assert adapter.is_attached
    assert torch.equal(model(X), y)


def test_a_bias_where_there_was_none_warns_when_it_stays() -> None:
    model = mlp()
    adapter = specdsl.attach(model, "b + d", on="re:[02]")
    move(adapter)
    message = (
        "`2` had no bias and has one now: a model that is built anew from its configuration leaves it out; keep the "
        "adapter attached there, or save it"
    )
    with pytest.warns(SpecWarning, match=f"^{re.escape(message)}$") as caught:
        adapter.merge_and_unload()
    assert Path(caught[0].filename).name == "test_merge.py"
    assert model[2].bias is not None
