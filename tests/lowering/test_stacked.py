"""A stack of layers runs every method in each layer as its formula says: in value, in gradients, and merged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecTargetError
from specdsl.lowering.stacked import ONE_BY_ONE
from tests.lowering.literal import METHODS, attach_moved, matrix_of, move, unfolded
from tests.test_operators import WITH_ARRAYS, random_cases

Single = type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]

# The layer of one group, and how many stand side by side.
GROUPED: dict[str, tuple[Single, int, dict[str, Any], tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d, 2, {"in_channels": 3, "out_channels": 5, "kernel_size": 3, "padding": 1}, (9,)),
    "conv2d": (nn.Conv2d, 3, {"in_channels": 2, "out_channels": 3, "kernel_size": (3, 2), "stride": (2, 1)}, (7, 6)),
    "conv3d": (nn.Conv3d, 2, {"in_channels": 1, "out_channels": 3, "kernel_size": 2, "dilation": 2}, (5, 3, 4)),
    "depthwise": (nn.Conv2d, 4, {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "bias": False}, (5, 4)),
    "reflecting": (
        nn.Conv2d, 2,
        {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, (5, 4),
    ),
}  # fmt: skip


def grouped(name: str) -> tuple[nn.Module, Tensor]:
    """A float64 convolution in groups and an input for it."""
    kind, groups, options, extents = GROUPED[name]
    torch.manual_seed(0)
    whole = {key: groups * value if key.endswith("channels") else value for key, value in options.items()}
    x = torch.randn(2, whole["in_channels"], *extents, dtype=torch.float64)
    return kind(**whole, groups=groups).double(), x


def groups_of(name: str, module: nn.Module) -> list[nn.Module]:
    """The same convolution as many side by side."""
    kind, groups, options, _ = GROUPED[name]
    parts: list[nn.Module] = []
    for place in range(groups):
        part = kind(**options).double()
        rows = slice(place * options["out_channels"], (place + 1) * options["out_channels"])
        with torch.no_grad():
            part.weight.copy_(module.weight[rows])
            if part.bias is not None:
                part.bias.copy_(module.bias[rows])
        parts.append(part)
    return parts


def wanted_output(
    name: str, module: nn.Module, x: Tensor, method: str, factors: dict[str, Tensor], starts: Any
) -> Tensor:
    """The formula in every group, side by side: `batch x places x m`."""
    outputs = []
    for place, (part, own) in enumerate(zip(groups_of(name, module), x.chunk(GROUPED[name][1], 1), strict=True)):
        W = matrix_of(part)
        b = torch.zeros(W.shape[1], dtype=W.dtype) if part.bias is None else part.bias.detach()
        tokens = unfolded(part, own)
        mine = {n: value[place] for n, value in factors.items()}
        first = {f"{n}0": value[place] for n, value in starts.items()}
        values = SimpleNamespace(W=W, b=b, x=tokens, y=tokens @ W + b, **mine, **first)
        outputs.append(METHODS[method][1](values))
    return torch.cat(outputs, -1)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (name, method)
        for name in GROUPED
        for method in METHODS
        if method != "vera" and (name, method) != ("depthwise", "pissa")  # shared factors; a rank of 2 in 9 x 1
    ],
)
def test_every_group_is_adapted_as_the_formula_says(name: str, method: str) -> None:
    module, x = grouped(name)
    adapter, starts = attach_moved(module, METHODS[method][0])
    factors = {n: value.detach().clone() for _, n, value in adapter.factors()}
    for n, value in factors.items():
        value.requires_grad_(adapter.spec.ir.factors[n].is_trained)
    wanted = wanted_output(name, module, x, method, factors, starts)
    found = module(x).flatten(2).mT
    assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    direction = torch.randn_like(wanted)
    (wanted * direction).sum().backward()
    (found * direction).sum().backward()
    for _, n, value in adapter.factors():
        if value.requires_grad:
            assert_close(value.grad, factors[n].grad, rtol=1e-9, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.* had no bias and has one now")
@pytest.mark.parametrize("method", ["lora", "dora", "rotation", "bitfit", "ssb", "ia3", "vera", "svdiff"])
@pytest.mark.parametrize("name", GROUPED)
def test_a_merged_stack_computes_the_same_and_comes_back_bit_for_bit(name: str, method: str) -> None:
    module, x = grouped(name)
    bare = {key: value.clone() for key, value in module.state_dict().items()}
    adapter, _ = attach_moved(module, METHODS[method][0])
    y = module(x)
    adapter.merge()
    assert_close(module(x), y, rtol=1e-9, atol=1e-9)
    adapter.unmerge()
    adapter.detach()
    assert module.state_dict().keys() == bare.keys()
    assert all(torch.equal(value, bare[key]) for key, value in module.state_dict().items())


def test_every_group_has_factors_of_its_own_and_draws_of_its_own() -> None:
    module, _ = grouped("conv2d")
    adapter = specdsl.attach(nn.Sequential(module), "W + A@B | r = 2", on="re:0")
    ((_, _, A), (_, _, B)) = adapter.factors()
    assert (A.shape, B.shape, adapter.trainable_parameters) == ((3, 12, 2), (3, 2, 3), 3 * (24 + 6))
    assert not torch.equal(A[0], A[1])


def test_the_report_counts_all_groups() -> None:
    module, _ = grouped("conv2d")
    adapter = specdsl.attach(nn.Sequential(module), "W + A@B | r = 2", on="re:0")
    (row,) = adapter.report().modules
    assert (row.size, row.factors, row.trainable) == ("3 x 12 x 3", "A 3 x 12 x 2, B 3 x 2 x 3", 90)


def test_a_shared_factor_is_one_for_all_groups() -> None:
    module, _ = grouped("conv2d")
    adapter, _ = attach_moved(module, METHODS["vera"][0])
    shapes = {name: tuple(value.shape) for _, name, value in adapter.factors()}
    assert shapes == {"A": (12, 3), "B": (3, 3), "d": (3, 3), "e": (3, 3)}
    values = {name: value.detach() for _, name, value in adapter.factors()}
    own = matrix_of(groups_of("conv2d", module)[1])
    changed = own + values["A"] @ torch.diag(values["d"][1]) @ values["B"] @ torch.diag(values["e"][1])
    adapter.merge()
    assert_close(matrix_of(groups_of("conv2d", module)[1]), changed)


def test_a_penalty_is_summed_over_the_groups() -> None:
    module, _ = grouped("conv2d")
    adapter, _ = attach_moved(module, "W + A@B | r = 2 | penalty 0.5 * norm(A)")
    ((_, _, A), _) = adapter.factors()
    assert_close(adapter.penalty(), 0.5 * sum(A[place].norm() for place in range(3)))


def test_a_penalty_on_what_is_shared_counts_once() -> None:
    module, _ = grouped("conv2d")
    adapter, _ = attach_moved(module, "shared A : max(layers(n)) x r\nr = 2\nW' = W + A@B\npenalty norm(A)")
    values = {name: value for _, name, value in adapter.factors()}
    assert_close(adapter.penalty(), values["A"].norm())


def test_two_adapters_add_up_in_every_group() -> None:
    module, x = grouped("conv1d")
    model = nn.Sequential(module)
    bare = module(x)
    one, two = (specdsl.attach(model, "W + A@B | r = 2", on="re:0", name=n, dtype="float64") for n in ("one", "two"))
    move(one, 1)
    move(two, 2)
    both = module(x)
    with one.disabled():
        second = module(x)
    with two.disabled():
        first = module(x)
    assert_close(both - bare, (first - bare) + (second - bare))


def test_a_list_over_modules_has_no_value_for_a_stack() -> None:
    module, _ = grouped("conv1d")
    with pytest.raises(SpecTargetError, match="it is a stack of 2 matrices, and `layers"):
        specdsl.attach(nn.Sequential(module), "W + A@B | penalty sum(layers(norm(A)))", on="re:0")


def test_a_tensor_view_reads_the_kernel_of_a_group() -> None:
    module, x = grouped("conv2d")
    adapter, _ = attach_moved(module, "W : c x m x kh x kw\nD : c x m x kh x kw ~ zeros\nW' = W + D")
    ((_, _, D),) = adapter.factors()
    plain, _ = grouped("conv2d")
    with torch.no_grad():
        plain.weight.add_(D.movedim(2, 1).flatten(0, 1))
    assert_close(module(x), plain(x))


@pytest.mark.parametrize("module", [nn.Conv1d(3, 4, 2), nn.Conv3d(3, 4, 2)], ids=["conv1d", "conv3d"])
def test_a_view_of_an_image_kernel_is_refused_elsewhere(module: nn.Module) -> None:
    with pytest.raises(SpecTargetError, match="`0` is no convolution of images, but the spec reads `kh`"):
        specdsl.attach(nn.Sequential(module), "W : c x m x kh x kw\nD : c x m x kh x kw ~ zeros\nW' = W + D", on="re:0")


@pytest.mark.parametrize("name", [name for name in WITH_ARRAYS if name not in ONE_BY_ONE])
def test_an_operator_on_a_batch_gives_what_it_gives_one_by_one(name: str) -> None:
    for case in random_cases(name):
        arrays = [torch.stack([array, array.flip(-1) if array.dim() == 1 else array]) for array in case.tensors()]
        apart = [case.in_torch(*(array[place] for array in arrays)) for place in range(2)]
        together = torch.vmap(case.in_torch)(*arrays) if name != "dropout" else None
        for position, one in enumerate(together or ()):
            assert_close(one, torch.stack([part[position] for part in apart]), equal_nan=True)


@pytest.mark.parametrize("name", sorted(ONE_BY_ONE))
def test_operators_that_run_one_by_one_have_no_batch(name: str) -> None:
    case = next(iter(random_cases(name)))
    stacks = [torch.stack([array, array]) for array in case.tensors()]
    with pytest.warns(UserWarning, match="performance drop"):
        torch.vmap(case.in_torch)(*stacks)
