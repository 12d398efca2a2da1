"""Plans of library methods at the sizes of BERT-base, held to what torch itself counts and keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import specdsl
from specdsl.plan import TOKENS, Plan
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.survey import survey

SQUARE, UP = (768, 768), (768, 3072)
RANK = 8


def plan_of(spec: str, n: int, m: int, bias: bool = True, **settings: int) -> Plan:
    """The plan in a linear layer without weights."""
    model = nn.Sequential(nn.Linear(n, m, bias=bias, device="meta"))
    (module,) = survey(model, specdsl.parse(spec, **settings), on="re:0").modules
    return module.lowered.plan


@pytest.mark.parametrize("sizes", [SQUARE, UP])
@pytest.mark.parametrize(
    ("method", "order"),
    [
        ("lora", "y + x@A@B"),
        ("flora", "y + (alpha/(r + 1e-5)) * (x@A)@G@B"),
        ("pissa", "y + x@A@B - x@init(A)@init(B)"),
        ("vera", "y + (((x@A[:n, :]) .* d)@B[:, :m]) .* e"),
        ("hydra", "y + x@A@B + y@C@D"),
        ("dora", "(x@W + x@A@B) .* (g ./ stop(colnorm(V))) + b"),
    ],
)
def test_low_rank_sums_act_on_activations(method: str, order: str, sizes: tuple[int, int]) -> None:
    plan = plan_of(method, *sizes, r=RANK)
    assert plan.order == order
    assert not plan.builds_weight


@pytest.mark.parametrize("sizes", [SQUARE, UP])
@pytest.mark.parametrize(
    ("method", "order"),
    [("ssb", "((x .* k)@W) .* l + b"), ("ia3", "y .* l"), ("bitfit", "layer(b' = b + d)")],
)
def test_scales_and_shifts_build_nothing(method: str, order: str, sizes: tuple[int, int]) -> None:
    plan = plan_of(method, *sizes)
    assert plan.order == order
    assert not plan.builds_weight
    assert plan.flops < plan.floor / 100


def test_sam_parser_takes_the_cheaper_side_of_its_factors() -> None:
    """`U` and `V` cost as much as W each in a square layer, where W' is built; in a wide one `U` is small."""
    square, wide = plan_of("sam_parser", *SQUARE), plan_of("sam_parser", *UP)
    assert square.order == "layer(W' = (U .* s)@V)"
    assert square.builds_weight
    assert wide.order == "((x@U) .* s)@V + b"
    assert not wide.builds_weight


def test_a_rank_too_high_to_pay_builds_the_weight() -> None:
    """VeRA at its own rank: two passes through x@A@B cost `4T*256*(n + m)`, the gradient of W' only `2T*n*m`."""
    assert 4 * 256 * (768 + 768) > 2 * 768 * 768
    assert plan_of("vera", *SQUARE).builds_weight
    assert not plan_of("vera", *UP).builds_weight


@pytest.mark.parametrize("bias", [True, False])
def test_a_matrix_that_is_held_is_not_built(bias: bool) -> None:
    assert not plan_of("D ~ W\nW' = D", *SQUARE, bias=bias).builds_weight
    assert plan_of("W + D", *SQUARE, bias=bias).builds_weight
    assert plan_of("W .* (1 + A@B)", *SQUARE, bias=bias, r=RANK).builds_weight


def test_a_plan_prints_its_costs() -> None:
    plan = plan_of("lora", *SQUARE, r=RANK)
    first, second = str(plan).splitlines()
    assert first == "y' = y + x@A@B"
    assert f"{plan.flops:,} FLOPs" in second
    assert f"{plan.saved:,} bytes" in second
    once = str(plan_of("pissa", *SQUARE, r=RANK)).splitlines()[2].removeprefix("computed once: ")
    names, stored = once.split("; ")
    assert sorted(names.split(", ")) == ["init(A)", "init(B)"]
    assert stored == f"{4 * RANK * (768 + 768):,} bytes stored"


# ------------------------------------------------------------------------------------- held to torch's own counts


def layer(n: int, m: int, bias: bool = True) -> nn.Sequential:
    """A frozen linear layer drawn from its own seed."""
    model = nn.Sequential(nn.Linear(n, m, bias=bias)).requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=draw)
    return model


def tokens(n: int) -> Tensor:
    """As many tokens as plans are made for; the layers before want their gradient."""
    return torch.randn(TOKENS, n, generator=torch.Generator().manual_seed(1)).requires_grad_()


def attached(model: nn.Module, method: str, rank: int) -> tuple[Adapter, Plan]:
    adapter = specdsl.attach(model, method, on="re:0", r=rank)
    return adapter, adapter.members[0].surveyed.lowered.plan


def products(model: nn.Module, x: Tensor) -> int:
    """The operations of all matrix products in a step; torch counts nothing that works entry by entry."""
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("method", "entrywise"),
    [
        ("lora", lambda n, m: m),  # the sum with y
        ("flora", lambda n, m: m + RANK),  # and the scale, where it is narrowest
    ],
)
@pytest.mark.parametrize("sizes", [SQUARE, UP])
def test_operations_are_those_that_torch_counts(
    method: str, entrywise: Callable[[int, int], int], sizes: tuple[int, int]
) -> None:
    """Products forward and backward as torch counts them, and what works entry by entry as counted by hand."""
    model, x = layer(*sizes), tokens(sizes[0])
    frozen = products(model, x)
    _, plan = attached(model, method, RANK)
    assert plan.floor == frozen
    beyond = products(model, x) - frozen
    assert plan.flops == beyond + 2 * TOKENS * entrywise(*sizes)


@pytest.mark.parametrize("method", ["lora", "flora"])
def test_saved_bytes_are_those_that_autograd_keeps(method: str) -> None:
    """The frozen layer keeps nothing of its input; factors and weights are held anyway."""
    model, x = layer(*SQUARE), tokens(SQUARE[0])
    _, plan = attached(model, method, RANK)
    held = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = model(x)  # held until counted: its graph keeps what was saved
    assert y.requires_grad
    assert plan.saved == sum(tensor.untyped_storage().nbytes() for at, tensor in kept.items() if at not in held)


@pytest.mark.parametrize("method", ["lora", "pissa"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_tiny_layer_may_build_its_weight_and_computes_the_same(method: str, bias: bool) -> None:
    """`alpha` is `r` where it is not set, so that the scale is 1."""
    model = layer(11, 7, bias).double()
    W = model[0].get_parameter("weight").clone().mT
    b = model[0].get_parameter("bias").clone() if bias else torch.zeros(7, dtype=torch.float64)
    adapter = specdsl.attach(model, method, on="re:0", r=3, dtype=torch.float64)
    assert adapter.members[0].surveyed.lowered.plan.builds_weight
    A, B = (value for _, _, value in adapter.factors())
    offset = (A @ B).detach().clone() if method == "pissa" else torch.zeros_like(W)
    with torch.no_grad():
        A.add_(1)
        B.add_(2)
    x = torch.randn(5, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = x @ (W - offset) + x @ A @ B + b
    torch.testing.assert_close(model(x), expected)
    wanted = torch.autograd.grad(expected.square().sum(), (A, B))
    torch.testing.assert_close(torch.autograd.grad(model(x).square().sum(), (A, B)), wanted)
