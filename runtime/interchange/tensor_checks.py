"""What the tensors of another library have to be: safetensors holds any dtype, shape and value."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from specdsl.errors import SpecCheckpointError
from specdsl.lowering.finite import is_finite

SMALLEST = 2
"""Bytes of an entry: torch stores `float8` values but does not add them."""


def check_factor(name: str, value: Tensor) -> None:
    """Raise SpecCheckpointError unless a tensor holds finite real numbers in a dtype that one can calculate in."""
    if not value.is_floating_point() or value.element_size() < SMALLEST:
        raise SpecCheckpointError(f"`{name}` holds {kind_of(value)} values, which no factor can have")
    if not is_finite(value):
        raise SpecCheckpointError(f"`{name}` holds values that are not finite", hint="its training has diverged")


def check_like(name: str, value: Tensor, own: Tensor) -> None:
    """Raise SpecCheckpointError unless a tensor can take the place of one of the model's."""
    if value.shape != own.shape:
        raise SpecCheckpointError(f"`{name}` is {by(value.shape)}, but the model's own is {by(own.shape)}")
    if (value.is_floating_point(), value.is_complex()) != (own.is_floating_point(), own.is_complex()):
        raise SpecCheckpointError(f"`{name}` holds {kind_of(value)} values, but the model's own {kind_of(own)}")


def is_whole(value: Tensor) -> bool:
    """Whether a tensor holds whole numbers; booleans are none."""
    return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


def kind_of(value: Tensor) -> str:
    """The dtype as messages name it: `int64`."""
    return str(value.dtype).removeprefix("torch.")


def by(shape: Iterable[int]) -> str:
    """A shape as messages name it: `3 x 4`."""
    return " x ".join(map(str, shape)) or "a number"
