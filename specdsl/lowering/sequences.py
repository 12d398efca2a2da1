"""Operators that count axes, applied to every sequence of a batch alone.

A spec says `tokens x n` and means one sequence; a batch brings axes of its own in front. Most operators work on the
last axes and never see them. The others (slices, patterns, `[P; y]`) run under `torch.vmap`, once for all sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from specdsl.ir import Apply, Node

_LAST_AXES = frozenset(
    {"add", "negative", "matmul", "scale", "times", "divide", "hcat", "scale_rows", "fill", "times_kron"}
)
"""Operators without a `...` in their signature that work on the last axes all the same."""


def counts_axes(node: Apply) -> bool:
    """Whether an operator has to see a sequence without the axes of its batch."""
    definition = node.definition
    if node.operator in _LAST_AXES or definition.has("elementwise"):
        return False
    if node.ndim == 0 and len(definition.outputs) == 1 and any(child.ndim for child in node.arguments):
        return True  # a number of every sequence
    if definition.shape is None and all(pattern.startswith("...") for pattern in definition.inputs):
        return False
    return not _is_over_an_axis(node)


def _is_over_an_axis(node: Apply) -> bool:
    """Reductions along the last axis, or over the tokens, which have a rule of their own."""
    return node.operator in ("sum", "mean", "max", "min", "norm") and node.option("axis") is not None


def by_sequence(value: Callable[..., Any], node: Apply, arguments: Sequence[Any]) -> Any:
    """`value(*arguments)` for every sequence: arguments without batch axes are the same for all."""
    extra = [_batch_axes(child, argument) for child, argument in zip(node.arguments, arguments, strict=True)]
    most = max(extra, default=0)
    if most == 0:
        return value(*arguments)
    batch = next(
        argument.shape[:most] for argument, axes in zip(arguments, extra, strict=True) if axes == most
    )  # fmt: skip
    flat = [
        _without_tokens(child, argument).reshape(-1, *_own_shape(child, argument)) if axes else argument
        for child, argument, axes in zip(node.arguments, arguments, extra, strict=True)
    ]
    dims = tuple(0 if axes else None for axes in extra)
    result = torch.vmap(value, in_dims=dims)(*flat)
    result = result.reshape(*batch, *result.shape[1:])
    return result if _has_tokens(node) or node.ndim != 1 else result.unsqueeze(-2)


def _has_tokens(node: Node) -> bool:
    return any("tokens" in size.symbols for size in node.shape)


def _batch_axes(node: Node, value: Any) -> int:
    if not isinstance(value, Tensor):
        return 0
    dummy = 1 if node.ndim == 1 and not _has_tokens(node) and value.dim() > 1 else 0
    return value.dim() - node.ndim - dummy


def _own_shape(node: Node, value: Tensor) -> tuple[int, ...]:
    return tuple(_without_tokens(node, value).shape[-node.ndim :]) if node.ndim else ()


def _without_tokens(node: Node, value: Tensor) -> Tensor:
    """A row that was reduced over the tokens, without the axis kept in their place."""
    return value.squeeze(-2) if node.ndim == 1 and not _has_tokens(node) and value.dim() > 1 else value
