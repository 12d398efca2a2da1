"""Saved adapters of a small model, and ways to spoil them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import specdsl
from specdsl.runtime.adapter_record import RECORD, TENSORS
from tests.runtime.small_models import move

LORA = "W + A@B | r = 2"
PISSA = (
    "r = 2\nU, S, V = svd(W)\nA ~ U[:, :r] @ diag(sqrt(S[:r]))\nB ~ diag(sqrt(S[:r])) @ V[:r, :]\n"
    "W' = W + A@B - init(A@B)"
)
SPECS = {
    "random": LORA,
    "frozen at random": "frozen A : n x r ~ kaiming\nr = 2\nW' = W + A@B",
    "frozen with a seed": "frozen A : n x r ~ normal(1, seed=5)\nr = 2\nW' = W + A@B",
    "a random index": "index I : 2 ~ choice(n)\nfrozen P ~ W[I, :]\nW' = W + A@P",
    "derived": PISSA,
    "derived and frozen": "r = 2\nU, S, V = svd(W)\nfrozen A ~ U[:, :r]\nW' = W + A@B",
    "a constant of the base": "r = 2\nU, S, V = svd(W)\nW' = W + U[:, :r] @ B",
    "shared": "shared(n) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B",
    "shared and frozen": "shared(n) frozen A : n x r ~ normal(1)\nr = 2\nW' = W + A@B",
    "orthonormal": "A : n x r ~ orthogonal, orthonormal\nr = 2\nW' = W + A@B",
    "another constant of the base": "W + inverse(eye(n) + W@W.T) @ D",
    "complex": "W + real(ifft2(F)) | F : n x m ~ zeros",
}
DERIVED = ["a random index", "derived", "derived and frozen", "a constant of the base", "another constant of the base"]


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 4))


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(torch.linspace(-1, 1, 18).reshape(3, 6))
    return found


def saved(folder: Path, spec: str = LORA, **options: Any) -> Path:
    """The folder of a trained adapter of `mlp()`."""
    adapter = specdsl.attach(mlp(), spec, **options)
    move(adapter)
    return adapter.save(folder)


def values(adapter: specdsl.Adapter) -> dict[str, Tensor]:
    """Factors, frozen ones and constants included."""
    factors = {f"{place}.{name}": value.detach() for place, name, value in adapter.factors()}
    buffers = {
        f"{member.name}.{name}": value for member in adapter.members for name, value in member.layer.named_buffers()
    }
    return factors | buffers


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        record = json.loads((folder / RECORD).read_text())
        change(record)
        (folder / RECORD).write_text(json.dumps(record))

    return edit


def tensors_edited(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        change(tensors)
        save_file(tensors, folder / TENSORS)

    return edit
