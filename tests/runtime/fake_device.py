"""A training step of every spec on fake tensors of an accelerator, without one: `python -m tests.runtime.fake_device`.

Prints a JSON object: for each case the devices of all tensors made and the waits for the device, or the error.
It runs in a process of its own. A CPU build of torch has no autograd for `cuda`: there the whole step runs on a device
type registered as a stand-in, and on `cuda:0` all but the backward pass: attaching, the forward pass, merging.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import specdsl
from specdsl.runtime.adapter import Adapter
from tests.lowering.literal import LAYERS, METHODS
from tests.ordinary_methods import ORDINARY

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


IN_ALL_LAYERS = ("W@diag(t)", "W .* (1 + A@B) | r = 2", "y .* l")


def cases() -> dict[str, str]:
    """Every spec by its name."""
    library = {name: name for name in ORDINARY}
    return {name: spec for name, (spec, _) in METHODS.items()} | library | OTHERS


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


@cache
def checked(spec: str) -> specdsl.Spec:
    """The spec, with a rank that fits the layers."""
    parsed = specdsl.parse(spec)
    return parsed.set(r=2) if re.search(r"\br\b", str(parsed.facts.trained)) else parsed


def attached(model: nn.Module, spec: str) -> Adapter:
    return specdsl.attach(model, checked(spec), on="re:[02]" if len(model) > 1 else "re:0")


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


def in_linear_layers(device: str, dtype: torch.dtype, train: bool) -> dict[str, Any]:
    """The outcome of every spec in a model of linear layers."""
    found: dict[str, Any] = {}
    for name, spec in cases().items():
        model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 16, bias=False))
        x = torch.empty(5, 16, dtype=dtype, device=device)
        found[name] = outcome(on_device(model, device, dtype), x, spec, train)
    return found


def in_all_layers(device: str, train: bool) -> dict[str, Any]:
    """The outcome of some specs in every layer type."""
    found: dict[str, Any] = {}
    for layer, kind in LAYERS.items():
        for spec in IN_ALL_LAYERS:
            x = kind.sample().to(device)
            x = x.float() if x.is_floating_point() else x
            model = on_device(nn.Sequential(kind.make()), device, torch.float32)
            found[f"{spec} in {layer}"] = outcome(model, x, spec, train)
    return found


def main() -> None:
    warnings.simplefilter("error")
    has_cuda = torch.version.cuda is not None
    found = {}
    with FakeTensorMode():
        found["cuda:0"] = in_linear_layers("cuda:0", torch.float32, has_cuda)
    if not has_cuda:
        _setup_privateuseone_for_python_backend("stand_in")
    device = "cuda:0" if has_cuda else "stand_in:0"
    with FakeTensorMode():
        found["step"] = in_linear_layers(device, torch.bfloat16, True) | in_all_layers(device, True)
    print(json.dumps({"device": device, "found": found}))


if __name__ == "__main__":
    main()
