"""What plans say of costs, held to torch: `FlopCounterMode` for products, saved-tensor hooks for memory.

torch counts matrix products and convolutions alone, so `Cost.products` is compared and not `Cost.others`. The
products inside the gradient of a decomposition (svd, qr, ...) are torch's own and estimated among the others: no spec
below computes one in a step.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import specdsl
from specdsl.errors import SpecSettingError
from specdsl.plan import TOKENS, Plan
from tests.ordinary_methods import ORDINARY

ODD = [(13, 7), (7, 13), (193, 161), (129, 387)]
ONE_LINERS = {
    "frozen factors below x": "frozen P : n x r ~ normal | y' = y + relu(x@P)@B",
    "frozen factors above": "frozen P : r x m ~ normal | A ~ zeros | y' = y + tanh(x@A)@P",
    "a chain frozen at both ends": "frozen P : n x r ~ normal | frozen Q : r x m ~ normal | W + P@G@Q",
    "frozen alone in front of a vector": "frozen P : n x m ~ normal | W + P@diag(d)",
    "a gate": "y' = y + y .* tanh(x@A@B)",
    "a scaled input": "x' = x .* l",
    "an input with a change": "x' = x + x@A@B",
    "an input with an offset": "x' = x + d",
    "an input and a weight": "x' = x .* l | W' = W + A@B",
    "an output alone": "A, B ~ normal\ny' = x@A@B\nstarts: elsewhere",
    "an entrywise product": "W .* (1 + A@B)",
    "a full change": "W + D",
    "a rotation": "q : n*(n - 1)/2 ~ zeros | W' = cayley(skew_from(q))@W",
    "a softmax of tokens": "y' = y + softmax(x@A)@B",
    "tanh and powers": "y' = y + (tanh(x@A) .^ 2)@B",
    "a quotient": "D : n x m ~ ones | W' = W ./ D",
    "norms that learn": "V = W + A@B | W' = V @ diag(colnorm(W) ./ colnorm(V))",
    "a changed bias": "W' = W + A@B | b' = b + d",
    "Kronecker": "A : 1 x 1 | B : n x m | W' = W + kron(A, B)",
}


def layer(n: int, m: int, bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(n, m, bias=bias)).requires_grad_(False)


def tokens(n: int) -> Tensor:
    """As many tokens as plans are made for; the layers before want their gradient."""
    return torch.randn(TOKENS, n, generator=torch.Generator().manual_seed(1)).requires_grad_()


def plan_of(model: nn.Module, spec: str) -> Plan:
    checked = specdsl.parse(spec)
    with suppress(SpecSettingError):  # a spec without a rank
        checked = checked.set(r=3)
    adapter = specdsl.attach(model, checked, on="re:0")
    return adapter.members[0].surveyed.lowered.plan


def products(model: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return int(counter.get_total_flops())


def bytes_kept(model: nn.Module, x: Tensor) -> int:
    """What autograd keeps beside factors, weights and constants, which are held anyway."""
    held = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = model(x)  # held until counted: its graph keeps what was saved
    assert y.requires_grad
    return sum(tensor.untyped_storage().nbytes() for at, tensor in kept.items() if at not in held)


def assert_counted_as_torch_does(spec: str, sizes: tuple[int, int], bias: bool) -> None:
    model, x = layer(*sizes, bias).eval(), tokens(sizes[0])  # in training, backward passes the penalties too
    plan = plan_of(model, spec)
    assert plan.frozen.products == products(layer(*sizes, bias), x)
    assert plan.cost.products == products(model, x)
    assert plan.saved == bytes_kept(model, x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", ODD)
@pytest.mark.parametrize("name", ORDINARY)
def test_library_specs_cost_what_torch_counts(name: str, sizes: tuple[int, int], bias: bool) -> None:
    assert_counted_as_torch_does(name, sizes, bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", ODD[:3])
@pytest.mark.parametrize("spec", ONE_LINERS.values(), ids=ONE_LINERS.keys())
def test_one_liners_cost_what_torch_counts(spec: str, sizes: tuple[int, int], bias: bool) -> None:
    assert_counted_as_torch_does(spec, sizes, bias)


KRONECKER = {
    "two factors": "A : 4 x 6 | B : n/4 x m/6 | W' = W + kron(A, B)",
    "a large one first": "A : n/4 x m/6 | B : 4 x 6 | W' = W + 3*kron(A, B)",
    "a wide one": "A : n/2 x 2 | B : 2 x m/2 | W' = W + kron(A, B)",
    "one of low rank": "A : 4 x 6 | B : n/4 x 2 | C : 2 x m/6 | W' = W + kron(A, B@C)",
    "one frozen": "frozen A : 4 x 6 ~ normal | B : n/4 x m/6 ~ zeros | W' = W + kron(A, B)",
    "turned": "A : 6 x 4 | B : m/6 x n/4 | W' = W + kron(A, B).T",
    "a product of two": "A : 4 x 6 | B : n/4 x 4 | C : 6 x 4 | D : 4 x m/4 | W' = W + kron(A, B)@kron(C, D)",
    "three": "A : 4 x 3 | B : 2 x 2 | C : n/8 x m/6 | W' = W + kron(A, kron(B, C))",
    "below a function": "A : 4 x 2 | B : n/4 x 3 | C : 6 x m ~ zeros | y' = y + relu(x@kron(A, B))@C",
    "as little": "A : n x 1 | B : 1 x m ~ zeros | W' = W + kron(A, B)",
}


@pytest.mark.parametrize("sizes", [(48, 36), (72, 48), (120, 12)])
@pytest.mark.parametrize("spec", KRONECKER.values(), ids=KRONECKER.keys())
def test_kronecker_products_cost_what_torch_counts(spec: str, sizes: tuple[int, int]) -> None:
    assert_counted_as_torch_does(spec, sizes, True)


@pytest.mark.parametrize("spec", KRONECKER.values(), ids=KRONECKER.keys())
def test_kronecker_products_are_not_built(spec: str) -> None:
    assert "times_kron(" in plan_of(layer(48, 36, True), spec).order


@pytest.mark.parametrize("spec", KRONECKER.values(), ids=KRONECKER.keys())
def test_kronecker_products_are_what_the_weight_says(spec: str) -> None:
    model = layer(48, 36, True).double()
    adapter = specdsl.attach(model, spec, on="re:0", dtype=torch.float64)
    for _, _, factor in adapter.factors():
        torch.nn.init.normal_(factor)
    x = torch.randn(2, 5, 48, dtype=torch.float64)
    found = model(x)
    if adapter.spec.facts.mergeable:
        adapter.merge()
        torch.testing.assert_close(model(x), found)


def test_a_layer_cheaper_than_the_frozen_one_costs_less_than_nothing() -> None:
    plan = plan_of(layer(193, 161, True), ONE_LINERS["an output alone"])
    assert plan.flops < 0
    assert f"({plan.flops / plan.floor:+.1%})" in str(plan)
