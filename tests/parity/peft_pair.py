"""A model with PEFT's adapter and its double with ours, brought together by the table that importing reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import peft
import torch
from peft.tuners.boft import layer as boft_layer
from torch import Tensor, nn

from specdsl.runtime.adapter import Adapter
from specdsl.runtime.interchange.import_peft import attach_peft, values_of
from specdsl.runtime.interchange.peft_reading import reading_of
from tests.parity.layers import one_layer
from tests.parity.peft_methods import Configuration, Method

ADAPTED = "layer"


@dataclass(frozen=True)
class Pair:
    """Twice the same model with the same adapter, one input for both, and PEFT's factors as ours.

    Attributes:
        factors: views of the reference's parameters under our names, through which gradients flow back to them.
        parameters: those that it trains.
    """

    theirs: Any
    ours: nn.Module
    adapter: Adapter
    x: Tensor
    factors: Mapping[str, Tensor]
    parameters: tuple[Tensor, ...]


class BlockDiagonal:
    """What PEFT's CUDA extension for BOFT computes: every stack of blocks as one block-diagonal matrix."""

    @staticmethod
    def forward(blocks: Tensor) -> list[Tensor]:
        return [torch.stack([torch.block_diag(*stack) for stack in blocks])]

    @staticmethod
    def backward(gradient: Tensor, blocks: Tensor) -> list[Tensor]:
        side = blocks.shape[-1]
        places = range(0, gradient.shape[-1], side)
        return [torch.stack([gradient[:, i : i + side, i : i + side] for i in places], 1)]


@contextmanager
def boft_extension() -> Iterator[None]:
    """With a stand-in for PEFT's CUDA extension, without which it makes one butterfly factor of any number."""
    before = boft_layer.get_fbd_cuda
    boft_layer.get_fbd_cuda = lambda: BlockDiagonal
    try:
        yield
    finally:
        boft_layer.get_fbd_cuda = before


def peft_model(method: Method, one: Configuration, model: nn.Module, seed: int) -> Any:
    """PEFT's adapter on a model, as it starts."""
    config = getattr(peft, method.config)(target_modules=[ADAPTED], **method.options, **one.options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return peft.get_peft_model(model, config)


def fields_and_tensors(theirs: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What PEFT would save, with the parameters themselves."""
    tensors = peft.get_peft_model_state_dict(theirs, state_dict=theirs.state_dict(keep_vars=True))
    return json.loads(json.dumps(theirs.peft_config["default"].to_dict(), default=sorted)), tensors


def trained_pair(method: Method, one: Configuration, dtype: torch.dtype) -> Pair:
    """Both with the same factors, drawn as if after training."""
    base, x = one_layer(one.layer, one.sizes, torch.float32 if method.starts_in_float32 else dtype)
    ours, x = copy.deepcopy(base).to(dtype), x.to(dtype) if x.is_floating_point() else x
    theirs = peft_model(method, one, base, seed=2).to(dtype).eval()
    fields, tensors = fields_and_tensors(theirs)
    parameters = tuple(value for value in tensors.values() if value.requires_grad)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
        theirs(x)  # COFT projects its factors while it runs
    factors = values_of(ours, reading_of(ours, fields, tensors))[ADAPTED]
    adapter = attach_peft(ours, fields, tensors)
    return Pair(theirs, ours, adapter, x.requires_grad_(x.is_floating_point()), factors, parameters)
