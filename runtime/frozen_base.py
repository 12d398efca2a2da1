"""Which of a model's own parameters are trained while it carries adapters, and which were before.

The record belongs to the model, as adapters may be detached in any order, and a copy of the model takes it along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from specdsl.errors import SpecSettingError

_ATTRIBUTE = "specdsl_frozen_base"


class FrozenBase:
    """The `requires_grad` of the base before the first adapter, and what each adapter trains whole.

    Attributes:
        required_grad: by the parameter's name.
        whole: for each adapter the names of the parameters that it trains.
    """

    def __init__(self, model: nn.Module) -> None:
        self.required_grad = {name: parameter.requires_grad for name, parameter in base_parameters(model)}
        self.whole: dict[str, frozenset[str]] = {}


def base_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are no adapter's, each once, by name."""
    for name, parameter in model.named_parameters():
        if ".specdsl." not in f".{name}":
            yield name, parameter


def check_trained_whole(model: nn.Module, modules: Sequence[tuple[str, nn.Module]], targets: Sequence[Any]) -> None:
    """Raise unless no other adapter trains what this one would train or adapt, or adapts what this one trains.

    Raises:
        SpecSettingError: two adapters would change one parameter, so that neither could be taken away alone.
    """
    record: FrozenBase | None = model.__dict__.get(_ATTRIBUTE)
    for name, module in modules:
        for part in module.modules():
            if part._modules.get("specdsl") is not None:
                raise SpecSettingError(f"`{name}` would be trained whole, but carries another adapter")
    for adapter, names in (record.whole if record else {}).items():
        theirs = {id(parameter) for name, parameter in base_parameters(model) if name in names}
        for name, module in [*modules, *((target.name, target.module) for target in targets)]:
            if any(id(parameter) in theirs for parameter in module.parameters()):
                raise SpecSettingError(f"`{name}` is trained whole by the adapter `{adapter}` already")


def freeze(model: nn.Module, adapter: str, modules: Sequence[tuple[str, nn.Module]]) -> None:
    """Freeze the base but for `modules`, which `adapter` trains, and what other adapters train."""
    record = model.__dict__.setdefault(_ATTRIBUTE, FrozenBase(model))
    own = {id(parameter) for _, module in modules for parameter in module.parameters()}
    record.whole[adapter] = frozenset(name for name, parameter in base_parameters(model) if id(parameter) in own)
    _apply(model, record)


def release(model: nn.Module, adapter: str) -> None:
    """Forget `adapter`; with the last one the base requires gradients as it did before the first."""
    record = model.__dict__.get(_ATTRIBUTE)
    if record is None:
        return
    record.whole.pop(adapter, None)
    if record.whole:
        _apply(model, record)
        return
    for name, parameter in base_parameters(model):
        parameter.requires_grad_(record.required_grad.get(name, parameter.requires_grad))
    del model.__dict__[_ATTRIBUTE]


def _apply(model: nn.Module, record: FrozenBase) -> None:
    trained = frozenset().union(*record.whole.values())
    for name, parameter in base_parameters(model):
        parameter.requires_grad_(name in trained)
