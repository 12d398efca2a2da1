"""The suite's own reading of every layer type is that type: `x@W + b` is what torch computes."""

from __future__ import annotations

import pytest
import torch

from specdsl.lowering.sites import LayerSite, site_of
from specdsl.runtime.conform.layer_types import LAYER_TYPES, LayerType, bias_of


def kinds_of(site: type[LayerSite]) -> set[str]:
    return {kind for one in site.__subclasses__() for kind in {one.kind, *kinds_of(one)}}


def test_every_layer_type_that_can_be_adapted_is_tried() -> None:
    assert {layer.name for layer in LAYER_TYPES} == kinds_of(LayerSite)


@pytest.mark.parametrize("layer", LAYER_TYPES, ids=lambda layer: layer.name)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_the_output_is_the_product(layer: LayerType, batch: tuple[int, ...]) -> None:
    sizes = next(layer.sizes(6, 6))
    draw = torch.Generator().manual_seed(0)
    for has_bias in layer.biases:
        module = layer.make(sizes, has_bias).double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(generator=draw)
            x = layer.sample(sizes, batch, 4, draw)
            product = layer.tokens(module, x) @ layer.matrix(module) + bias_of(module, 6)
            torch.testing.assert_close(layer.rows(module, module(x)), product)
            assert product.shape[-2:] == (4, 6)
        assert (getattr(module, "bias", None) is not None) == has_bias
        assert site_of(module).kind == layer.name  # type: ignore[union-attr]
