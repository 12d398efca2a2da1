"""A layer type of the suite: how to make one, and how its parts read as `y = x W + b`, a second time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Sizes = Mapping[str, int]


def alone(n: int, m: int) -> Iterator[dict[str, int]]:
    """Sizes of a layer that has no others than these."""
    yield {"n": n, "m": m}


def square(n: int, m: int) -> Iterator[dict[str, int]]:
    """Sizes of a layer with as many outputs as inputs."""
    if n == m:
        yield {"n": n, "m": m}


def numbers(sizes: Sizes, batch: tuple[int, ...], tokens: int, draw: torch.Generator) -> Tensor:
    """An input `batch x tokens x n`."""
    return torch.randn(*batch, tokens, sizes["n"], generator=draw, dtype=torch.float64)


def at_most_one(batch: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a batch as one, for layers that know no more."""
    return (torch.Size(batch).numel(),) if batch else ()


def weight_of(module: nn.Module) -> Tensor:
    """The weight in float64, as the module holds it."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach().double()


def held_bias(module: nn.Module) -> Tensor | None:
    """The bias in float64, or None."""
    bias = getattr(module, "bias", None)
    return bias.detach().double() if isinstance(bias, Tensor) else None


def as_they_are(module: nn.Module, x: Tensor) -> Tensor:
    """An input or output that is rows already."""
    return x


@dataclass(frozen=True)
class LayerType:
    """A layer type of the suite.

    A layer may hold several matrices side by side (experts, a convolution in groups): `copies` is the axis of those.

    Attributes:
        name: as tables have it.
        make: a layer from its sizes, with a bias or without.
        sample: an input from sizes, axes of the batch, number of tokens and a generator.
        matrix: its weight as `n x m`, or `copies x n x m`.
        tokens: the layer's input as `... x tokens x n`, with `copies` in front if `side_by_side`.
        rows: its output as `... x tokens x m`, with `copies` in front if `side_by_side`.
        bias: its bias as `m` or `copies x m`, or None.
        through: the rows of its output with another W and b, where its input and output do not meet the matrix itself.
        part: what of the layer is adapted, as the end of a pattern; empty for the layer itself.
        sizes: the sizes a layer with these n and m may have.
        sequence_axes: how many axes of the input make one sequence.
        biases: whether a layer of this type has a bias: may have one, always or never.
        is_diagonal: whether its weight is: formulas of general matrices may degenerate there.
        reads_numbers: whether its input has a gradient; an embedding's has none.
        tokens_are_apart: whether the layer itself gives each token, the last axis but one, its output from that alone.
        is_linear_in_its_weight: whether differences of the weight add up in the output.
        side_by_side: whether tokens and rows have the axis `copies`.
        in_full_only: whether only the full depth tries it.
    """

    name: str
    make: Callable[[Sizes, bool], nn.Module]
    matrix: Callable[[nn.Module], Tensor]
    sample: Callable[[Sizes, tuple[int, ...], int, torch.Generator], Tensor] = numbers
    tokens: Callable[[nn.Module, Tensor], Tensor] = as_they_are
    rows: Callable[[nn.Module, Tensor], Tensor] = as_they_are
    bias: Callable[[nn.Module], Tensor | None] = held_bias
    through: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor] | None = None
    part: str = ""
    sizes: Callable[[int, int], Iterator[dict[str, int]]] = alone
    sequence_axes: int = 2
    biases: tuple[bool, ...] = (True, False)
    is_diagonal: bool = False
    reads_numbers: bool = True
    tokens_are_apart: bool = True
    is_linear_in_its_weight: bool = True
    side_by_side: bool = False
    in_full_only: bool = False

    def matrices(self, module: nn.Module) -> list[Tensor]:
        """Every W of the layer, `n x m` in float64."""
        matrix = self.matrix(module)
        return [matrix] if matrix.dim() == 2 else list(matrix)

    def is_stack(self, module: nn.Module) -> bool:
        """Whether the layer holds several matrices, each with factors of its own."""
        return self.matrix(module).dim() == 3

    def all_biases(self, module: nn.Module) -> list[Tensor]:
        """The b that belongs to each matrix, zeros where the layer has none."""
        matrices, bias = self.matrices(module), self.bias(module)
        if bias is None:
            return [torch.zeros(W.shape[1], dtype=torch.float64) for W in matrices]
        return [bias] if bias.dim() == 1 else list(bias)

    def sequences(self, rows: Tensor) -> Tensor:
        """What `tokens` and `rows` give as `copies x sequences x tokens x m`."""
        copies = rows if self.side_by_side else rows.unsqueeze(0)
        return copies.reshape(len(copies), -1, *copies.shape[-2:])
