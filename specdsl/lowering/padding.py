"""Padding: what an operator that reads across the tokens of a sequence does not see.

A batch makes its sequences equally long with rows that mean nothing. Where the model tells which they are, sums, means,
norms, products and `softmax` over the tokens leave them out: they enter as the value that changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from specdsl.errors import SpecSettingError
from specdsl.facts import TOKENS
from specdsl.ir import Apply, Node
from specdsl.operators.axis_patterns import einsum_axes

_REDUCED = frozenset({"sum", "mean", "norm", "max", "min"})
_ALONG_ROWS = frozenset({"softmax", "layernorm", "keep", "rownorm", "rowmean"})
_ALONG_COLUMNS = frozenset({"colnorm", "colmean"})
_ENTRYWISE = frozenset({
    "scale", "scale_rows", "hcat", "vcat", "transpose", "stop", "outer", "diag", "lower", "upper", "fill", "stack",
})  # fmt: skip
_KEEPS_ROWS = frozenset({"slice", "columns", "reshape", "rearrange"})
"""Operators that let the rows of the tokens be, if these are the first axis of what they take and of what they give."""

_NOTHING = {
    "sum": 0.0, "mean": 0.0, "norm": 0.0, "rownorm": 0.0, "rowmean": 0.0, "colnorm": 0.0, "colmean": 0.0,
    "matmul": 0.0, "einsum": 0.0, "max": -1.0, "softmax": -1.0, "min": 1.0,
}  # fmt: skip
"""What padding counts as: nothing at all, or the least (the largest) number there is."""

_MEANS = frozenset({"mean", "rowmean", "colmean"})


def reads_across(node: Node) -> bool:
    """Whether a token's row in the value depends on the rows of other tokens, by this operator itself."""
    return isinstance(node, Apply) and bool(_axes(node))


def _axes(node: Apply) -> list[tuple[int, int]]:
    """The axes of tokens along which an operator reads, each with the number of its argument."""
    return [(place, axis) for place, axis in _read(node) if "tokens" in node.arguments[place].shape[axis].symbols]


def _read(node: Apply) -> list[tuple[int, int]]:
    """The axes along which an operator reads more than one entry."""
    operator, arguments = node.operator, node.arguments
    if operator in _ENTRYWISE or node.definition.has("elementwise"):
        return []
    if operator in _REDUCED:
        if len(arguments) > 1:
            return []
        axis = node.option("axis")
        return [(0, axis % arguments[0].ndim)] if axis is not None else _all(arguments[:1])
    if operator in _ALONG_ROWS:
        return [(0, arguments[0].ndim - 1)]
    if operator in _ALONG_COLUMNS:
        return [(0, arguments[0].ndim - 2)]
    if operator == "matmul":
        return [(place, max(right.ndim - 2, 0)) for place, right in enumerate(arguments) if place]
    if operator == "einsum":
        inputs, output = einsum_axes(str(node.option("pattern")))
        return [(i, axis) for i, names in enumerate(inputs) for axis, name in enumerate(names) if name not in output]
    kept = (child for child in arguments if child.ndim and child.shape[0] == TOKENS)
    if operator in _KEEPS_ROWS and node.ndim and node.shape[0] == TOKENS and any(kept):
        return []
    return _all(arguments)


def _all(arguments: Sequence[Node]) -> list[tuple[int, int]]:
    return [(place, axis) for place, child in enumerate(arguments) for axis in range(child.ndim)]


def without_padding(node: Apply, arguments: Sequence[Any], is_token: Tensor) -> list[Any]:
    """The arguments of an operator with their padded rows as what changes nothing.

    Args:
        node: an operator that reads across tokens.
        arguments: its arrays, the axes of a batch in front.
        is_token: False at padding, `batch x tokens`.

    Raises:
        SpecSettingError: there is padding, and no such value for this operator.
    """
    found = list(arguments)
    for place, axis in _axes(node):
        child = node.arguments[place]
        if node.operator not in _NOTHING or child.shape[axis] != TOKENS:
            _refuse_padding(node, is_token)
            continue
        found[place] = _filled(found[place], child.ndim - axis, is_token, _NOTHING[node.operator])
    return found


def _filled(value: Tensor, from_the_end: int, is_token: Tensor, nothing: float) -> Tensor:
    if not value.is_floating_point():
        value = value.to(torch.get_default_dtype())
    number = nothing and nothing * torch.finfo(value.dtype).max
    own = is_token.reshape(*is_token.shape, *(1 for _ in range(from_the_end - 1)))
    while own.dim() < value.dim():
        own = own.unsqueeze(is_token.dim() - 1)
    return value.masked_fill(~own, number)


def without_padding_counted(node: Apply, value: Tensor, is_token: Tensor) -> Tensor:
    """A mean over tokens that took padding for zeros, as one over the others alone."""
    if node.operator not in _MEANS:
        return value
    counted = is_token.shape[-1] / is_token.sum(-1).clamp(min=1).to(value.dtype)
    return value * counted.reshape(*counted.shape, *(1 for _ in range(value.dim() - counted.dim())))


def _refuse_padding(node: Apply, is_token: Tensor) -> None:
    if not bool(is_token.all()):
        raise SpecSettingError(
            f"`{node.operator}` reads across the tokens of a sequence, some of which are padding here, and it cannot "
            "leave those out",
            hint="batches of equally long sequences need no padding",
        )
