"""Groups for an optimiser, with the learning rates and weight decays that a spec gives its factors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from specdsl.errors import SpecSettingError

if TYPE_CHECKING:
    from specdsl.runtime.adapter import Adapter


def parameter_groups(adapter: Adapter, lr: float, weight_decay: float | None) -> list[dict[str, Any]]:
    """One group for each learning rate and decay; see `Adapter.parameter_groups`."""
    if not math.isfinite(lr):
        raise SpecSettingError(f"the learning rate is {lr}")
    groups: dict[tuple[float, float | None], list[nn.Parameter]] = {}
    for member in adapter.members:
        for name in member.layer.attributes:
            factor = adapter.spec.ir.factors[name]
            if factor.is_trained:
                key = (1.0 if factor.lr is None else factor.lr, factor.decay)
                groups.setdefault(key, []).extend(member.layer.own_parameters(name))
    whole = [parameter for _, module in adapter.survey.trained_whole for parameter in module.parameters()]
    if whole:
        groups.setdefault((1.0, None), []).extend(dict.fromkeys(whole))
    return [_group(parameters, lr * factor, decay, weight_decay) for (factor, decay), parameters in groups.items()]


def _group(
    parameters: list[nn.Parameter], lr: float, decay: float | None, weight_decay: float | None
) -> dict[str, Any]:
    group: dict[str, Any] = {"params": parameters, "lr": lr}
    if decay is not None:
        group["weight_decay"] = 0.0 if decay == 0 else decay * (weight_decay or 0.0)
    elif weight_decay is not None:
        group["weight_decay"] = weight_decay
    return group
