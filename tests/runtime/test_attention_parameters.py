"""`nn.MultiheadAttention`, which reads its weights itself, computes with the adapted ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecTargetError
from tests.lowering.literal import METHODS, move

WIDTH, HEADS = 6, 2
SPECS = ["lora", "dora", "rotation", "bitfit", "ssb", "ia3"]
KINDS = {"fused": {}, "apart": {"kdim": 5, "vdim": 3}, "without_bias": {"bias": False}}
SHAPES = {"fused": (6, 6, 6), "apart": (6, 5, 3), "without_bias": (6, 6, 6)}


def attention(kind: str) -> tuple[nn.Module, nn.MultiheadAttention, list[Tensor]]:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **KINDS[kind]).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
    lengths = (3, 4, 4)
    inputs = [torch.randn(2, n, width, dtype=torch.float64) for n, width in zip(lengths, SHAPES[kind], strict=True)]
    return nn.ModuleDict({"a": module}), module, inputs[:1] * 3 if kind != "apart" else inputs


def projections(module: nn.MultiheadAttention) -> dict[str, tuple[Tensor, Tensor]]:
    """`W : n x m` and `b` of query, key, value and output, each by the name that specs have for it."""
    held = module._parameters
    bias = held["in_proj_bias"] if held["in_proj_bias"] is not None else torch.zeros(3 * WIDTH, dtype=torch.float64)
    out = module.out_proj._parameters
    b_out = out["bias"] if out["bias"] is not None else torch.zeros(WIDTH, dtype=torch.float64)
    found = {"a.out_proj": (out["weight"].T, b_out)}
    if held["in_proj_weight"] is not None:
        return found | {"a.in_proj_weight": (held["in_proj_weight"].T, bias)}
    for name, part in zip("qkv", bias.chunk(3), strict=True):
        found[f"a.{name}_proj_weight"] = (held[f"{name}_proj_weight"].T, part)
    return found


def attended(maps: dict[str, tuple[Tensor, Tensor]], inputs: list[Tensor]) -> Tensor:
    """Scaled dot-product attention over two heads, written out."""
    if "a.in_proj_weight" in maps:
        W, b = maps["a.in_proj_weight"]
        q, k, v = (inputs[0] @ W + b).chunk(3, -1)
    else:
        q, k, v = (
            x @ maps[f"a.{n}_proj_weight"][0] + maps[f"a.{n}_proj_weight"][1]
            for n, x in zip("qkv", inputs, strict=True)
        )
    heads = []
    for Q, K, V in zip(q.chunk(HEADS, -1), k.chunk(HEADS, -1), v.chunk(HEADS, -1), strict=True):
        heads.append(torch.softmax(Q @ K.mT / (WIDTH // HEADS) ** 0.5, -1) @ V)
    W, b = maps["a.out_proj"]
    return torch.cat(heads, -1) @ W + b


def adapted(
    method: str, W: Tensor, b: Tensor, factors: dict[str, Tensor], starts: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """The weight and bias that the method's formula makes: what it does to no input, and to each unit vector."""

    def output(x: Tensor) -> Tensor:
        return METHODS[method][1](SimpleNamespace(W=W, b=b, x=x, y=x @ W + b, **factors, **starts))

    offset = output(torch.zeros(1, len(W), dtype=W.dtype))[0]
    return output(torch.eye(len(W), dtype=W.dtype)) - offset, offset


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (kind, method)
        for kind in KINDS
        for method in SPECS
        if kind != "without_bias" or method not in ("bitfit", "ssb")  # a test of its own
    ],
)
def test_the_attention_runs_with_the_adapted_weights(kind: str, method: str) -> None:
    model, module, inputs = attention(kind)
    maps, bare = projections(module), module(*inputs)[0]
    assert_close(attended(maps, inputs), bare)
    adapter = specdsl.attach(model, METHODS[method][0], dtype="float64")
    starts: dict[str, dict[str, Tensor]] = {}
    for place, name, value in adapter.factors():
        starts.setdefault(place, {})[f"{name}0"] = value.detach().clone()
    move(adapter)
    factors: dict[str, dict[str, Tensor]] = {}
    for place, name, value in adapter.factors():
        factors.setdefault(place, {})[name] = value
    changed = {place: adapted(method, *pair, factors[place], starts[place]) for place, pair in maps.items()}
    wanted = attended(changed, inputs)
    assert_close(module(*inputs)[0], wanted)
    found = torch.autograd.grad(module(*inputs)[0].square().sum(), list(adapter.parameters()))
    literal = torch.autograd.grad(wanted.square().sum(), list(adapter.parameters()))
    assert_close(found, literal)
    with torch.no_grad():
        assert_close(module.eval()(*inputs)[0], wanted)
    adapter.merge()
    assert_close(module(*inputs)[0], wanted)
    adapter.unmerge()
    adapter.detach()
    assert torch.equal(module.train()(*inputs)[0], bare)


def test_a_fused_projection_without_bias_gets_one() -> None:
    model, module, inputs = attention("without_bias")
    bare = module(*inputs)[0]
    adapter = specdsl.attach(model, "b + d", on="attention.qkv", dtype="float64")
    move(adapter)
    W, _ = projections(module)["a.in_proj_weight"]
    ((_, _, d),) = adapter.factors()
    maps = projections(module) | {"a.in_proj_weight": (W, d)}
    assert_close(module(*inputs)[0], attended(maps, inputs))
    adapter.merge()
    assert_close(module(*inputs)[0], attended(maps, inputs))
    adapter.unmerge()
    adapter.detach()
    assert module.in_proj_bias is None
    assert torch.equal(module(*inputs)[0], bare)


def test_roles_name_the_projections() -> None:
    model, _, _ = attention("apart")
    adapter = specdsl.attach(model, "W + A@B | r = 2", on=["attention.key", "attention.output"])
    shapes = {f"{place}.{name}": tuple(value.shape) for place, name, value in adapter.factors()}
    assert shapes == {
        "a.k_proj_weight.A": (5, 2), "a.k_proj_weight.B": (2, 6), "a.out_proj.A": (6, 2), "a.out_proj.B": (2, 6),
    }  # fmt: skip


@pytest.mark.parametrize("place", ["in_proj_weight", "out_proj"])
def test_specs_of_activations_are_refused_there(place: str) -> None:
    model, _, _ = attention("fused")
    with pytest.raises(SpecTargetError, match=f"`a.{place}` cannot carry this spec: its owner reads the parameter"):
        specdsl.attach(model, "y + relu(x@A)@B", on=f"re:a.{place}")


def test_an_adapter_of_an_attention_is_saved_and_loaded(tmp_path: Path) -> None:
    model, module, inputs = attention("apart")
    adapter = specdsl.attach(model, METHODS["dora"][0], dtype="float64")
    move(adapter)
    y = module(*inputs)[0]
    adapter.save(tmp_path / "adapter")
    adapter.detach()
    torch.manual_seed(9)
    specdsl.load(model, tmp_path / "adapter")
    assert torch.equal(module(*inputs)[0], y)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_a_transformer_layer_of_torch_reads_the_adapted_weights_in_eval_too() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True).double()
    adapter = specdsl.attach(nn.ModuleDict({"a": layer}), "W + A@B | r = 2", on="attention", dtype="float64")
    move(adapter)
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    y = layer(x)
    with torch.no_grad():
        assert_close(layer.eval()(x), y)
    adapter.merge()
    with torch.no_grad():
        assert_close(layer(x), y)
