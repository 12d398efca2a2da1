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


def test_a_layer_cheaper_than_the_frozen_one_costs_less_than_nothing() -> None:
    plan = plan_of(layer(193, 161, True), ONE_LINERS["an output alone"])
    assert plan.flops < 0
    assert f"({plan.flops / plan.floor:+.1%})" in str(plan)
