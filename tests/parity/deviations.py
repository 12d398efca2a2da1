"""How far two adapted models are from each other, relative to the largest number of the reference."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from tests.parity.peft_pair import Pair

FORWARD, INPUT, FACTORS, MERGED = "forward", "input gradient", "factor gradients", "merged weight"


def relative(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the largest entry of the reference; where that is zero, the difference itself."""
    if ours.numel() == 0:
        return 0.0
    return float((ours - theirs).abs().max() / (theirs.abs().max().item() or 1.0))


def deviations(pair: Pair, without: Collection[str] = ()) -> dict[str, float]:
    """The deviation of everything that is compared; without an input gradient where the input is whole numbers."""
    found = {FORWARD: relative(pair.ours(pair.x), pair.theirs(pair.x))}
    if pair.x.is_floating_point():
        found[INPUT] = relative(_input_gradient(pair.ours, pair.x), _input_gradient(pair.theirs, pair.x))
    found[FACTORS] = _factor_deviation(pair)
    if MERGED not in without:
        found[MERGED] = _merged_deviation(pair)
    return {what: value for what, value in found.items() if what not in without}


def effect(pair: Pair) -> float:
    """How much the adapter changes the output, to know that something was compared."""
    with pair.adapter.disabled(), torch.no_grad():
        bare = pair.ours(pair.x)
    return float((pair.ours(pair.x) - bare).abs().max())


def _loss(model: Any, x: Tensor) -> Tensor:
    loss: Tensor = model(x).square().sum()
    return loss


def _input_gradient(model: Any, x: Tensor) -> Tensor:
    return torch.autograd.grad(_loss(model, x), x)[0]


def _factor_deviation(pair: Pair) -> float:
    """Our gradients, carried back to the reference's parameters by the chain rule, against its own."""
    own = {name: value for _, name, value in pair.adapter.trained_factors() if name in pair.factors}
    own = {name: value for name, value in own.items() if pair.factors[name].requires_grad}
    parameters = pair.parameters
    gradients = torch.autograd.grad(_loss(pair.ours, pair.x), list(own.values()))
    ours = torch.autograd.grad([pair.factors[name] for name in own], parameters, gradients)
    # What dropout leaves out of a pass has no gradient there.
    theirs = torch.autograd.grad(_loss(pair.theirs, pair.x), parameters, materialize_grads=True)
    return max(map(relative, ours, theirs))


def _merged_deviation(pair: Pair) -> float:
    merged: Any = pair.adapter.merge_and_unload()
    theirs = pair.theirs.merge_and_unload()
    worst = relative(merged.layer.weight, theirs.layer.weight)
    if getattr(theirs.layer, "bias", None) is not None:
        worst = max(worst, relative(merged.layer.bias, theirs.layer.bias))
    return worst
