"""A model with LyCORIS's module and its double with ours."""

from __future__ import annotations

import copy
import logging
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

import specdsl
from specdsl.lowering.sites import LayerSite, site_of
from specdsl.runtime.interchange.correspondence import Correspondence
from specdsl.runtime.interchange.factors import factors_of
from specdsl.runtime.interchange.peft_spec import text_of
from specdsl.spec import parse_text
from tests.parity.layers import one_layer
from tests.parity.lycoris_methods import ROWS
from tests.parity.peft_methods import Configuration, Method
from tests.parity.peft_pair import Pair

FILES = {
    "LoConModule": "locon", "LohaModule": "loha", "LokrModule": "lokr", "DiagOFTModule": "diag_oft",
    "IA3Module": "ia3", "NormModule": "norms", "FullModule": "full",
}  # fmt: skip


class Lycoris(nn.Module):
    """A model whose layer runs through a module of LyCORIS."""

    def __init__(self, model: Any, module: Any) -> None:
        super().__init__()
        self.model, self.module = model, module
        module.apply_to()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y

    def merge_and_unload(self) -> nn.Module:
        self.module.restore()
        self.module.merge_to(1.0)
        model: nn.Module = self.model
        return model


def lycoris_model(method: Method, one: Configuration, model: Any, seed: int) -> Lycoris:
    """LyCORIS's module on a model, as it starts."""
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    kind = getattr(import_module(f"lycoris.modules.{FILES[method.config]}"), method.config)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Lycoris(model, kind("layer", model.layer, 1.0, **method.options, **one.options))


def row_of(method: Method, one: Configuration) -> Correspondence:
    """What the module's parameters are on this layer."""
    return ROWS.get(f"{method.spec}, {one.layer}", ROWS[method.spec])


def site_in(model: Any) -> LayerSite:
    """The adapted layer as `y = x W + b`."""
    site = site_of(model.layer)
    assert site is not None
    return site


def trained_pair(method: Method, one: Configuration, dtype: torch.dtype) -> Pair:
    """Both with the same factors, drawn as if after training."""
    base, x = one_layer(one.layer, one.sizes, dtype)
    ours = copy.deepcopy(base)
    theirs = lycoris_model(method, one, base, seed=2)
    theirs.module.to(dtype)
    theirs.eval()
    row = row_of(method, one)
    draw = torch.Generator().manual_seed(3)
    tensors = dict(theirs.module.named_parameters())
    with torch.no_grad():
        for parameter in tensors.values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    text, name = text_of(row, one.options)
    settings = {ours: one.options[their] for ours, their in row.settings.items()}
    adapter = specdsl.attach(ours, parse_text(text, name, **settings), on="re:layer", dtype=dtype, events=False)
    factors = factors_of(row, one.options, site_in(one_layer(one.layer, one.sizes, dtype)[0]), tensors)
    with torch.no_grad():
        for _, factor, value in adapter.trained_factors():
            value.copy_(factors[factor])
    return Pair(theirs, ours, adapter, x.requires_grad_(), factors, tuple(tensors.values()))
