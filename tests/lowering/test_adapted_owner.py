"""A parameter that carries adapters is the adapted matrix for whoever reads it by its name, and itself to others."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecTargetError
from tests.lowering.literal import BIASES, METHODS, WEIGHTS, move

EXPERTS, INPUTS, OUTPUTS = 3, 5, 4
RUNNING = [*WEIGHTS, "ia3", "hydra", *BIASES]


class Experts(nn.Module):
    """Every expert is applied to all of x; one matrix is held as inputs x outputs, the other the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(EXPERTS, INPUTS, OUTPUTS, dtype=torch.float64))
        self.up_bias = nn.Parameter(torch.randn(EXPERTS, OUTPUTS, dtype=torch.float64))
        self.weight = nn.Parameter(torch.randn(OUTPUTS, INPUTS, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(OUTPUTS, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        stack = torch.stack([x @ self.up[place] + self.up_bias[place] for place in range(EXPERTS)])
        return stack, F.linear(x, self.weight, self.bias)


def made() -> tuple[nn.Module, Experts, Tensor]:
    torch.manual_seed(0)
    experts = Experts()
    return nn.ModuleDict({"experts": experts}), experts, torch.randn(6, INPUTS, dtype=torch.float64)


def attached(model: nn.Module, spec: str, on: str) -> tuple[specdsl.Adapter, dict[str, Tensor]]:
    adapter = specdsl.attach(model, spec, on=f"re:experts.{on}", dtype="float64")
    starts = {f"{name}0": value.detach().clone() for _, name, value in adapter.factors()}
    move(adapter)
    return adapter, starts


@pytest.mark.parametrize("method", [method for method in RUNNING if method != "vera"])
def test_every_expert_is_adapted_as_the_formula_says(method: str) -> None:
    model, experts, x = made()
    spec, formula = METHODS[method]
    adapter, starts = attached(model, spec, "up")
    factors = {name: value.detach().clone() for _, name, value in adapter.factors()}
    for name, value in factors.items():
        value.requires_grad_(adapter.spec.ir.factors[name].is_trained)
    W, b = experts._parameters["up"], experts._parameters["up_bias"]
    outputs = []
    for place in range(EXPERTS):
        own = {name: value[place] for name, value in (factors | starts).items()}
        outputs.append(formula(SimpleNamespace(W=W[place], b=b[place], x=x, y=x @ W[place] + b[place], **own)))
    wanted, (found, _) = torch.stack(outputs), experts(x)
    assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    direction = torch.randn_like(wanted)
    (wanted * direction).sum().backward()
    (found * direction).sum().backward()
    for _, name, value in adapter.factors():
        if value.requires_grad:
            assert_close(value.grad, factors[name].grad, rtol=1e-9, atol=1e-9)
    adapter.merge()
    assert_close(experts(x)[0], found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", RUNNING)
def test_a_matrix_is_adapted_as_the_formula_says(method: str) -> None:
    model, experts, x = made()
    spec, formula = METHODS[method]
    adapter, starts = attached(model, spec, "weight")
    factors = {name: value.detach() for _, name, value in adapter.factors()}
    W, b = experts._parameters["weight"].T, experts._parameters["bias"]
    wanted = formula(SimpleNamespace(W=W, b=b, x=x, y=x @ W + b, **factors, **starts))
    assert_close(experts(x)[1], wanted, rtol=1e-9, atol=1e-9)
    adapter.merge()
    assert_close(experts(x)[1], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["lora", "dora", "rotation", "ssb"])
def test_the_base_comes_back_bit_for_bit(method: str) -> None:
    model, experts, x = made()
    bare = {name: value.clone() for name, value in model.state_dict().items()}
    before = experts(x)[0]
    adapter, _ = attached(model, METHODS[method][0], "up")
    with adapter.disabled():
        assert torch.equal(experts(x)[0], before)
    adapter.merge()
    adapter.unmerge()
    adapter.detach()
    assert type(experts) is Experts
    assert model.state_dict().keys() == bare.keys()
    assert all(torch.equal(value, bare[name]) for name, value in model.state_dict().items())


def test_the_state_dict_and_the_class_are_those_of_the_base() -> None:
    model, experts, _ = made()
    attached(model, "W + A@B | r = 2", "up")
    own = {name for name in model.state_dict() if ".specdsl." not in name}
    assert own == {"experts.up", "experts.up_bias", "experts.weight", "experts.bias"}
    assert isinstance(experts, Experts)
    assert dict(experts.named_parameters())["up"] is experts._parameters["up"]
    assert experts.up is not experts._parameters["up"]


def test_a_pass_computes_the_adapted_matrix_once() -> None:
    model, experts, x = made()
    adapter, _ = attached(model, "W + A@B | r = 2", "up")
    seen: list[Tensor] = []

    class Watcher:
        def passed_forward(self, y: Tensor) -> None:
            seen.append(y)

    adapter.members[0].layer.watcher = Watcher()
    experts(x)
    assert [tuple(value.shape) for value in seen] == [(EXPERTS, INPUTS, OUTPUTS)]


def test_two_parameters_of_a_module_carry_adapters_apart() -> None:
    model, experts, x = made()
    before = experts(x)
    one = specdsl.attach(model, "W + A@B | r = 2", on="re:experts.up", name="one", dtype="float64")
    two = specdsl.attach(model, "W + A@B | r = 2", on="re:experts.weight", name="two", dtype="float64")
    move(one)
    move(two)
    one.detach()
    assert torch.equal(experts(x)[0], before[0])
    assert not torch.allclose(experts(x)[1], before[1])
    two.detach()
    assert torch.equal(experts(x)[1], before[1])


def test_two_adapters_of_a_parameter_add_up_and_one_of_them_merges() -> None:
    model, experts, x = made()
    bare = experts(x)[0]
    one, two = (
        specdsl.attach(model, "W + A@B | r = 2", on="re:experts.up", name=n, dtype="float64") for n in ("one", "two")
    )
    move(one, 1)
    move(two, 2)
    both = experts(x)[0]
    with one.disabled():
        second = experts(x)[0]
    with two.disabled():
        first = experts(x)[0]
    assert_close(both - bare, (first - bare) + (second - bare))
    one.merge()
    assert_close(experts(x)[0], both)


def test_copies_and_pickles_carry_the_adapter() -> None:
    model = nn.ModuleDict({"a": nn.Bilinear(3, 4, 2)})
    move(specdsl.attach(model, "W + A@B | r = 2", on="re:a.weight"))
    x = torch.randn(5, 3), torch.randn(5, 4)
    y = model["a"](*x)
    assert torch.equal(copy.deepcopy(model)["a"](*x), y)
    assert torch.equal(pickle.loads(pickle.dumps(model))["a"](*x), y)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("y + relu(x@A)@B", "the spec is no weight: `relu\\(x@A\\)` is not linear in the input"),
        ("y + dropout(x, 0.1)@A@B", "but the spec has `dropout\\(x, p=0.1\\)`"),
        ("noise u : tokens x r ~ normal(1)\ny' = y + (x@A .* u)@B", "but the spec has the noise `u`"),
        ("input s : tokens ~ 1\ny' = y + diag(s)@x@A@B", "but the spec has the input `s`"),
    ],
)
def test_a_spec_of_activations_is_refused_with_the_reason(spec: str, reason: str) -> None:
    model, experts, x = made()
    before = experts(x)[0]
    with pytest.raises(SpecTargetError, match=f"its owner reads the parameter itself.*{reason}"):
        specdsl.attach(model, spec, on="re:experts.up")
    assert type(experts) is Experts
    assert torch.equal(experts(x)[0], before)


def test_a_parameter_without_a_bias_of_its_own_gets_none() -> None:
    model = nn.ModuleDict({"a": nn.Bilinear(3, 4, 2, bias=False)})
    with pytest.raises(SpecTargetError, match=r"`a\.weight` cannot carry this spec: it makes a bias"):
        specdsl.attach(model, "b + d", on="re:a.weight")
