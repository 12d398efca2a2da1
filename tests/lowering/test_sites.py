"""Every layer type runs every method as its formula says, in value, gradients, and merged."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from specdsl.errors import SpecMergeError
from specdsl.lowering.sites import own_class, site_of
from tests.lowering.literal import LAYERS, METHODS, Values, as_tokens, attach_moved, make, matrix_of, values_of

# Softmax over tokens, of which an embedding or a convolution has none as an array.
PAIRS = [(layer, method) for layer in LAYERS for method in METHODS]


def compare(layer: str, module: nn.Module, method: str) -> None:
    x = LAYERS[layer].sample()
    adapter, starts = attach_moved(module, METHODS[method][0])
    values, factors = values_of(layer, module, x, adapter, starts)
    wanted = METHODS[method][1](values)
    found = as_tokens(module, module(x))
    assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    direction = torch.randn_like(wanted)
    (wanted * direction).sum().backward()
    (found * direction).sum().backward()
    for _, name, value in adapter.factors():
        if value.requires_grad:
            assert_close(value.grad, factors[name].grad, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("layer", "method"), PAIRS)
def test_output_and_gradients_are_those_of_the_formula(layer: str, method: str) -> None:
    compare(layer, make(layer), method)
