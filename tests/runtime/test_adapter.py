"""The handle of an attached spec: factors, groups, several adapters, disabling, detaching, copies."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecError, SpecSettingError
from specdsl.runtime.adapter import Adapter
from tests.runtime.small_models import base_state, logits, move, same, small

LORA = "W + A@B | r = 2"
DORA = "r = 2\nV = W + A@B\ng ~ colnorm(V)\nW' = V @ diag(g ./ stop(colnorm(V)))"
SPECS = {"lora": LORA, "dora": DORA, "adapter": "y + relu(x@A)@B | r = 2", "bias": "b + d", "scale": "y .* l"}
X = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False)).double()


def moved(model: nn.Module, spec: str, seed: int = 1, **options: Any) -> Adapter:
    adapter = specdsl.attach(model, spec, **options)
    move(adapter, seed)
    return adapter


# ------------------------------------------------------------------------------------ factors and groups


def test_factors_come_once_in_the_order_of_the_formula() -> None:
    adapter = specdsl.attach(mlp(), "frozen shared B : r x max(layers(m)) ~ kaiming | r = 2 | W + A@B[:, :m]")
    assert [(place, name) for place, name, _ in adapter.factors()] == [("0", "A"), ("0", "B"), ("2", "A")]
    assert [tuple(parameter.shape) for parameter in adapter.parameters()] == [(6, 2), (5, 2)]


def test_groups_have_the_rates_and_decays_of_the_spec() -> None:
    model = nn.Sequential(*mlp(), nn.Linear(4, 2))
    spec = "A ~ kaiming, decay = 0\nB ~ zeros, lr = 16\nr = 2\nW' = W + A@B"
    adapter = specdsl.attach(model, spec, on=["re:0", "re:2"], train="re:3")
    groups = adapter.parameter_groups(1e-3, weight_decay=0.1)
    found = [(len(group["params"]), group["lr"], group["weight_decay"]) for group in groups]
    assert found == [(2, 1e-3, 0.0), (2, 16e-3, 0.1), (2, 1e-3, 0.1)]
    members = [parameter for group in groups for parameter in group["params"]]
    assert {id(parameter) for parameter in members} == {id(parameter) for parameter in adapter.parameters()}
    torch.optim.AdamW(groups)


def test_an_orthonormal_factor_stays_so_while_it_is_trained() -> None:
    model = mlp()
    spec = "A : n x r ~ orthogonal, orthonormal\nr = 2\nW' = W + A@B"
    adapter = specdsl.attach(model, spec, dtype="float64")
    optimizer = torch.optim.SGD(adapter.parameters(), lr=0.5)
    start = {place: value.detach().clone() for place, name, value in adapter.factors() if name == "A"}
    for _ in range(5):
        optimizer.zero_grad()
        (model(X) - 1).square().sum().backward()
        optimizer.step()
    for place, name, value in adapter.factors():
        if name == "A":
            assert_close(value.T @ value, torch.eye(2, dtype=torch.float64))
            assert not torch.allclose(value, start[place])


def test_repr_and_report_name_the_spec_and_count() -> None:
    adapter = specdsl.attach(mlp(), LORA)
    assert repr(adapter) == "<Adapter default: r = 2 | W + A@B on 2 modules, 40 trained>"
    assert str(adapter.report()).splitlines()[0] == "r = 2 | W + A@B on 2 modules"
    assert adapter.report().trainable_parameters == adapter.trainable_parameters == 40
    adapter.detach()
    assert repr(adapter).endswith(", detached>")


# -------------------------------------------------------------------------------------- several adapters


@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(SPECS, 2)))
def test_differences_add_up_in_a_layer(one: str, two: str) -> None:
    """Each adapter adds what it alone would change."""
    single = {}
    for name in (one, two):
        model = nn.Sequential(mlp()[0])
        bare = model(X)
        moved(model, SPECS[name], on="re:0", dtype="float64")
        single[name] = model(X) - bare
    model = nn.Sequential(mlp()[0])
    for name in (one, two):
        moved(model, SPECS[name], on="re:0", dtype="float64", name=name)
    assert_close(model(X), bare + single[one] + single[two])
    found = torch.autograd.grad(model(X).sum(), [p for p in model.parameters() if p.requires_grad])
    assert all(gradient.any() for gradient in found)


def test_disabling_one_leaves_the_other() -> None:
    model = mlp()
    first = moved(model, LORA, 1, name="first")
    alone = model(X)
    second = moved(model, DORA, 2, name="second")
    both = model(X)
    with second.disabled():
        assert torch.equal(model(X), alone)
        with first.disabled():
            assert torch.equal(model(X), mlp()(X))
        assert torch.equal(model(X), alone)
    assert torch.equal(model(X), both)


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_detaching_in_any_order_gives_back_the_base(order: tuple[str, str]) -> None:
    model = mlp()
    model[0].bias.requires_grad_(False)
    before = everything(model)
    adapters = {
        "first": moved(model, LORA, 1, name="first", on="re:0", train="re:2"),
        "second": moved(model, DORA, 2, name="second", on="re:0"),
    }
    assert model[2].weight.requires_grad
    for name in order:
        adapters[name].detach()
    assert everything(model) == before
    assert same(dict(model.state_dict()), dict(mlp().state_dict()))


def everything(model: nn.Module) -> list[Any]:
    """All that an adapter may leave behind."""
    return [
        [(name, id(value), value.requires_grad) for name, value in model.named_parameters()],
        [(name, type(module), id(module)) for name, module in model.named_modules()],
        [sorted(vars(module)) for module in model.modules()],
    ]


def test_no_name_of_a_detached_adapter_is_left() -> None:
    model = mlp()
    kept = moved(model, LORA, name="kept")
    moved(model, DORA, name="gone").detach()
    for module in model.modules():
        held = [*vars(module), *(key for value in vars(module).values() if isinstance(value, dict) for key in value)]
        assert "gone" not in map(str, held)
    assert kept.is_attached


def test_a_module_trained_whole_belongs_to_one_adapter() -> None:
    model = mlp()
    specdsl.attach(model, LORA, on="re:0", train="re:2", name="first")
    for options in ({"on": "re:0", "train": "re:2"}, {"on": "re:2"}):
        with pytest.raises(SpecSettingError, match="`2` is trained whole by the adapter `first` already"):
            specdsl.attach(model, LORA, name="second", **options)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- disabled and detached


@pytest.mark.parametrize("spec", SPECS)
def test_a_disabled_adapter_is_not_there(spec: str) -> None:
    model = small("bert")
    bare, state = logits(model, "bert"), base_state(model)
    adapter = moved(model, SPECS[spec])
    adapted = logits(model, "bert")
    with adapter.disabled():
        assert torch.equal(logits(model, "bert"), bare)
        assert same(base_state(model), state)
    assert torch.equal(logits(model, "bert"), adapted)
    assert not torch.allclose(adapted, bare)


def test_a_mistake_inside_of_disabled_ends_it() -> None:
    model = mlp()
    adapter = moved(model, LORA)
    adapted = model(X)
    with pytest.raises(ZeroDivisionError), adapter.disabled():
        raise ZeroDivisionError
    assert torch.equal(model(X), adapted)


def test_disabled_may_be_nested() -> None:
    model = mlp()
    adapter = moved(model, LORA)
    adapted, bare = model(X), mlp()(X)
    with adapter.disabled():
        with adapter.disabled():
            assert torch.equal(model(X), bare)
        assert torch.equal(model(X), bare)
    assert torch.equal(model(X), adapted)


def test_a_module_trained_whole_is_the_old_one_while_disabled() -> None:
    model = mlp()
    bare = model(X)
    adapter = moved(model, LORA, on="re:0", train="re:2")
    trained = model[2].weight.detach().clone()
    assert not torch.equal(trained, mlp()[2].weight)
    with adapter.disabled():
        assert torch.equal(model(X), bare)
    assert torch.equal(model[2].weight, trained)
    adapter.detach()
    assert torch.equal(model(X), bare)
    assert same(dict(model.state_dict()), dict(mlp().state_dict()))


@pytest.mark.parametrize("spec", SPECS)
def test_detaching_gives_back_the_base(spec: str) -> None:
    model = mlp()
    before = everything(model)
    moved(model, SPECS[spec]).detach()
    assert everything(model) == before
    assert torch.equal(model(X), mlp()(X))


@pytest.mark.parametrize(
    "use",
    [
        Adapter.penalty,
        Adapter.penalties,
        Adapter.merge,
        Adapter.unmerge,
        Adapter.merge_and_unload,
        Adapter.detach,
        lambda adapter: adapter.parameter_groups(1e-3),
    ],
)
def test_a_detached_adapter_says_so(use: Callable[[Adapter], object]) -> None:
    adapter = specdsl.attach(mlp(), "W + A@B | orth(A)", name="mine")
    adapter.detach()
    with pytest.raises(SpecError, match=r"^the adapter `mine` is not attached any more"):
        use(adapter)


def test_a_detached_adapter_still_tells_what_it_was() -> None:
    adapter = moved(mlp(), LORA)
    before = str(adapter.report())
    adapter.detach()
    assert str(adapter.report()) == before
    assert not adapter.is_merged
    assert repr(adapter).endswith(", detached>")


def test_an_adapter_may_be_attached_again_after_detaching() -> None:
    model = mlp()
    specdsl.attach(model, LORA).detach()
    adapter = specdsl.attach(model, DORA)
    assert torch.allclose(model(X), mlp()(X))
    assert adapter.is_attached


# ---------------------------------------------------------------------------------------------- copies


COPIES: dict[str, Callable[[nn.Module, Adapter], nn.Module]] = {
    "of the model": lambda model, adapter: copy.deepcopy(model),
    "of the adapter": lambda model, adapter: copy.deepcopy(adapter).model,
}


@pytest.mark.parametrize(
    "spec", [LORA, DORA, "frozen shared A : max(layers(n)) x r ~ kaiming | W + A[:n, :]@B | r = 2"]
)
@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_computes_the_same_and_is_trained_alone(copied: str, spec: str) -> None:
    model = mlp()
    adapter = moved(model, spec)
    other = COPIES[copied](model, adapter)
    assert torch.equal(other(X), model(X))
    assert repr(other) == repr(model)
    before = model(X)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert torch.equal(model(X), before)
    assert not torch.allclose(other(X), before)


def test_a_copy_of_the_adapter_is_a_handle_of_its_own() -> None:
    model = mlp()
    adapter = moved(model, LORA, on="re:0", train="re:2")
    other = copy.deepcopy(adapter)
    assert other.model is not model
    assert other.spec is adapter.spec
    other.detach()
    assert torch.equal(other.model(X), mlp()(X))
    assert all(parameter.requires_grad for parameter in other.model.parameters())
    assert adapter.is_attached


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_has_penalties_of_its_own(copied: str) -> None:
    model = mlp()
    adapter = moved(model, "W + A@B | r = 2 | penalty 2 * norm(A)^2")
    other = COPIES[copied](model, adapter)
    A = dict(other.named_parameters())["0.specdsl.default.A"]
    task = torch.autograd.grad(other(X).sum(), A)[0]
    other(X).sum().backward()
    torch.optim.SGD([value for value in other.parameters() if value.requires_grad], lr=0.0).step()
    assert A.grad is not None
    assert_close(A.grad - task, 4 * A.detach(), rtol=1e-5, atol=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())
