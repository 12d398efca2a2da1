"""A training step of every spec on fake tensors of an accelerator, without one: `python -m tests.runtime.fake_device`.

Prints a JSON object: for each case the devices of all tensors that the step made and the waits for the device, or the
error. It runs in a process of its own: a CPU build of torch has no autograd for `cuda`, so the step then runs on a
device type that is registered for it, and attaching, the forward pass, the penalty and merging on `cuda:0` too.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import specdsl
from specdsl.library_specs import library_names
from specdsl.runtime.adapter import Adapter
from tests.lowering.literal import LAYERS, METHODS

WAITS = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.item.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.is_nonzero.default,
}
"""Operations whose result the program waits for."""

OTHERS = {
    "penalties": "W + A@G@B | r = 4 | orth(A) | penalty 0.1 * norm(B)^2",
    "penalty over the model": "W + A@B | r = 4 | penalty mean(layers([norm(A.T@A - eye), norm(B@B.T - eye)]))",
    "penalty of the weight": "W + A@B | r = 4 | penalty norm(W' - W)",
    "index": "index I : r ~ choice(n)\nr = 4\nfrozen P ~ W[I, :]\nW' = W + A@P",
    "shared": "shared A : max(layers(n)) x r ~ normal(1)\nr = 4\nW' = W + A[:n, :]@B",
    "orthonormal": "A : n x r ~ orthogonal, orthonormal\nr = 4\nW' = W + A@B",
    "dropout": "y + 2 * dropout(x, 0.1)@A@B | r = 4",
    "list of the model": "frozen g : 1 ~ norm(W)/max(layers(norm(W)))\nr = 4\nW' = W + g*(A@B)",
}


def cases() -> dict[str, str]:
    """Every spec by its name."""
    written = {name: spec for name, (spec, _) in METHODS.items()}
    return {**{f"library {name}": name for name in library_names()}, **written, **OTHERS}


class Watch(TorchDispatchMode):
    """Notes the devices of all results, and the operations that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.waits: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.devices |= {str(leaf.device) for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        if func in WAITS:
            self.waits.add(str(func))
        return result


def on_device(model: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """The model with empty parameters there; torch has no random numbers for a device that it lacks."""
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty(parameter.shape, dtype=dtype, device=device))
    return model


def held(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
    yield from (parameter.grad for parameter in model.parameters() if parameter.grad is not None)


def attached(model: nn.Module, spec: str) -> Adapter:
    checked = specdsl.parse(spec)
    ranked = re.search(r"\br\b", str(checked.facts.trained)) is not None
    return specdsl.attach(model, checked.set(r=4) if ranked else checked, on="re:.*[024]")


def run(model: nn.Module, x: Tensor, spec: str, train: bool) -> dict[str, Any]:
    """Attach, a step with its penalty (or a forward pass), merge: where the tensors are."""
    adapter = attached(model, spec)
    devices = {str(tensor.device) for tensor in held(model)}
    with Watch() as watch:
        loss = model(x).sum()
        if train:
            loss.backward()
            torch.optim.SGD(adapter.parameters(), lr=0.1).step()
        if adapter.spec.ir.penalties:
            adapter.penalty()
    if adapter.spec.facts.mergeable:
        adapter.merge()
        adapter.unmerge()
        adapter.merge()
    devices |= watch.devices | {str(tensor.device) for tensor in held(model)}
    graded = not train or all(parameter.grad is not None for parameter in adapter.parameters())
    return {"devices": sorted(devices), "waits": sorted(watch.waits), "graded": graded}


def outcome(model: nn.Module, x: Tensor, spec: str, train: bool) -> dict[str, Any]:
    try:
        with torch.set_grad_enabled(train):
            return run(model, x, spec, train)
    except Exception as error:  # the parent process shows it
        return {"error": f"{type(error).__name__}: {error}"}


def everything(device: str, train: bool) -> dict[str, Any]:
    """The outcome of every spec in linear layers, in bfloat16 too, and of some in every layer type."""
    found: dict[str, Any] = {}
    for name, spec in cases().items():
        for dtype in (torch.float32, torch.bfloat16):
            model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 16, bias=False), nn.ReLU(), nn.Linear(16, 12))
            x = torch.empty(5, 16, dtype=dtype, device=device)
            found[f"{name} {dtype}"] = outcome(on_device(model, device, dtype), x, spec, train)
    for layer, kind in LAYERS.items():
        for spec in ("W + A@B | r = 2", "W .* (1 + A@B) | r = 2", "y .* l"):
            x = kind.sample().to(device)
            x = x.float() if x.is_floating_point() else x
            model = on_device(nn.Sequential(kind.make()), device, torch.float32)
            found[f"{spec} in {layer}"] = outcome(model, x, spec, train)
    return found


def main() -> None:
    warnings.simplefilter("error")
    found = {}
    with FakeTensorMode():
        found["cuda:0"] = everything("cuda:0", train=torch.version.cuda is not None)
    if torch.version.cuda is None:
        _setup_privateuseone_for_python_backend("stand_in")
        with FakeTensorMode():
            found["stand_in:0"] = everything("stand_in:0", train=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
