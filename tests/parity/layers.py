"""Small models of one layer that carries an adapter and a head that gives its outputs different gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Sizes = tuple[int, int]


class OneLayer(nn.Module):
    """The adapted layer is `layer`; the head makes two bounded scores of each output."""

    def __init__(self, layer: nn.Module, m: int) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(m, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        scores: Tensor = self.head(y.movedim(1, -1) if x.dim() == 4 else y)
        return scores.tanh()


def _linear(n: int, m: int) -> tuple[nn.Module, Tensor]:
    return nn.Linear(n, m), torch.randn(2, 4, n)


def _unbiased(n: int, m: int) -> tuple[nn.Module, Tensor]:
    return nn.Linear(n, m, bias=False), torch.randn(2, 4, n)


def _conv1d(n: int, m: int) -> tuple[nn.Module, Tensor]:
    layer: nn.Module = Conv1D(m, n)  # type: ignore[no-untyped-call]
    nn.init.normal_(layer.get_parameter("weight"), std=n**-0.5)
    return layer, torch.randn(2, 4, n)


def _conv2d(c: int, m: int) -> tuple[nn.Module, Tensor]:
    return nn.Conv2d(c, m, (2, 3), stride=(1, 2), padding=1), torch.randn(2, c, 5, 6)


def _square(c: int, m: int) -> tuple[nn.Module, Tensor]:
    return nn.Conv2d(c, m, 2), torch.randn(2, c, 4, 5)


def _pointwise(c: int, m: int) -> tuple[nn.Module, Tensor]:
    return nn.Conv2d(c, m, 1), torch.randn(2, c, 4, 5)


def _embedding(n: int, m: int) -> tuple[nn.Module, Tensor]:
    return nn.Embedding(n, m), torch.arange(8).reshape(2, 4) % n


def _norm(n: int, m: int) -> tuple[nn.Module, Tensor]:
    layer = nn.LayerNorm(m)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    return layer, torch.randn(2, 4, m)


def _rms(n: int, m: int) -> tuple[nn.Module, Tensor]:
    layer = nn.RMSNorm(m)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    return layer, torch.randn(2, 4, m)


LAYERS: dict[str, Callable[[int, int], tuple[nn.Module, Tensor]]] = {
    "Linear": _linear, "Linear without bias": _unbiased, "Conv1D": _conv1d, "Conv2d": _conv2d,
    "Conv2d, square kernel": _square, "Conv2d, 1 x 1": _pointwise,
    "Embedding": _embedding, "LayerNorm": _norm, "RMSNorm": _rms,
}  # fmt: skip


def one_layer(name: str, sizes: Sizes, dtype: torch.dtype, seed: int = 1) -> tuple[OneLayer, Tensor]:
    """A model around a layer of this type and size, and an input; the same numbers in every dtype."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer, x = LAYERS[name](*sizes)
        model = OneLayer(layer, sizes[1]).to(dtype)
    return model.eval(), x.to(dtype) if x.is_floating_point() else x
