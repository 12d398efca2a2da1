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
from tests.lowering.literal import LAYERS, LOPSIDED, METHODS, as_tokens, attach_moved, make, matrix_of, values_of

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
    if layer in NORMS and method not in ("ia3", "hadamard", "input_scale", "bitfit", "ssb"):
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


@pytest.mark.parametrize("layer", LAYERS)
def test_a_bare_layer_is_x_times_w_plus_b(layer: str) -> None:
    module = make(layer)
    x = LAYERS[layer].sample()
    bias = getattr(module, "bias", None)
    wanted = LAYERS[layer].tokens(module, x) @ matrix_of(module) + (0.0 if bias is None else bias)
    assert_close(as_tokens(module, module(x)), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("layer", "method"), RUNNING)
def test_output_and_gradients_are_those_of_the_formula(layer: str, method: str) -> None:
    compare(layer, method)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_convolution_may_pad_more_after_than_before(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYERS, "lopsided_conv", LOPSIDED)
    compare("lopsided_conv", method)


def compare(layer: str, method: str) -> None:
    """The layer with the method attached, against the formula, in float64."""
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


@pytest.mark.parametrize(("layer", "method"), [pair for pair in RUNNING if why_not_merged(*pair) is not None])
def test_what_is_no_layer_of_the_kind_is_not_merged(layer: str, method: str) -> None:
    module, x, y, adapter = outputs(layer, method)
    with pytest.raises(SpecMergeError, match=str(why_not_merged(layer, method))):
        adapter.merge()
    assert torch.equal(module(x), y)


@pytest.mark.parametrize("method", ["ia3", "hydra"])
def test_a_layer_without_bias_stays_without_one_where_it_would_be_zero(method: str) -> None:
    module, _, _, adapter = outputs("linear_without_bias", method)
    adapter.merge()
    assert module.bias is None


def test_a_layer_without_bias_holds_one_while_it_is_merged() -> None:
    module, _, _, adapter = outputs("linear_without_bias", "bitfit")
    names = list(module.state_dict())
    adapter.merge()
    assert torch.equal(module.bias, {name: value for _, name, value in adapter.factors()}["d"])
    adapter.unmerge()
    assert module.bias is None
    assert list(module.state_dict()) == names


def test_an_embedding_has_no_array_of_tokens() -> None:
    with pytest.raises(SpecTargetError, match="`0` is an embedding, whose input is one-hot and never built"):
        specdsl.attach(nn.Sequential(nn.Embedding(5, 4)), "y + relu(x)@A@B | r = 2", on="re:0")


@pytest.mark.parametrize("norm", [GemmaRMSNorm, Qwen3NextRMSNorm])
def test_a_norm_that_scales_by_one_plus_its_weight_is_no_site(norm: type[nn.Module]) -> None:
    assert site_of(norm(8)) is None
    assert site_of(LlamaRMSNorm(8)) is not None


@pytest.mark.parametrize(
    "module",
    [
        nn.ConvTranspose2d(4, 4, 3),
        nn.LayerNorm((3, 4)),
        nn.LayerNorm(4, elementwise_affine=False),
        nn.ReLU(),
        nn.MultiheadAttention(4, 2).out_proj,  # read by the attention, and never run
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),  # has a weight that cannot be set
    ],
)
def test_other_layers_are_no_sites(module: nn.Module) -> None:
    assert site_of(module) is None


def test_a_layer_with_a_forward_of_its_own_is_no_site() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    assert site_of(Doubled(3, 3)) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_norm_without_eps_takes_that_of_its_dtype(dtype: torch.dtype) -> None:
    module = nn.RMSNorm(6).to(dtype)
    x = 1e-3 * torch.randn(3, 6, dtype=dtype)
    site = site_of(module)
    assert site is not None
    assert_close(site.through(x, module.weight, None), module(x), rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_a_site_reads_the_weight_that_the_module_has_now() -> None:
    module = nn.Linear(3, 2)
    site = site_of(module)
    module.weight = nn.Parameter(torch.ones(2, 3))
    assert site is not None
    assert torch.equal(site.matrix(site.weight), torch.ones(3, 2))


def test_the_input_may_have_any_leading_axes_and_a_name() -> None:
    module = nn.Linear(4, 3)
    adapter, _ = attach_moved(module, "W + A@B | r = 2", dtype="float32")
    x = torch.randn(2, 3, 4)
    assert_close(module(input=x)[1, 2], module(x[1, 2]))
    assert adapter.is_attached


def test_a_convolution_takes_one_image_without_a_batch() -> None:
    module = nn.Conv2d(2, 3, 3, padding=1)
    attach_moved(module, "y + relu(x@A)@B | r = 2", dtype="float32")
    x = torch.randn(2, 5, 4)
    assert_close(module(x), module(x.unsqueeze(0)).squeeze(0))
