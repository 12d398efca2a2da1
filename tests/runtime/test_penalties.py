"""A penalty is in every optimiser step once, with its written weight: gradients against autograd of the formula."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedConfig, Trainer, TrainingArguments

import specdsl
from specdsl.errors import SpecWarning
from specdsl.runtime.adapter import Adapter

SPEC = "W + A@G@B | r = 3 | orth(A) | penalty 0.1 * norm(A@G@B)^2"
PLAIN = "W + A@G@B | r = 3"
ON = ["re:first", "re:second"]
Factors = dict[str, Tensor]
Gradients = dict[str, Tensor]


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


def model_of(spec: str, seed: int = 0, **options: Any) -> tuple[Classifier, Adapter]:
    """A model whose factors are not at their start."""
    torch.manual_seed(seed)
    model = Classifier()
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


# --------------------------------------------------------------------------- the formula, without specdsl


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


Task = Callable[[Tensor, Tensor], Tensor]


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


# --------------------------------------------------------------------------------- transformers.Trainer


class Recorder(torch.optim.SGD):
    """Notes the gradients that each step uses, and changes nothing: the learning rate is zero."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__(list(adapter.parameters()), lr=0.0)
        self.adapter = adapter
        self.steps: list[Gradients] = []

    def step(self, closure: Any = None) -> None:
        self.steps.append(gradients_of(self.adapter))


def train(
    spec: str, folder: Path, *, compute_loss_func: Any = None, **arguments: Any
) -> tuple[Classifier, Adapter, list[Gradients]]:
    """The gradients of each step of a `Trainer` over 8 rows in batches of 2."""
    model, adapter = model_of(spec)
    recorder = Recorder(adapter)
    usual = {"per_device_train_batch_size": 2, "num_train_epochs": 1, "max_grad_norm": 0.0, "report_to": []}
    settings = TrainingArguments(
        output_dir=str(folder), use_cpu=True, disable_tqdm=True, save_strategy="no", logging_strategy="no",
        train_sampling_strategy="sequential", **usual | arguments,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(recorder, lambda step: 1.0)
    Trainer(
        model, settings, train_dataset=data(), optimizers=(recorder, schedule), compute_loss_func=compute_loss_func
    ).train()
    return model, adapter, recorder.steps


def smoothed(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, label_smoothing=0.2)


def squared(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """A loss of the user's, summed and divided by the labels of the whole step, as `Trainer` expects."""
    return (F.cross_entropy(outputs["logits"], labels, reduction="none") ** 2).sum() / num_items_in_batch


TRAINERS: dict[str, tuple[dict[str, Any], Task]] = {
    "plain": ({}, F.cross_entropy),
    "label_smoothing": ({"label_smoothing_factor": 0.2}, smoothed),
    "compute_loss_func": (
        {"compute_loss_func": squared},
        lambda logits, labels: (F.cross_entropy(logits, labels, reduction="none") ** 2).mean(),
    ),
}


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("kind", TRAINERS)
def test_trainer(kind: str, accumulated: int, tmp_path: Path) -> None:
    options, task = TRAINERS[kind]
    model, adapter, steps = train(SPEC, tmp_path, gradient_accumulation_steps=accumulated, **options)
    assert len(steps) == 4 // accumulated
    for number, found in enumerate(steps):
        used = batches()[number * accumulated : (number + 1) * accumulated]
        assert_close(found, expected(model, adapter, task, used))
