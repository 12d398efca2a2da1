"""Emitted code beside the attached module it was emitted from: imported, built over a copy of the layer, compared."""

from __future__ import annotations

import copy
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import specdsl
from specdsl.errors import SpecMergeError
from specdsl.lowering.emit import emit_torch
from specdsl.runtime.adapter import Adapter
from specdsl.spec import Spec
from tests.lowering.literal import move


def imported(source: str, folder: Path) -> ModuleType:
    """Emitted source as a module, from a file of its own."""
    path = folder / f"emitted_{len(list(folder.iterdir()))}.py"
    path.write_text(source, encoding="utf-8")
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def attached(module: nn.Module, spec: str | Spec, **options: Any) -> Adapter:
    return specdsl.attach(nn.Sequential(module), spec, on="re:0", dtype="float64", **options)


def source_of(adapter: Adapter, place: int = 0) -> str:
    surveyed = adapter.members[place].surveyed
    return emit_torch(adapter.spec, surveyed.lowered, surveyed.sizes, surveyed.site.traits, "Layer")


def built(code: ModuleType, base: nn.Module, adapter: Adapter, place: int = 0) -> Any:
    """The emitted layer over `base`, given the adapter's own values where they are drawn or come from outside."""
    layer = adapter.members[place].layer
    given = {}
    for name in list(inspect.signature(code.Layer).parameters)[1:]:
        if name.rstrip("_") in layer.lowered.ir.factors:
            given[name] = layer.factor(name.rstrip("_")).detach().clone()
    return code.Layer(base, **given)


def attribute_of(layer: nn.Module, name: str) -> Tensor:
    """A factor of an emitted layer, also where its name was taken."""
    names = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
    return next(names[found] for found in (name, f"{name}_", f"{name}_2") if found in names)


def trained_pairs(adapter: Adapter, layer: nn.Module, place: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """The parameters of the adapter and of the emitted layer, by the name of the factor."""
    own = adapter.members[place].layer
    pairs = {}
    for name in [*own.attributes, *own.owners]:
        if own.lowered.ir.factors[name].is_trained:
            pairs[name] = (own.owners.get(name, own).own_parameters(name)[0], attribute_of(layer, name))
    return pairs


def copy_factors(adapter: Adapter, layer: nn.Module, place: int = 0) -> None:
    with torch.no_grad():
        for theirs, ours in trained_pairs(adapter, layer, place).values():
            ours.copy_(theirs)


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def gradients(total: Tensor, tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    found = torch.autograd.grad(total, list(tensors), allow_unused=True)
    for gradient, tensor in zip(found, tensors, strict=True):
        yield torch.zeros_like(tensor) if gradient is None else gradient


def check(module: nn.Module, spec: str | Spec, x: Tensor, folder: Path, **options: Any) -> Any:
    """Emitted code and the attached module agree: starts, output, all gradients, penalty, merged weight."""
    base = copy.deepcopy(module)
    adapter = attached(module, spec, **options)
    layer = built(imported(source_of(adapter), folder), base, adapter)
    for theirs, ours in trained_pairs(adapter, layer).values():
        same(ours, theirs)
    move(adapter)
    copy_factors(adapter, layer)
    compare_outputs(adapter, layer, x)
    compare_penalties(adapter, layer)
    compare_merged(adapter, layer)
    return layer


def compare_outputs(adapter: Adapter, layer: Any, x: Tensor) -> None:
    pairs = list(trained_pairs(adapter, layer).values())
    theirs, ours = ([pair[side] for pair in pairs] for side in (0, 1))
    if x.is_floating_point():
        x = x.requires_grad_()
        theirs, ours = [*theirs, x], [*ours, x]
    torch.manual_seed(0)
    expected = adapter.model(x)
    torch.manual_seed(0)
    found = layer(x)
    same(found, expected)
    weights = torch.randn_like(expected)
    wanted = gradients((expected * weights).sum(), theirs)
    for own, other in zip(gradients((found * weights).sum(), ours), wanted, strict=True):
        same(own, other)


def compare_penalties(adapter: Adapter, layer: Any) -> None:
    if not adapter.spec.ir.penalties:
        assert not hasattr(layer, "penalty")
        return
    pairs = list(trained_pairs(adapter, layer).values())
    own = layer.penalty() if hasattr(layer, "penalty") else layer.model_penalty([layer])
    other = adapter.penalty()
    same(own, other)
    wanted = gradients(other, [pair[0] for pair in pairs])
    for found, expected in zip(gradients(own, [pair[1] for pair in pairs]), wanted, strict=True):
        same(found, expected)


def compare_merged(adapter: Adapter, layer: Any) -> None:
    changed = adapter.members[0].layer.lowered.weight
    try:
        adapter.merge()
    except SpecMergeError:
        changed = {}
    module = adapter.model[0]
    assert hasattr(layer, "merged_weight") == ("W" in changed)
    assert hasattr(layer, "merged_bias") == ("b" in changed)
    if "W" in changed:
        same(layer.merged_weight(), module.weight)
    if "b" in changed:
        same(layer.merged_bias(), module.bias)


def linear(n: int, m: int, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(n, m, bias=bias).double()
