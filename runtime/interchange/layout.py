"""The axes of another library's tensor in the order of a factor, and back."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from specdsl.operators.axis_patterns import Rearrangement, rearrange_steps


def turned(value: Tensor, pattern: str, sizes: Mapping[str, int]) -> Tensor:
    """The axes of `value` as the pattern says; `sizes` are used where the pattern alone does not tell.

    Raises:
        ValueError: the value does not have the axes on the left.

    >>> import torch
    >>> turned(torch.zeros(2, 3, 4, 5), "r c h w -> (c h w) r", {}).shape
    torch.Size([60, 2])
    """
    plan = Rearrangement.read(pattern)
    composed = {name for axis in plan.left if len(axis) > 1 for name in axis}
    given = tuple((name, sizes[name]) for name in sorted(composed & sizes.keys()))
    apart, order, joined = rearrange_steps(pattern, tuple(value.shape), given)
    return value.reshape(apart).permute(order).reshape(joined)


def opposite(pattern: str) -> str:
    """The pattern that undoes another.

    >>> opposite("m r -> r m")
    'r m -> m r'
    """
    left, _, right = pattern.partition("->")
    return f"{right.strip()} -> {left.strip()}"
