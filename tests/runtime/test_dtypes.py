"""Half precision: errors no larger than the formula's own, no activation widened, factors in float32."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import specdsl
from specdsl.errors import SpecSettingError
from specdsl.runtime.adapter import Adapter
from tests.lowering.literal import METHODS, parsed

HALVES = [torch.bfloat16, torch.float16]
TOKENS = 67
"""A number that is no other size of the layer."""

NOT_IN_HALF = ("svdiff", "rotation")
"""Their decompositions do not exist in half precision; the formula cannot be evaluated in it."""


def layer_of(method: str, base: torch.dtype, **options: Any) -> tuple[nn.Linear, Adapter, dict[str, Tensor]]:
    """A 96 x 80 layer whose factors are not at their start, and the starts."""
    torch.manual_seed(0)
    module = nn.Linear(96, 80).to(base)
    adapter = specdsl.attach(nn.Sequential(module), parsed(METHODS[method][0]), on="re:0", **options)
    starts = {f"{name}0": value.detach().clone() for _, name, value in adapter.factors()}
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return module, adapter, starts


def literal(
    module: nn.Linear, adapter: Adapter, starts: dict[str, Tensor], x: Tensor, dtype: torch.dtype, method: str
) -> Tensor:
    """The formula, every value of it in one dtype."""
    values = {name: value.detach() for _, name, value in adapter.factors()} | starts
    values |= {"W": module.weight.detach().T, "b": module.bias.detach(), "x": x}
    cast = {name: value.to(dtype) for name, value in values.items()}
    return METHODS[method][1](SimpleNamespace(**cast, y=cast["x"] @ cast["W"] + cast["b"]))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("method", [method for method in METHODS if method not in NOT_IN_HALF])
def test_errors_are_at_most_twice_those_of_the_formula(method: str, dtype: torch.dtype) -> None:
    module, adapter, starts = layer_of(method, dtype)
    x = torch.randn(TOKENS, 96).to(dtype)
    with torch.no_grad():
        found = module(x)
        exact = literal(module, adapter, starts, x, torch.float64, method)
        usual = literal(module, adapter, starts, x, dtype, method)
    assert found.dtype == dtype
    assert (found.double() - exact).norm() <= 2 * (usual.double() - exact).norm()
    assert (found.double() - exact).abs().max() <= 2 * (usual.double() - exact).abs().max()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("method", NOT_IN_HALF)
def test_errors_are_those_of_the_dtype(method: str, dtype: torch.dtype) -> None:
    module, adapter, starts = layer_of(method, dtype)
    x = torch.randn(TOKENS, 96).to(dtype)
    with torch.no_grad():
        exact = literal(module, adapter, starts, x, torch.float64, method)
        assert (module(x).double() - exact).norm() <= torch.finfo(dtype).eps * exact.norm()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "svdiff", "pissa", "bitfit"])
def test_merging_rounds_once(method: str, dtype: torch.dtype) -> None:
    module, adapter, starts = layer_of(method, dtype)
    eye = torch.eye(96, dtype=torch.float64)
    zero = torch.zeros(1, 96, dtype=torch.float64)
    b = literal(module, adapter, starts, zero, torch.float64, method)
    W = literal(module, adapter, starts, eye, torch.float64, method) - b
    adapter.merge()
    assert module.weight.dtype == module.bias.dtype == dtype
    error = torch.finfo(dtype).eps
    assert_close(module.weight.T.double(), W, rtol=error, atol=error * 1e-2)
    assert_close(module.bias.double(), b[0], rtol=error, atol=error * 1e-2)


class Widened(TorchDispatchMode):
    """Notes every operation that makes a wide tensor with an axis of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float64) and TOKENS in value.shape:
                self.found.append(f"{func} {tuple(value.shape)}")
        return result


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("method", METHODS)
def test_no_activation_is_widened(method: str, dtype: torch.dtype) -> None:
    module, adapter, _ = layer_of(method, dtype)
    x = torch.randn(TOKENS, 96).to(dtype).requires_grad_()
    with Widened() as widened:
        module(x).sum().backward()
    assert widened.found == []
    assert x.grad is not None
    assert all(parameter.grad is not None for parameter in adapter.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_autocast_widens_no_activation(method: str) -> None:
    module, _, _ = layer_of(method, torch.float32)
    x = torch.randn(TOKENS, 96).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    assert out.dtype == torch.bfloat16
    with Widened() as widened, torch.autocast("cpu", torch.bfloat16):
        module(x)
    # The softmax of autocast is float32 by torch's own rule.
    assert widened.found == [] or method == "attention"


@pytest.mark.parametrize("method", METHODS)
def test_autocast_is_as_near_as_half_precision(method: str) -> None:
    module, adapter, starts = layer_of(method, torch.float32)
    x = torch.randn(TOKENS, 96)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = module(x).double()
    exact = literal(module, adapter, starts, x, torch.float64, method)
    assert (found - exact).norm() <= torch.finfo(torch.bfloat16).eps * exact.norm()


@pytest.mark.parametrize("base", [torch.float32, *HALVES, torch.float64])
def test_factors_are_float32_unless_asked_for(base: torch.dtype) -> None:
    _, adapter, _ = layer_of("vera", base)
    assert {value.dtype for _, _, value in adapter.factors()} == {torch.float32}


@pytest.mark.parametrize("wanted", ["bfloat16", torch.bfloat16, "float16", "float64"])
def test_another_dtype_may_be_asked_for(wanted: str | torch.dtype) -> None:
    module, adapter, _ = layer_of("vera", torch.bfloat16, dtype=wanted)
    dtype = getattr(torch, wanted) if isinstance(wanted, str) else wanted
    assert {value.dtype for _, _, value in adapter.factors()} == {dtype}
    out = module(torch.randn(TOKENS, 96).bfloat16())
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.dtype == dtype for parameter in adapter.parameters())


def test_a_factor_may_have_a_dtype_of_its_own() -> None:
    module = nn.Linear(6, 5).bfloat16()
    spec = "A : n x r ~ normal(1), float32\nr = 2\nW' = W + A@B"
    adapter = specdsl.attach(nn.Sequential(module), spec, on="re:0", dtype="bfloat16")
    assert {name: value.dtype for _, name, value in adapter.factors()} == {"A": torch.float32, "B": torch.bfloat16}


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(SpecSettingError, match="`int8` is no dtype of factors"):
        layer_of("lora", torch.float32, dtype="int8")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_a_model_may_be_cast_after_attaching(method: str, dtype: torch.dtype) -> None:
    module, adapter, starts = layer_of(method, torch.float32)
    x = torch.randn(TOKENS, 96)
    exact = literal(module, adapter, starts, x, torch.float64, method)
    module.to(dtype)
    with torch.no_grad():
        found = module(x.to(dtype))
    assert found.dtype == dtype
    error = 1e-5 if dtype == torch.float64 else 2 * torch.finfo(dtype).eps
    assert (found.double() - exact).norm() <= error * exact.norm()


def test_a_merged_model_may_be_cast_and_unmerged() -> None:
    module, adapter, _ = layer_of("lora", torch.float32)
    base = module.weight.detach().clone()
    adapter.merge()
    module.to(torch.bfloat16)
    adapter.unmerge()
    assert torch.equal(module.weight, base.bfloat16())


def test_a_module_trained_whole_may_be_cast_and_given_back() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    base = model[1].weight.detach().clone()
    adapter = specdsl.attach(model, "W + A@B | r = 2", on="re:0", train="re:1")
    model.bfloat16()
    with adapter.disabled():
        assert model[1].weight.dtype == torch.bfloat16
    adapter.detach()
    assert torch.equal(model[1].weight, base.bfloat16())
