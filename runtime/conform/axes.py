"""What cases vary beside the layer type: dtype, bias, which of n and m is larger, the axes of the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
ORDERS = ("wide", "tall", "square")
BATCHES: tuple[tuple[int, ...], ...] = ((2,), (), (2, 3))

TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "float16": 3e-2, "bfloat16": 1e-1}
"""How far a value may be from the formula in float64, relative to the largest entry."""


@dataclass(frozen=True)
class Axes:
    """One choice for every axis.

    Attributes:
        dtype: of the base and of the input; factors are float32 at least.
        has_bias: whether the layer has a bias, where its type may have one.
        order: `wide` for n < m, `tall` for n > m, or `square`, where the size conditions leave a choice.
        batch: the axes in front of `tokens x n`.
    """

    dtype: str = "float64"
    has_bias: bool = True
    order: str = "wide"
    batch: tuple[int, ...] = (2,)

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def factor_dtype(self) -> torch.dtype:
        return torch.promote_types(self.torch_dtype, torch.float32)

    @property
    def tolerance(self) -> float:
        return TOLERANCES[self.dtype]

    def __str__(self) -> str:
        batch = " x ".join(map(str, self.batch)) or "none"
        return f"{self.dtype}, {'' if self.has_bias else 'no '}bias, {self.order}, batch {batch}"


USUAL = Axes()
"""What CI runs in every layer type."""


def covering_axes() -> list[Axes]:
    """Twelve choices in which every two values of two axes meet."""
    return [
        Axes(dtype, (i + (j == 1)) % 2 == 0, order, BATCHES[(i + j) % 3])
        for i, dtype in enumerate(DTYPES)
        for j, order in enumerate(ORDERS)
    ]
