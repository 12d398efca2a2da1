"""Inputs of a spec: what is given to every forward pass from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from specdsl.errors import SpecSettingError, did_you_mean

if TYPE_CHECKING:
    from specdsl.runtime.adapter import Adapter


def set_inputs(adapter: Adapter, values: Mapping[str, Any]) -> None:
    """Set inputs in all modules of an adapter; see `Adapter.set_inputs`."""
    _check_names(adapter, values)
    tensors = {name: None if value is None else _tensor(name, value) for name, value in values.items()}
    for member in adapter.members:
        for name, value in tensors.items():
            if value is None:
                member.layer.inputs.pop(name, None)
            elif name in member.layer.lowered.ir.given:
                member.layer.inputs[name] = value


def current_inputs(adapter: Adapter, names: Iterable[str]) -> dict[str, Tensor | None]:
    """What some inputs are set to; None where they are not."""
    _check_names(adapter, names)
    return {name: next((member.layer.inputs.get(name) for member in adapter.members), None) for name in names}


def _check_names(adapter: Adapter, names: Iterable[str]) -> None:
    known = list(adapter.spec.facts.inputs)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or (f"its inputs are {', '.join(known)}" if known else "it has none")
            raise SpecSettingError(f"{adapter.spec.label} has no input `{name}`", hint=hint)


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise SpecSettingError(f"the input `{name}` is a number or a tensor, not {value!r}") from None
