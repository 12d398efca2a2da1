"""Layer types whose matrix is a parameter that a forward reads by name, and modules that hold one weight together.

Their input and output do not meet the matrix itself, so each says how its output comes from W and b.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from specdsl.runtime.conform.layer_type import LayerType, Sizes, at_most_one, numbers


class Held(nn.Module):
    """A module with parameters of its own: W, or one W for each expert, and a bias for each.

    Args:
        shape: `n x m` or `experts x n x m`.
        name: of the parameter. One called `weight` is held as `nn.Linear` does, as `m x n`.
        outputs_first: whether it is held as `m x n`.
    """

    def __init__(self, shape: tuple[int, ...], name: str, outputs_first: bool, bias: bool) -> None:
        super().__init__()
        *stack, n, m = shape
        self.name = name
        self.is_transposed = not outputs_first  # as transformers marks experts
        self.register_parameter(name, nn.Parameter(torch.empty(*stack, m, n) if outputs_first else torch.empty(shape)))
        self.bias_name = "bias" if name == "weight" else f"{name}_bias"
        self.register_parameter(self.bias_name, nn.Parameter(torch.empty(*stack, m)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        W, b = getattr(self, self.name), getattr(self, self.bias_name)
        return weighed(x, W.mT if not self.is_transposed else W, b)


def weighed(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """`x @ W + b` of every expert, one after the other along the outputs."""
    if W.dim() == 2:
        return x @ W if b is None else x @ W + b
    biases = [None] * len(W) if b is None else list(b)
    return torch.cat([weighed(x, *one) for one in zip(W, biases, strict=True)], -1)


def _held(name: str, label: str, experts: int = 0, outputs_first: bool = False, in_full_only: bool = False
          ) -> LayerType:  # fmt: skip
    def make(sizes: Sizes, bias: bool) -> nn.Module:
        stack = (experts,) if experts else ()
        return Held((*stack, sizes["n"], sizes["m"]), name, outputs_first, bias)

    def matrix(module: nn.Module) -> Tensor:
        held: Tensor = getattr(module, name).detach().double()
        return held.mT if outputs_first else held

    def bias(module: nn.Module) -> Tensor | None:
        held = getattr(module, "bias" if name == "weight" else f"{name}_bias")
        return held.detach().double() if isinstance(held, Tensor) else None

    return LayerType(
        label, make, matrix, bias=bias, through=lambda module, x, W, b: weighed(x, W, b), part=rf"\.{name}",
        in_full_only=in_full_only,
    )  # fmt: skip


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` of a sequence to itself."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        heads = next(count for count in (3, 5, 2, 7, 1) if width % count == 0)
        self.attention = nn.MultiheadAttention(width, heads, bias=bias, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return output


def attended(module: nn.Module, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Scaled dot-product attention of `x @ W + b : tokens x 3n`, written out."""
    attention: Any = module.attention
    heads = []
    for Q, K, V in zip(*(part.chunk(attention.num_heads, -1) for part in (x @ W + b).chunk(3, -1)), strict=True):
        heads.append(torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1) @ V)
    rows: Tensor = torch.cat(heads, -1) @ attention.out_proj.weight.detach().double().T
    bias = attention.out_proj.bias
    return rows if bias is None else rows + bias.detach().double()


def _in_projection(module: nn.Module) -> Tensor:
    attention: Any = module.attention
    weight: Tensor = attention.in_proj_weight.detach().double()
    return weight.T


def _in_bias(module: nn.Module) -> Tensor | None:
    attention: Any = module.attention
    bias: Tensor | None = attention.in_proj_bias
    return None if bias is None else bias.detach().double()


def _threefold(n: int, m: int) -> Iterator[dict[str, int]]:
    if m == 3 * n:
        yield {"n": n, "m": m}


def _one_batch(sizes: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
    return numbers(sizes, at_most_one(batch), tokens, draw)


class TiedLinear(nn.Module):
    """Two linear maps that hold one weight; the other reads the entries of x from the last to the first."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(n, m, bias=False), nn.Linear(n, m, bias=False)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.one(x), self.other(x.flip(-1))])


class TiedEmbedding(nn.Module):
    """An embedding, and an output layer that reads its table."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(n, m), nn.Linear(m, n, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.embed(x))
        return output


def places(sizes: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
    """An input of an embedding: whole numbers below n, as many different ones as can be, the last of them surely."""
    shape = (*batch, tokens)
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=draw)
    return ((sizes["n"] - 1 - order) % sizes["n"]).reshape(shape)


def one_hot(module: nn.Module, x: Tensor) -> Tensor:
    """The input of an embedding as rows of its table are chosen by a product."""
    layer: Any = getattr(module, "embed", module)
    return F.one_hot(x, layer.num_embeddings).double()


def _both(module: nn.Module, x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return (one_hot(module, x) @ W + b) @ W.T


def _one_weight(module: nn.Module) -> Tensor:
    pair: Any = module
    weight: Tensor = pair.one.weight.detach().double()
    return weight.T


def _one_bias(module: nn.Module) -> Tensor | None:
    pair: Any = module
    bias: Tensor | None = pair.one.bias
    return None if bias is None else bias.detach().double()


def _table(module: nn.Module) -> Tensor:
    pair: Any = module
    weight: Tensor = pair.embed.weight.detach().double()
    return weight


READ_BY_NAME: tuple[LayerType, ...] = (
    LayerType(
        "MultiheadAttention", lambda sizes, bias: SelfAttention(sizes["n"], bias), _in_projection, _one_batch,
        bias=_in_bias, through=attended, part=r"\.attention\.in_proj_weight", sizes=_threefold, tokens_are_apart=False,
        is_linear_in_its_weight=False,
    ),
    _held("up", "parameter"),
    _held("weight", "parameter, outputs first", outputs_first=True, in_full_only=True),
    _held("up", "experts", experts=3),
    _held("up", "experts, outputs first", experts=2, outputs_first=True, in_full_only=True),
)  # fmt: skip

TIED: tuple[LayerType, ...] = (
    LayerType(
        "tied Linear", lambda sizes, bias: TiedLinear(sizes["n"], sizes["m"]), _one_weight,
        tokens=lambda module, x: torch.stack([x, x.flip(-1)]), bias=_one_bias, part=r"\.(one|other)",
        biases=(False,), side_by_side=True,
    ),
    LayerType(
        "tied Embedding", lambda sizes, bias: TiedEmbedding(sizes["n"], sizes["m"]), _table, places,
        bias=lambda module: None, through=_both, part=r"\.(embed|head)", sequence_axes=1, biases=(False,),
        reads_numbers=False, is_linear_in_its_weight=False,
    ),
)  # fmt: skip
