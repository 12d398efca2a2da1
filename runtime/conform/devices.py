"""The property of devices: nothing leaves the module's, shown on fake tensors of a device that need not be there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from specdsl.errors import SpecMergeError
from specdsl.runtime.conform.case import Attached, Case, Layers
from specdsl.runtime.conform.outcome import Outcome, does_not_apply, holds
from specdsl.runtime.conform.property import states

DEVICE = "cuda:0"


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the devices of all results."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.devices |= {str(leaf.device) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        return result


@states
def stays_on_its_device(case: Case) -> Outcome:
    """No tensor of a forward pass, a penalty or a merge is on another device than the layer's."""
    try:
        devices = _devices(case)
    except RuntimeError as error:
        if "is not linked with support" not in str(error):
            raise
        return does_not_apply(f"this build of torch lacks an operation of the layer for {DEVICE}, even without values")
    others = sorted(devices - {DEVICE})
    return holds(not others, f"tensors on {', '.join(others)} beside {DEVICE}")


def _devices(case: Case) -> set[str]:
    """The devices of all tensors of a forward pass, penalties and a merge in a model on `DEVICE`."""
    model, x, inputs = case.base(), case.x, case.inputs  # real values cannot be made among fake ones
    with FakeTensorMode(), torch.no_grad():
        made = case.attached(model=_there(model))
        made.adapter.set_inputs(**{name: _empty(value) for name, value in inputs.items()})
        x = _empty(x)
        with _Watch() as watch:
            made.model(x)
            made.adapter.penalties()
            _merge(made)
        held = {str(value.device) for value in (*made.model.parameters(), *made.model.buffers())}
    devices: set[str] = watch.devices | held
    return devices


def _merge(made: Attached) -> None:
    try:
        made.adapter.merge()
        made.adapter.unmerge()
    except SpecMergeError:
        return


def _empty(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=DEVICE)


def _there(model: Layers) -> Layers:
    """The model with empty parameters on the device; what is one parameter stays one."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                made.setdefault(id(parameter), nn.Parameter(_empty(parameter)))
                module._parameters[name] = made[id(parameter)]
    return model


PROPERTIES = (stays_on_its_device,)
