"""Convolutions as layer types: over one, two or three axes, strided, with kernels of one place, in groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specdsl.runtime.conform.layer_type import LayerType, Sizes, at_most_one, weight_of

_CONVOLVE: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_LAYERS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_KERNELS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((3,), (2,)), 2: ((1, 2), (2, 2), (3, 1), (3, 3)), 3: ((1, 1, 3), (2, 1, 2), (1, 1, 2)),
}  # fmt: skip


def convolution(
    axes: int, stride: int = 1, groups: int = 1, one_place: bool = False, in_full_only: bool = False
) -> LayerType:  # fmt: skip
    """A convolution over `axes` axes.

    Args:
        axes: 1, 2 or 3.
        stride: with a larger one than 1 it is padded as well.
        groups: how many convolutions stand side by side in it, each one matrix.
        one_place: whether its kernel has one place.
        in_full_only: as in `LayerType`.
    """
    kernels = ((1,) * axes,) if one_place else _KERNELS[axes]
    words = {"1x1": one_place, "strided": stride > 1, "in groups": groups > 1}

    def sizes(n: int, m: int) -> Iterator[dict[str, int]]:
        for kernel in kernels:
            c, rest = divmod(n, math.prod(kernel))
            if not rest:
                yield {"n": n, "m": m, "c": c, **(dict(zip(("kh", "kw"), kernel, strict=True)) if axes == 2 else {})}

    def kernel_of(found: Sizes) -> tuple[int, ...]:
        if axes == 2:
            return found["kh"], found["kw"]
        return next(kernel for kernel in kernels if math.prod(kernel) == found["n"] // found["c"])

    def padding(kernel: tuple[int, ...]) -> tuple[int, ...]:
        return tuple((width - 1) // 2 if stride > 1 else 0 for width in kernel)

    def make(found: Sizes, bias: bool) -> nn.Module:
        kernel = kernel_of(found)
        layer: nn.Module = _LAYERS[axes](
            groups * found["c"], groups * found["m"], kernel, stride=stride, padding=padding(kernel), groups=groups,
            bias=bias,
        )  # fmt: skip
        return layer

    def sample(found: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
        kernel = kernel_of(found)
        places = zip(_places(tokens, axes), kernel, padding(kernel), strict=True)
        extents = [(count - 1) * stride + width - 2 * pad for count, width, pad in places]
        shape = (*at_most_one(batch), groups * found["c"], *extents)
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    def matrix(module: nn.Module) -> Tensor:
        kernels = weight_of(module).flatten(1)
        return kernels.T if groups == 1 else kernels.reshape(groups, -1, kernels.shape[1]).mT

    def bias(module: nn.Module) -> Tensor | None:
        held = module.bias
        if not isinstance(held, Tensor):
            return None
        return held.detach().double().reshape(*((groups, -1) if groups > 1 else (-1,)))

    def tokens(module: nn.Module, x: Tensor) -> Tensor:
        found = [_patches(module, part) for part in x.chunk(groups, -axes - 1)]
        return torch.stack(found) if groups > 1 else found[0]

    def rows(module: nn.Module, y: Tensor) -> Tensor:
        found = [part.flatten(-axes).mT for part in y.chunk(groups, -axes - 1)]
        return torch.stack(found) if groups > 1 else found[0]

    return LayerType(
        " ".join([f"Conv{axes}d", *(word for word, holds in words.items() if holds)]), make, matrix, sample, tokens,
        rows, bias, sizes=sizes, sequence_axes=1 + axes, tokens_are_apart=False, side_by_side=groups > 1,
        in_full_only=in_full_only,
    )  # fmt: skip


def _places(tokens: int, axes: int) -> list[int]:
    """How many places a kernel has along each axis, `tokens` in all; along two of them where that is possible."""
    rows = 2 if axes > 1 and tokens % 2 == 0 else 1
    return [1, 1, rows, tokens // rows][-axes:]


def _patches(module: nn.Module, x: Tensor) -> Tensor:
    """What the kernel sees, `... x places x n`: the output of the convolution whose kernels are the unit vectors."""
    layer: Any = module
    kernel = layer.weight.shape[1:]
    units = torch.eye(kernel.numel(), dtype=x.dtype).reshape(-1, *kernel)
    axes = len(kernel) - 1
    seen: Tensor = _CONVOLVE[axes](x, units, None, layer.stride, layer.padding, layer.dilation)
    return seen.flatten(-axes).mT


CONVOLUTIONS: tuple[LayerType, ...] = (
    convolution(1, stride=2),
    convolution(2),
    convolution(2, one_place=True),
    convolution(2, stride=2, groups=2),
    convolution(3),
    convolution(1, groups=2),
    convolution(3, stride=2, groups=2),
    convolution(1, in_full_only=True),
    convolution(1, one_place=True, in_full_only=True),
    convolution(2, stride=2, in_full_only=True),
    convolution(2, groups=3, in_full_only=True),
    convolution(3, stride=2, in_full_only=True),
    convolution(3, one_place=True, in_full_only=True),
    convolution(3, groups=2, in_full_only=True),
)
"""Each of one, two and three axes, plain, strided, with one place, in groups; at the usual depth each word once."""
