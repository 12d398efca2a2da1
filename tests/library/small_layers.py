"""Layers of odd sizes in float64, each read as `y = x W + b` in numpy, without specdsl."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

import specdsl
from specdsl.runtime.adapter import Adapter
from specdsl.spec import Spec

Array = np.ndarray[Any, Any]

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "tall": lambda: nn.Linear(7, 5),
    "wide without bias": lambda: nn.Linear(5, 7, bias=False),
    "Conv1D": lambda: Conv1D(5, 7),  # type: ignore[no-untyped-call]
    "Embedding": lambda: nn.Embedding(9, 5),
    "Conv2d": lambda: nn.Conv2d(3, 5, (2, 3), stride=(1, 2), padding=1),
    "Conv2d without bias": lambda: nn.Conv2d(1, 7, 3, bias=False),
    "LayerNorm": lambda: nn.LayerNorm(7),
}


def small(name: str) -> nn.Sequential:
    """A model of one layer, in float64, every parameter drawn anew from its own seed."""
    model = nn.Sequential(LAYERS[name]()).double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=draw)
    return model


def an_input(model: nn.Sequential, seed: int = 2) -> Tensor:
    """An input of the model's only layer: a batch of two."""
    layer: Any = model[0]
    draw = torch.Generator().manual_seed(seed)
    if isinstance(layer, nn.Embedding):
        return torch.randint(layer.num_embeddings, (2, 4), generator=draw)
    shape = (2, layer.in_channels, 5, 6) if isinstance(layer, nn.Conv2d) else (2, 4, len(weight_of(layer)))
    return torch.randn(shape, generator=draw, dtype=torch.float64)


def weight_of(layer: nn.Module) -> Array:
    """W : n x m."""
    weight = layer.get_parameter("weight").detach().numpy().copy()
    if isinstance(layer, nn.Linear):
        return weight.T
    if isinstance(layer, nn.Conv2d):
        return weight.reshape(weight.shape[0], -1).T
    return np.diag(weight) if isinstance(layer, nn.LayerNorm) else weight


def bias_of(layer: nn.Module) -> Array:
    """b : m, zeros where the layer has none."""
    bias = getattr(layer, "bias", None)
    return np.zeros(weight_of(layer).shape[1]) if bias is None else bias.detach().numpy().copy()


def input_rows(layer: Any, x: Tensor) -> Array:
    """The input as tokens x n."""
    if isinstance(layer, nn.Embedding):
        rows: Array = np.eye(layer.num_embeddings)[x.numpy().ravel()]
        return rows
    if isinstance(layer, nn.Conv2d):
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        x = patches.transpose(1, 2)
    if isinstance(layer, nn.LayerNorm):
        x = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    rows = x.flatten(0, -2).numpy()
    return rows


def output_rows(layer: nn.Module, y: Tensor) -> Array:
    """The output as tokens x m."""
    if isinstance(layer, nn.Conv2d):
        y = y.flatten(2).transpose(1, 2)
    return y.detach().flatten(0, -2).numpy()


@cache
def checked(spec: str, **settings: Any) -> Spec:
    """A spec of the library, or a text, parsed once for all tests."""
    return specdsl.parse(spec, **settings)


def attached(model: nn.Module, spec: str, *, seed: int = 0, **settings: Any) -> Adapter:
    """`spec` on every layer of a small model, whatever its own `on` says, with factors in float64."""
    return attached_if_built(model, checked(spec, **settings), on=r"re:\d+", dtype=torch.float64, seed=seed)


def attached_if_built(model: nn.Module, spec: Spec, **options: Any) -> Adapter:
    """`spec` on a model, its algebra and penalties without what it does while training."""
    return specdsl.attach(model, spec, events=False, **options)


def randomise(adapter: Adapter, seed: int = 3) -> dict[str, Array]:
    """Draw every trained factor anew, as if after training; the values of all factors of the first module."""
    draw = torch.Generator().manual_seed(seed)
    found: dict[str, Array] = {}
    with torch.no_grad():
        for _, name, value in adapter.factors():
            if value.requires_grad:
                value.normal_(generator=draw)
            found.setdefault(name, value.detach().numpy().copy())
    return found
