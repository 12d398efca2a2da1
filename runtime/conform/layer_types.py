"""The layer types that every spec is tried on, each read as `y = x W + b` a second time.

How a layer reads is written here without `specdsl.lowering`, so that what a spec lowers to is held to something else.
A type joins the suite by its entry in `LAYER_TYPES`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from specdsl.runtime.conform.convolutions import CONVOLUTIONS
from specdsl.runtime.conform.layer_type import LayerType, square, weight_of
from specdsl.runtime.conform.read_by_name import READ_BY_NAME, TIED, one_hot, places


def _centred(module: nn.Module, x: Tensor) -> Tensor:
    layer: Any = module
    difference = x - x.mean(-1, keepdim=True)
    return difference / torch.sqrt((difference**2).mean(-1, keepdim=True) + layer.eps)


def _unit_square(module: nn.Module, x: Tensor) -> Tensor:
    layer: Any = module
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + layer.eps)


_ALL: tuple[LayerType, ...] = (
    LayerType(
        "Linear", lambda sizes, bias: nn.Linear(sizes["n"], sizes["m"], bias=bias), lambda module: weight_of(module).T
    ),
    LayerType(
        "Conv1D", lambda sizes, bias: Conv1D(sizes["m"], sizes["n"]),  # type: ignore[no-untyped-call]
        weight_of, biases=(True,),
    ),
    *CONVOLUTIONS,
    LayerType(
        "Embedding", lambda sizes, bias: nn.Embedding(sizes["n"], sizes["m"]), weight_of, places, one_hot,
        sequence_axes=1, biases=(False,), reads_numbers=False,
    ),
    *READ_BY_NAME,
    LayerType(
        "LayerNorm", lambda sizes, bias: nn.LayerNorm(sizes["n"], bias=bias),
        lambda module: torch.diag(weight_of(module)), tokens=_centred, sizes=square, is_diagonal=True,
    ),
    LayerType(
        "RMSNorm", lambda sizes, bias: nn.RMSNorm(sizes["n"], eps=1e-6), lambda module: torch.diag(weight_of(module)),
        tokens=_unit_square, sizes=square, is_diagonal=True, biases=(False,),
    ),
    *TIED,
)  # fmt: skip

LAYER_TYPES: tuple[LayerType, ...] = tuple(sorted(_ALL, key=lambda layer: layer.in_full_only))
"""Every layer type; at the end those that are left to the full depth."""
