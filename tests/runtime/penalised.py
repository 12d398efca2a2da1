"""A small model whose spec has penalties, and the gradients that a step should have, from the formula alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from transformers import PreTrainedConfig

import specdsl
from specdsl.runtime.adapter import Adapter

SPEC = "W + A@G@B | r = 3 | orth(A) | penalty 0.1 * norm(A@G@B)^2"
PLAIN = "W + A@G@B | r = 3"
ON = ["re:first", "re:second"]
Factors = dict[str, Tensor]
Gradients = dict[str, Tensor]
Task = Callable[[Tensor, Tensor], Tensor]


class Classifier(nn.Module):
    """Two linear layers; like the models of transformers it returns a loss where there are labels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.second = nn.Linear(5, 4, bias=False)
        self.config = PreTrainedConfig()

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.second(torch.tanh(self.first(x)))
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


def model_of(spec: str, kind: type[Classifier] = Classifier, **options: Any) -> tuple[Classifier, Adapter]:
    """A model whose factors are not at their start."""
    torch.manual_seed(0)
    model = kind()
    adapter = specdsl.attach(model, spec, on=ON, **options)
    with torch.no_grad():
        for place, name, value in adapter.factors():
            generator = torch.Generator().manual_seed(len(place) * 31 + ord(name[0]))
            value.copy_(torch.randn(value.shape, generator=generator))
    return model, adapter


def data(count: int = 8) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        {"x": torch.randn(6, generator=generator), "labels": torch.randint(4, (), generator=generator)}
        for _ in range(count)
    ]


def batches(size: int = 2) -> list[dict[str, Tensor]]:
    rows = data()
    return [
        {key: torch.stack([row[key] for row in rows[start : start + size]]) for key in rows[0]}
        for start in range(0, len(rows), size)
    ]


def factors_of(adapter: Adapter) -> Factors:
    return {f"{place}.{name}": value for place, name, value in adapter.factors()}


def gradients_of(adapter: Adapter) -> Gradients:
    return {
        name: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for name, value in factors_of(adapter).items()
    }


def orth(A: Tensor) -> Tensor:
    return ((A.T @ A - torch.eye(A.shape[1])) ** 2).sum()


def penalty(factors: Factors) -> Tensor:
    """The penalties of SPEC, written out."""
    places = sorted({name.rpartition(".")[0] for name in factors})
    parts = [[factors[f"{place}.{name}"] for name in "AGB"] for place in places]
    return sum((orth(A) + 0.1 * ((A @ G @ B) ** 2).sum() for A, G, B in parts), torch.zeros(()))


def outputs(model: Classifier, factors: Factors, batch: dict[str, Tensor]) -> Tensor:
    """The logits of the bare model with `W + A@G@B` for weights."""
    bare = Classifier()
    weights = {name: value.detach() for name, value in model.state_dict().items() if "specdsl" not in name}
    for place in ("first", "second"):
        A, G, B = (factors[f"{place}.{name}"] for name in "AGB")
        weights[f"{place}.weight"] = weights[f"{place}.weight"] + (A @ G @ B).T
    logits = functional_call(bare, weights, (batch["x"],))["logits"]
    assert isinstance(logits, Tensor)
    return logits


def expected(
    model: Classifier, adapter: Adapter, task: Task, used: list[dict[str, Tensor]], weight: float = 1.0
) -> Gradients:
    """The gradient of the mean task loss of `used` batches plus `weight` times the penalties."""
    factors = {name: value.detach().clone().requires_grad_() for name, value in factors_of(adapter).items()}
    losses = [task(outputs(model, factors, batch), batch["labels"]) for batch in used]
    total = torch.stack(losses).mean() + weight * penalty(factors)
    return dict(zip(factors, torch.autograd.grad(total, list(factors.values())), strict=True))


def clipped(gradients: Gradients, limit: float) -> Gradients:
    norm = torch.sqrt(sum(((g**2).sum() for g in gradients.values()), torch.zeros(())))
    return {name: g * min(1.0, limit / float(norm)) for name, g in gradients.items()}


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=0.2)


def optimizer_of(adapter: Adapter) -> torch.optim.Optimizer:
    return torch.optim.SGD(adapter.parameters(), lr=0.0)


def stepped(adapter: Adapter, optimizer: torch.optim.Optimizer | None = None) -> Gradients:
    """The gradients after a step (which changes no factor)."""
    (optimizer or optimizer_of(adapter)).step()
    return gradients_of(adapter)


def added(model: nn.Module, optimizer: torch.optim.Optimizer, values: list[Tensor]) -> list[Tensor]:
    """What a step's gradients hold beyond those of the task loss, which `autograd.grad` gives alone."""
    batch = batches()[0]
    task = torch.autograd.grad(model(**batch)["loss"], values, allow_unused=True)
    model(**batch)["loss"].backward()
    optimizer.step()
    found = [torch.zeros_like(value) if value.grad is None else value.grad for value in values]
    return [one if own is None else one - own for one, own in zip(found, task, strict=True)]


def gradient_of(formula: Callable[..., Tensor], *values: Tensor) -> list[Tensor]:
    leaves = [value.detach().clone().requires_grad_() for value in values]
    return list(torch.autograd.grad(formula(*leaves), leaves))
