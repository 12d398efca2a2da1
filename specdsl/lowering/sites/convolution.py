"""Convolutions over one, two or three axes, plain and in groups."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specdsl.lowering.sites.layer_site import LayerSite, runs_as

_CONVOLVE: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_KERNEL_SIZES = {2: ("kh", "kw")}
"""The sizes of a kernel that the language has names for: those of an image."""


class ConvolutionSite(LayerSite):
    """`nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d` without groups: `y = unfold(x) @ W`, `n = c` times the kernel's places."""

    unfolds = True

    @property
    def kind(self) -> str:
        return f"Conv{self.axes}d"

    @property
    def axes(self) -> int:
        """How many axes the kernel has."""
        return self.weight.dim() - 2

    @property
    def sizes(self) -> dict[str, int]:
        m, c, *kernel = self.weight.shape
        named = dict(zip(_KERNEL_SIZES.get(self.axes, ()), kernel, strict=False))
        return {"n": c * math.prod(kernel), "m": m, "c": c, **named}

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.reshape(weight.shape[0], -1).T

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix.T.reshape(-1, *self.weight.shape[1:])

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        return self.from_output(self.through(x, self.layout(matrix), None))

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        module: Any = self.module
        return module._conv_forward(x, weight, bias)  # type: ignore[no-any-return]

    def tokens(self, x: Tensor) -> Tensor:
        module: Any = self.module
        x = self._padded(x)
        first = x.dim() - self.axes
        for axis, (width, step, gap) in enumerate(
            zip(module.kernel_size, module.stride, module.dilation, strict=True), first
        ):
            x = x.unfold(axis, gap * (width - 1) + 1, step)[..., ::gap]
        # `c x places x kernel` as `places x (c x kernel)`
        patches = x.movedim(first - 1, first - 1 + self.axes).flatten(-self.axes - 1)
        return patches.flatten(-self.axes - 1, -2)

    def _padded(self, x: Tensor) -> Tensor:
        module: Any = self.module
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        return F.pad(x, module._reversed_padding_repeated_twice, mode=mode)

    def from_output(self, y: Tensor) -> Tensor:
        return y.flatten(-self.axes).transpose(-1, -2)

    def token_shape(self, x: Tensor) -> tuple[int, ...]:
        return (*x.shape[: -self.axes - 1], math.prod(self._places(x)))

    def to_output(self, y: Tensor, x: Tensor) -> Tensor:
        output: Tensor = torch.unflatten(y.transpose(-1, -2), -1, self._places(x))
        return output

    def _places(self, x: Tensor) -> list[int]:
        """The extents of the output for the input `x`."""
        module: Any = self.module
        sizes = []
        for axis in range(self.axes):
            after = 2 * (self.axes - 1 - axis)
            pads = module._reversed_padding_repeated_twice[after : after + 2]
            extent = x.shape[axis - self.axes] + sum(pads) - module.dilation[axis] * (module.kernel_size[axis] - 1) - 1
            sizes.append(extent // module.stride[axis] + 1)
        return sizes


class GroupedConvolutionSite(ConvolutionSite):
    """A convolution in groups: a stack of convolutions side by side, each with its share of the channels.

    `W : n x m` of the spec is the matrix of one group, `n = c*kh*kw` with `c` input channels of a group and `m`
    output channels of a group; `x`, `y`, `b` are that group's as well. Every factor that is not shared exists once
    per group. A depthwise convolution is the case of one input channel in a group.
    """

    @property
    def kind(self) -> str:
        return f"grouped {super().kind}"

    @property
    def stack(self) -> int:
        groups: Any = self.module.groups
        return int(groups)

    @property
    def sizes(self) -> dict[str, int]:
        whole = super().sizes
        return {**whole, "m": whole["m"] // self.stack}

    def member(self, weight: Tensor, bias: Tensor | None) -> LayerSite:
        return _OneGroup(self.module).with_weight(weight, bias)

    def member_weights(self, weight: Tensor) -> Tensor:
        return weight.reshape(self.stack, -1, *weight.shape[1:])

    def biases(self, bias: Tensor) -> Tensor:
        return bias.reshape(self.stack, -1)

    def bias_layout(self, biases: Tensor) -> Tensor:
        return biases.flatten()

    def matrix(self, weight: Tensor) -> Tensor:
        return self.member_weights(weight).flatten(2).mT

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix.mT.reshape(-1, *self.weight.shape[1:])

    def member_inputs(self, x: Tensor) -> Tensor:
        return self._by_group(x)

    def member_outputs(self, y: Tensor) -> Tensor:
        return self._by_group(y)

    def _by_group(self, x: Tensor) -> Tensor:
        channels = x.dim() - self.axes - 1
        groups: Tensor = torch.unflatten(x, channels, (self.stack, -1))
        return groups.movedim(channels, 0)

    def from_output(self, y: Tensor) -> Tensor:
        return super().from_output(self._by_group(y))

    def to_output(self, y: Tensor, x: Tensor) -> Tensor:
        groups = super().to_output(y, x)
        channels = groups.dim() - self.axes - 2
        return groups.movedim(0, channels).flatten(channels, channels + 1)


class _OneGroup(ConvolutionSite):
    """One group of a convolution, as a convolution of its own."""

    def with_weight(self, weight: Tensor, bias: Tensor | None) -> LayerSite:
        site = _OneGroup(self.module)
        site.other = (weight, bias)
        return site

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        module: Any = self.module
        convolved: Tensor = _CONVOLVE[self.axes](self._padded(x), weight, bias, module.stride, 0, module.dilation)
        return convolved


def is_convolution(module: nn.Module) -> bool:
    return any(runs_as(module, layer) for layer in (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and _groups(module) == 1


def is_grouped_convolution(module: nn.Module) -> bool:
    return any(runs_as(module, layer) for layer in (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and _groups(module) > 1


def _groups(module: nn.Module) -> int:
    groups: Any = getattr(module, "groups", 0)
    return int(groups)
