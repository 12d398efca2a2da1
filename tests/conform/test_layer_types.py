"""The suite's own reading of every layer type is that type: `x@W + b` is what torch computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from specdsl.lowering.sites import LayerSite, ParameterSite, site_of
from specdsl.runtime.conform.layer_type import LayerType
from specdsl.runtime.conform.layer_types import LAYER_TYPES

SIZES = [(9, 11), (6, 6), (6, 18), (8, 5)]


def kinds_of(site: type[LayerSite]) -> set[type[LayerSite]]:
    """The kinds of sites that stand for a type of layer, and not for a part of one."""
    found = {kind for one in site.__subclasses__() for kind in {one, *kinds_of(one)}}
    return {kind for kind in found if not kind.__name__.startswith("_")}


def made(layer: LayerType, has_bias: bool) -> tuple[nn.Module, dict[str, int]]:
    sizes = next(sizes for n, m in SIZES for sizes in layer.sizes(n, m))
    module = layer.make(sizes, has_bias).double().requires_grad_(True)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=draw)
    return module, sizes


def test_every_layer_type_that_can_be_adapted_is_tried() -> None:
    modules = [made(layer, layer.biases[0])[0] for layer in LAYER_TYPES if layer.through is None]
    tried = {type(site_of(one)) for module in modules for one in module.modules()} | {ParameterSite}
    assert tried >= kinds_of(LayerSite)


def test_names_are_unique() -> None:
    assert len({layer.name for layer in LAYER_TYPES}) == len(LAYER_TYPES)


@pytest.mark.parametrize("layer", LAYER_TYPES, ids=lambda layer: layer.name)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_the_output_is_the_product(layer: LayerType, batch: tuple[int, ...]) -> None:
    for has_bias in layer.biases:
        module, sizes = made(layer, has_bias)
        x = layer.sample(sizes, batch, 4, torch.Generator().manual_seed(1))
        matrices, biases = layer.matrices(module), layer.all_biases(module)
        assert {W.shape for W in matrices} == {(sizes["n"], sizes["m"])}
        assert (layer.bias(module) is not None) == has_bias
        with torch.no_grad():
            rows = layer.sequences(layer.rows(module, module(x)))
            if layer.through is None:
                copies = layer.sequences(layer.tokens(module, x))
                pairs = [(matrices[i % len(matrices)], biases[i % len(biases)]) for i in range(len(copies))]
                expected = torch.stack([one @ W + b for one, (W, b) in zip(copies, pairs, strict=True)])
            else:
                W, b = (torch.stack(values) if len(values) > 1 else values[0] for values in (matrices, biases))
                expected = layer.sequences(layer.through(module, x, W, b))
        torch.testing.assert_close(rows, expected)
        assert rows.shape[-2] == 4
