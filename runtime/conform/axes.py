"""What cases vary beside the layer type: dtype, bias, which of n and m is larger, the axes of the batch.

Not every combination is tried: a fixed covering array goes through the layer types, so that over them every two values
of two axes meet.
"""

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
        """What is not as in `USUAL`, but for the order, which sizes show; empty if nothing is."""
        batch = " x ".join(map(str, self.batch)) or "none"
        parts = {
            self.dtype: self.dtype != USUAL.dtype,
            "no bias": not self.has_bias,
            f"batch {batch}": self.batch != USUAL.batch,
        }
        return ", ".join(part for part, differs in parts.items() if differs)


USUAL = Axes()
"""In which the first layer type is tried."""

_OTHER_DTYPES = tuple(dtype for dtype in DTYPES if dtype != USUAL.dtype)


def usual_axes(place: int) -> list[Axes]:
    """The choices for the layer type at this place of the list: one in float64; the first has every other dtype too."""
    chosen = [Axes("float64", place % 5 < 3, ORDERS[place % 3], BATCHES[place // 3 % 3])]
    return chosen if place else [*chosen, *(_in_other_dtype(i, dtype) for i, dtype in enumerate(_OTHER_DTYPES))]


def full_axes(place: int) -> list[Axes]:
    """The usual choices and one more, in another dtype."""
    more = _in_other_dtype(place, _OTHER_DTYPES[place % 3])
    return list(dict.fromkeys([*usual_axes(place), more]))


def _in_other_dtype(place: int, dtype: str) -> Axes:
    return Axes(dtype, place % 5 > 2, ORDERS[(place // 3 + 1) % 3], BATCHES[(place // 9 + place) % 3])
