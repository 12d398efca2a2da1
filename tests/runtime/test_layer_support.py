"""Every layer type runs a handful of specs, or says why not; what is promised is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.runtime.layer_support import LAYER_TYPES, support
from tests.lowering.literal import METHODS, move, parsed

SPECS = ["lora", "dora", "rotation", "ia3", "bitfit", "parallel", "svdiff", "hadamard"]
WITHOUT_ACTIVATIONS = ("MultiheadAttention", "matrix parameter", "experts")
NORMS = ("LayerNorm", "RMSNorm")
DIAGONAL = ("ia3", "bitfit", "hadamard")

INPUTS: dict[str, Callable[[], tuple[Tensor, ...]]] = {
    "Linear": lambda: (torch.randn(3, 24),),
    "Conv1D": lambda: (torch.randn(3, 24),),
    "Conv1d": lambda: (torch.randn(2, 8, 7),),
    "Conv2d": lambda: (torch.randn(2, 8, 5, 4),),
    "Conv2d 1x1": lambda: (torch.randn(2, 24, 3, 2),),
    "Conv3d": lambda: (torch.randn(2, 4, 4, 3, 3),),
    "Conv2d in groups": lambda: (torch.randn(2, 16, 5, 4),),
    "Embedding": lambda: (torch.arange(6).reshape(2, 3),),
    "MultiheadAttention": lambda: (torch.randn(5, 2, 24),) * 3,
    "LayerNorm": lambda: (torch.randn(3, 24),),
    "RMSNorm": lambda: (torch.randn(3, 24),),
    "matrix parameter": lambda: (torch.randn(3, 24),),
    "experts": lambda: (torch.randn(3, 5, 24),),
}


def expected(layer: str, method: str) -> tuple[bool, bool]:
    """Whether the method attaches to a layer of that type, and whether it merges."""
    if layer in WITHOUT_ACTIVATIONS:
        attaches = method != "parallel" and not (method == "bitfit" and layer != "MultiheadAttention")
        return attaches, attaches
    if method == "parallel":
        return True, False
    if layer in NORMS and method not in DIAGONAL:
        return True, False
    return True, not (method == "bitfit" and layer in ("Embedding", "RMSNorm"))


@pytest.mark.parametrize("layer", LAYER_TYPES)
@pytest.mark.parametrize("method", SPECS)
def test_support_is_as_the_layer_type_has_it(layer: str, method: str) -> None:
    found = support(parsed(METHODS[method][0]), layer)
    assert (found.is_attached, found.is_merged) == expected(layer, method)


@pytest.mark.filterwarnings("ignore:.* had no bias and has one now")
@pytest.mark.parametrize("layer", LAYER_TYPES)
@pytest.mark.parametrize("method", SPECS)
def test_what_is_supported_runs_merges_and_leaves_no_trace(layer: str, method: str) -> None:
    found = support(parsed(METHODS[method][0]), layer)
    torch.manual_seed(0)
    kind = LAYER_TYPES[layer]
    module, inputs = kind.make().double(), tuple(x.double() if x.is_floating_point() else x for x in INPUTS[layer]())
    model = nn.ModuleDict({"layer": module})
    place = "re:" + ".".join(part for part in ("layer", kind.part) if part)
    bare = output(module, inputs)
    if not found.is_attached:
        with pytest.raises(specdsl.SpecError):
            specdsl.attach(model, METHODS[method][0], on=place)
        return
    adapter = specdsl.attach(model, METHODS[method][0], on=place, dtype="float64")
    assert_close(output(module, inputs), bare)
    assert adapter.trainable_parameters == sum(parameter.numel() for parameter in adapter.parameters())
    move(adapter)
    y = output(module, inputs)
    assert not torch.allclose(y, bare)
    if found.is_merged:
        adapter.merge()
        assert_close(output(module, inputs), y)
        adapter.unmerge()
    else:
        with pytest.raises(specdsl.SpecError):
            adapter.merge()
    adapter.detach()
    assert torch.equal(output(module, inputs), bare)


def output(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    found = module(*inputs)
    return found[0] if isinstance(found, tuple) else found


def test_a_refusal_gives_the_reason_without_the_name_of_the_sample() -> None:
    reason = support(parsed("b + d"), "experts").why_not_attached
    assert reason == "it makes a bias, and none belongs to it"


def test_a_size_condition_is_a_reason() -> None:
    reason = support(
        parsed("k = 7\nq : n/k x k*(k - 1)/2 ~ zeros\nW' = blockdiag(cayley(skew_from(q))) @ W"), "Linear"
    ).why_not_attached
    assert reason is not None
    assert "does not meet the size condition" in reason


def test_asking_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    support(parsed("W + A@B"), "Linear")
    assert torch.equal(torch.random.get_rng_state(), before)
