"""Every layer type runs every method as its formula says: in value, in every gradient, and merged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextRMSNorm

import specdsl
from specdsl.errors import SpecMergeError, SpecTargetError
from specdsl.lowering.sites import site_of
from tests.lowering.literal import LAYERS, METHODS, as_tokens, attach_moved, make, matrix_of, values_of

NORMS = [name for name in LAYERS if "norm" in name]
WITHOUT_BIAS = [name for name in LAYERS if "embedding" in name or name in ("llama_norm", "t5_norm")]
WITHOUT_BIAS += ["rms_norm", "rms_norm_without_eps"]
IN_FLOAT32 = ("llama_norm", "t5_norm")
"""Norms that compute in float32 whatever they are given."""

PAIRS = [(layer, method) for layer in LAYERS for method in METHODS]
RUNNING = [(layer, method) for layer, method in PAIRS if not (method == "attention" and "embedding" in layer)]


def why_not_merged(layer: str, method: str) -> str | None:
    """What the refusal says, where the adapted layer cannot be one of its kind."""
    if method in ("parallel", "houlsby", "attention"):
        return "is not a weight and cannot be merged"
    if layer in NORMS and method not in ("ia3", "input_scale", "bitfit", "ssb"):
        return "is not diagonal, as a norm's weight has to be"
    if layer in WITHOUT_BIAS and method in ("bitfit", "ssb"):
        return "has no bias to merge into"
    return None


def outputs(layer: str, method: str) -> tuple[nn.Module, Tensor, Tensor, specdsl.Adapter]:
    module = make(layer)
    x = LAYERS[layer].sample()
    adapter, _ = attach_moved(module, METHODS[method][0])
    with torch.no_grad():
        return module, x, module(x), adapter


pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@pytest.mark.parametrize("layer", LAYERS)
def test_a_bare_layer_is_x_times_w_plus_b(layer: str) -> None:
    module = make(layer)
    x = LAYERS[layer].sample()
    bias = getattr(module, "bias", None)
    wanted = LAYERS[layer].tokens(module, x) @ matrix_of(module) + (0.0 if bias is None else bias)
    assert_close(as_tokens(module, module(x)), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("layer", "method"), RUNNING)
def test_output_and_gradients_are_those_of_the_formula(layer: str, method: str) -> None:
    module = make(layer)
    x = LAYERS[layer].sample()
    spec, formula = METHODS[method]
    adapter, starts = attach_moved(module, spec)
    values, factors = values_of(layer, module, x, adapter, starts)
    error = 1e-5 if layer in IN_FLOAT32 else 1e-9
    wanted, found = formula(values), as_tokens(module, module(x))
    assert_close(found, wanted, rtol=error, atol=error)

    direction = torch.randn_like(wanted)
    (wanted * direction).sum().backward()
    (found * direction).sum().backward()
    for _, name, value in adapter.factors():
        if value.requires_grad:
            assert_close(value.grad, factors[name].grad, rtol=error, atol=error)


@pytest.mark.parametrize(("layer", "method"), [pair for pair in RUNNING if why_not_merged(*pair) is None])
def test_the_merged_layer_computes_the_same(layer: str, method: str) -> None:
    module, x, y, adapter = outputs(layer, method)
    adapter.merge()
    assert_close(module(x), y, rtol=1e-6, atol=1e-6)
    assert (module.bias is None) == (LAYERS[layer].make().bias is None) if method == "ia3" and hasattr(module, "bias") else True


@pytest.mark.parametrize(("layer", "method"), [pair for pair in RUNNING if why_not_merged(*pair) is not None])
def test_what_is_no_layer_of_the_kind_is_not_merged(layer: str, method: str) -> None:
    module, x, y, adapter = outputs(layer, method)
    with pytest.raises(SpecMergeError, match=str(why_not_merged(layer, method))):
        adapter.merge()
    assert torch.equal(module(x), y)
