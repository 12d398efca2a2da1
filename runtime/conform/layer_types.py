"""The layer types that every spec is tried on, each read as `y = x W + b` a second time.

How a layer reads is written here without `specdsl.lowering`, so that what a spec lowers to is held to something else.
A type joins the suite by its entry in `LAYER_TYPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

Sizes = Mapping[str, int]


def _alone(n: int, m: int) -> Iterator[dict[str, int]]:
    yield {"n": n, "m": m}


@dataclass(frozen=True)
class LayerType:
    """A layer type of the suite.

    Attributes:
        name: as `LayerSite.kind` has it.
        make: a layer from its sizes, with a bias or without.
        sample: an input from sizes, axes of the batch, number of tokens and a generator.
        tokens: the layer's input as `... x tokens x n`.
        matrix: its weight as `n x m`.
        rows: its output as `... x tokens x m`.
        sizes: the sizes a layer with these n and m may have.
        sequence_axes: how many axes of the input make one sequence.
        biases: whether a layer of this type has a bias: may have one, always or never.
        is_diagonal: whether its weight is: formulas of general matrices may degenerate there.
        reads_numbers: whether its input has a gradient; an embedding's has none.
    """

    name: str
    make: Callable[[Sizes, bool], nn.Module]
    sample: Callable[[Sizes, tuple[int, ...], int, torch.Generator], Tensor]
    tokens: Callable[[nn.Module, Tensor], Tensor]
    matrix: Callable[[nn.Module], Tensor]
    rows: Callable[[nn.Module, Tensor], Tensor] = lambda module, y: y
    sizes: Callable[[int, int], Iterator[dict[str, int]]] = _alone
    sequence_axes: int = 2
    biases: tuple[bool, ...] = (True, False)
    is_diagonal: bool = False
    reads_numbers: bool = True


def _numbers(sizes: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
    return torch.randn(*batch, tokens, sizes["n"], generator=draw, dtype=torch.float64)


def _places(sizes: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
    return torch.randint(sizes["n"], (*batch, tokens), generator=draw)


def _images(sizes: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
    """Images of which a kernel sees `tokens` patches, in one row."""
    images = (torch.Size(batch).numel(),) if batch else ()
    extents = (sizes["c"], sizes["kh"], sizes["kw"] + tokens - 1)
    return torch.randn(*images, *extents, generator=draw, dtype=torch.float64)


def _kernels(n: int, m: int) -> Iterator[dict[str, int]]:
    for kh, kw in ((1, 2), (2, 2), (3, 1), (3, 3), (1, 1)):
        if n % (kh * kw) == 0:
            yield {"n": n, "m": m, "c": n // (kh * kw), "kh": kh, "kw": kw}


def _square(n: int, m: int) -> Iterator[dict[str, int]]:
    if n == m:
        yield {"n": n, "m": m}


def _as_they_are(module: nn.Module, x: Tensor) -> Tensor:
    return x


def _one_hot(module: nn.Module, x: Tensor) -> Tensor:
    layer: Any = module
    return F.one_hot(x, layer.num_embeddings).double()


def _patches(module: nn.Module, x: Tensor) -> Tensor:
    layer: Any = module
    return F.unfold(x, layer.kernel_size).mT


def _centred(module: nn.Module, x: Tensor) -> Tensor:
    layer: Any = module
    difference = x - x.mean(-1, keepdim=True)
    return difference / torch.sqrt((difference**2).mean(-1, keepdim=True) + layer.eps)


def _unit_square(module: nn.Module, x: Tensor) -> Tensor:
    layer: Any = module
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + layer.eps)


def _weight(module: nn.Module) -> Tensor:
    layer: Any = module
    weight: Tensor = layer.weight.detach().double()
    return weight


LAYER_TYPES: tuple[LayerType, ...] = (
    LayerType(
        "Linear", lambda sizes, bias: nn.Linear(sizes["n"], sizes["m"], bias=bias), _numbers, _as_they_are,
        lambda module: _weight(module).T,
    ),
    LayerType(
        "Conv1D", lambda sizes, bias: Conv1D(sizes["m"], sizes["n"]),  # type: ignore[no-untyped-call]
        _numbers, _as_they_are, _weight, biases=(True,),
    ),
    LayerType(
        "Embedding", lambda sizes, bias: nn.Embedding(sizes["n"], sizes["m"]), _places, _one_hot, _weight,
        sequence_axes=1, biases=(False,), reads_numbers=False,
    ),
    LayerType(
        "Conv2d",
        lambda sizes, bias: nn.Conv2d(sizes["c"], sizes["m"], (sizes["kh"], sizes["kw"]), bias=bias),
        _images, _patches, lambda module: _weight(module).flatten(1).T, lambda module, y: y.flatten(-2).mT, _kernels,
        sequence_axes=3,
    ),
    LayerType(
        "LayerNorm", lambda sizes, bias: nn.LayerNorm(sizes["n"], bias=bias), _numbers, _centred,
        lambda module: torch.diag(_weight(module)), sizes=_square, is_diagonal=True,
    ),
    LayerType(
        "RMSNorm", lambda sizes, bias: nn.RMSNorm(sizes["n"], eps=1e-6), _numbers, _unit_square,
        lambda module: torch.diag(_weight(module)), sizes=_square, is_diagonal=True, biases=(False,),
    ),
)  # fmt: skip


def bias_of(module: nn.Module, m: int) -> Tensor:
    """b, zeros where the layer has none."""
    bias: Tensor | None = getattr(module, "bias", None)
    return torch.zeros(m, dtype=torch.float64) if bias is None else bias.detach().double()
